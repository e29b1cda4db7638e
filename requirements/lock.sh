#!/usr/bin/env bash
# Resolves the locks: exact versions with hashes, and no address of an index in them.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header "$@"; }
compile -o requirements/pipeline.txt pyproject.toml
compile -c requirements/pipeline.txt -o requirements/dev.txt pyproject.toml requirements/dev.in
compile -c requirements/pipeline.txt -o requirements/serving.txt requirements/serving.in
compile -c requirements/dev.txt -o requirements/uv.txt requirements/uv.in
