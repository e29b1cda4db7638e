# `make` lists the targets. Everything is set up by the first target that needs it, and again when a lock changes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Telemetry of every library is off here too, for commands that are not `lus` itself.
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := True
export DO_NOT_TRACK := 1
export TF_CPP_MIN_LOG_LEVEL := 3
export KERAS_BACKEND := tensorflow
# uv reads the machine's own certificates, as pip and git do.
export UV_SYSTEM_CERTS := 1

.PHONY: help setup repro data test fuzz readme ui serve image smoke sbom bench lint docs clean lock audit-deps
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

setup: $(READY) ## make the environment in .venv (the targets below do it by themselves)

$(READY): requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v not in ((3, 11), (3, 12)) and f"Python {v[0]}.{v[1]} found, 3.11 or 3.12 expected: name one with make PYTHON=python3.11")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python has no ensurepip: install Debian's python3-venv package"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@grep -q DO_NOT_TRACK $(BIN)/activate || printf '\n# Telemetry off, as everywhere in this project.\nexport MLFLOW_DISABLE_TELEMETRY=%s BENTOML_DO_NOT_TRACK=%s DO_NOT_TRACK=%s\n' $(MLFLOW_DISABLE_TELEMETRY) $(BENTOML_DO_NOT_TRACK) $(DO_NOT_TRACK) >> $(BIN)/activate
	@touch $@

repro: $(READY) ## rebuild the pipeline: clips to a registered model and a Bento (COHORT=folder WEIGHTS=random PROTOCOL=leave-source-out: otherwise)
	@git rev-parse --git-dir >/dev/null 2>&1 || { echo "not a git clone: DVC needs one, run git init"; exit 1; }
	$(if $(COHORT)$(WEIGHTS)$(START)$(PROTOCOL),lus use $(if $(COHORT),"$(COHORT)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(START),--start "$(START)") $(if $(PROTOCOL),--protocol "$(PROTOCOL)"))
	lus weights fetch
	dvc repro package

data: $(READY) ## fetch the public clips into data (once)
	dvc update --rev "$$(sed -n 's/^ *rev_lock: //p' data.dvc)" data.dvc

test: $(READY) ## run the tests (make test ARGS='-k name' for some of them)
	python -m pytest $(ARGS)

fuzz: $(READY) ## run 2,000 damaged clips through the checks (ARGS='--clips 200 --seed 7')
	python -m tests.fuzz --clips 2000 --seed 1 $(ARGS)

readme: $(READY) ## follow README.md in a fresh clone: every command, in its order (ARGS=--no-container)
	python -m tests.readme $(ARGS)

ui: $(READY) ## MLflow's pages on 127.0.0.1:5000
	lus ui

serve: $(READY) ## answer clips on 127.0.0.1:3000
	lus serve

image: $(READY) ## the Bento as a hardened container image (docker, or podman: ENGINE names one)
	python -m container.build $(ARGS)

smoke: $(READY) ## start the image, send it clips, hold it to its promises, stop it (ARGS='--clips folder --compare')
	python -m container.smoke $(ARGS)

sbom: $(READY) ## list what the image is made of, as CycloneDX in build/image.cdx.json
	python -m container.sbom build/image.cdx.json $(ARGS)

bench: $(READY) ## time the parts, side by side with the plain way; hold gate and intervals to simulated cohorts
	python benchmarks/features.py
	python benchmarks/checks.py
	python benchmarks/search.py
	python benchmarks/simulated_cohorts.py

lint: $(READY) ## check format, style, types, the rooms, and what is unsafe in the workflows
	ruff format --check .
	ruff check .
	mypy
	lint-imports --no-logo
	zizmor --offline --quiet .github

docs: $(READY) ## write the made parts of the documents, and the pages in build/site (a dead link is an error)
	python docs/generate.py
	rm -rf build/site
	sphinx-build --quiet --fail-on-warning --keep-going -c docs -d build/site/.doctrees . build/site
	@echo build/site/docs/index.html

lock: $(READY) ## resolve the locks anew from pyproject.toml
	requirements/lock.sh

# Not of weights.txt, from which nothing is installed.
audit-deps: $(READY) ## ask the public database about known weaknesses of the packages in the locks (needs a network)
	pip-audit --strict --disable-pip --require-hashes --progress-spinner off $(foreach lock,$(filter-out requirements/weights.txt,$(wildcard requirements/*.txt)),-r $(lock))

clean: ## remove what the pipeline made, the features it knows and DVC's copies; keeps .venv, data, runs, registered models and images
	rm -rf build phantom .phantom.* .lus .dvc/cache .dvc/tmp .pytest_cache .mypy_cache .ruff_cache .hypothesis
