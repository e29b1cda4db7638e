"""The container's tools, as far as they need no engine; the smoke test does the rest on the built image."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from container import base, engine, indexes, layers, sbom, smoke
from container.engine import HARDENED, MEMORY, TMP, Engine

from lus.common.errors import BadInput
from lus.service.settings import Settings
from tests.conftest import ROOT


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without an engine and without settings of pip and uv: an empty folder is its path and its home."""
    for name in os.environ:
        if name.startswith(("PIP_", "UV_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ENGINE", raising=False)
    monkeypatch.setattr(engine, "SCRATCH", tmp_path / "scratch")
    return tmp_path


def _program(folder: Path, name: str, status: int) -> None:
    (folder / name).write_text(f"#!/bin/sh\nexit {status}\n")
    (folder / name).chmod(0o755)


def test_a_docker_whose_daemon_answers_comes_first(machine: Path) -> None:
    _program(machine, "docker", 0)
    _program(machine, "podman", 0)
    assert engine.choose().program == "docker"
    assert engine.choose("podman").program == "podman"


def test_a_docker_client_alone_does_not_count(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(machine, "docker", 1)
    with pytest.raises(BadInput, match="no docker whose daemon answers, and no podman: install one of them"):
        engine.choose()
    _program(machine, "podman", 0)
    assert engine.choose().program == "podman"
    monkeypatch.setenv("ENGINE", "docker")
    with pytest.raises(BadInput, match="ENGINE=docker, but no docker daemon answers: start it"):
        engine.choose()
    with pytest.raises(BadInput, match="ENGINE=nerdctl, docker or podman is expected"):
        engine.choose("nerdctl")


def test_where_no_registry_answers_only_root_makes_a_base_image(machine: Path) -> None:
    _program(machine, "podman", 125)
    with pytest.raises(BadInput, match=r"cannot pull .* let it reach a registry, or run this as root on Debian"):
        base.ensure_base(Engine("podman"))
    with pytest.raises(BadInput, match=r"without mmdebstrap .* apt-get install mmdebstrap"):
        base.ensure_base(Engine("podman", {"CONTAINERS_CONF": "x"}))


def test_without_settings_the_build_uses_pypi(machine: Path) -> None:
    assert indexes.build_environment() == {
        "UV_DEFAULT_INDEX": "",
        "UV_INDEX": "",
        "PIP_INDEX_URL": "",
        "UV_SYSTEM_CERTS": "1",
    }
    assert indexes.index_addresses() == []


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_an_index_in_a_variable_reaches_the_build(
    variable: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "https://me:secret@index.example/simple")
    found = indexes.build_environment()
    assert found["UV_DEFAULT_INDEX"] == found["PIP_INDEX_URL"] == "https://me:secret@index.example/simple"
    assert indexes.index_addresses() == ["https://me:secret@index.example/simple"]


def test_an_index_in_a_file_reaches_the_build(machine: Path) -> None:
    (machine / "pip.conf").write_text(
        "[global]\nindex-url = https://pip.example/simple\nextra-index-url = https://more.example/ file:///folder\n"
    )
    found = indexes.build_environment()
    assert (found["UV_DEFAULT_INDEX"], found["UV_INDEX"]) == ("https://pip.example/simple", "https://more.example/")
    (machine / ".config/uv").mkdir(parents=True)
    (machine / ".config/uv/uv.toml").write_text('[[index]]\nurl = "https://uv.example/simple"\ndefault = true\n')
    assert indexes.build_environment()["UV_DEFAULT_INDEX"] == "https://uv.example/simple"


def test_pypi_itself_is_not_looked_for_in_the_image(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"https://{indexes.read_pypi_host()}/simple")
    assert indexes.index_addresses() == []


def test_the_bento_takes_the_indexes_as_secrets_of_its_build_alone(machine: Path) -> None:
    declared = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["envs"]
    assert {one["name"] for one in declared if one.get("stage") == "build"} == set(indexes.build_environment())


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted where Linux lists them")
def test_numpy_starts_no_threads_in_the_container() -> None:
    declared = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["envs"]
    settings = {one["name"]: one["value"] for one in declared if "stage" not in one}
    code = "import os, numpy; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=settings)
    assert done.stdout == "1\n"


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_an_address_is_found_wherever_it_lies_in_a_layer(
    compress: type[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "BLOCK", 64)
    address = b"https://me:secret@index.example/simple"
    for before in range(100):
        noise = bytes(range(before))
        assert layers.contains_address(io.BytesIO(compress(noise + address + b"end")), [b"elsewhere", address])
        assert not layers.contains_address(io.BytesIO(compress(noise + address[1:])), [address])


@pytest.mark.parametrize("document", ["README.md", "docs/service.md"])
def test_a_document_runs_the_image_as_the_smoke_test_does(document: str) -> None:
    text = " ".join((ROOT / document).read_text().replace("\\\n", " ").split())
    assert f"docker run --rm -p 127.0.0.1:3000:3000 {' '.join(HARDENED)} lus-classifier" in text


def test_tmp_has_room_for_all_the_uploads_that_the_service_takes_at_once() -> None:
    assert 2 * Settings.requests * Settings.upload < TMP < MEMORY / 2


def test_a_late_start_is_excused_by_the_work_of_others_alone() -> None:
    cores = os.cpu_count() or 1
    assert smoke.check_start(seconds=9, own=12, others=0, limit=10).kept
    assert not smoke.check_start(seconds=11, own=9, others=0, limit=10).kept
    assert not smoke.check_start(seconds=11, own=9, others=2 * cores, limit=10).kept
    assert smoke.check_start(seconds=30, own=9, others=20 * cores, limit=10).kept
    assert not smoke.check_start(seconds=30, own=11, others=20 * cores, limit=10).kept


def test_the_uv_of_the_image_is_that_of_the_lock() -> None:
    source = (ROOT / "src/lus/service/app.py").read_text()
    (pinned,) = re.findall(r"^uv==(\S+)", (ROOT / "requirements/uv.txt").read_text(), re.MULTILINE)
    assert re.findall(r"uv==([\d.]+)", source) == [pinned]


def test_a_bill_of_materials_names_packages_and_the_models_files() -> None:
    found = {
        "python": [
            {"name": "Jinja2", "version": "3.1.6", "licence": ""},
            {"name": "attrs", "version": "26", "licence": "MIT"},
        ],
        "debian": [{"name": "bash", "version": "5.2.15-2+b10", "architecture": "amd64"}],
        "model": [{"name": "classifier.xml", "sha256": "a" * 64}],
    }
    written = json.loads(sbom.format_bom(sbom.make_bom(found, "7", f"sha256:{'b' * 64}")))
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.6")
    assert written["metadata"]["component"]["version"] == "7"
    parts = {one["name"]: one for one in written["components"]}
    assert parts["jinja2"]["purl"] == "pkg:pypi/jinja2@3.1.6"
    assert parts["attrs"]["licenses"] == [{"expression": "MIT"}]
    assert parts["bash"]["purl"] == "pkg:deb/debian/bash@5.2.15-2%2Bb10?arch=amd64"
    assert parts["classifier.xml"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]


@pytest.mark.parametrize("script", ["inside.py", "inventory.py"])
def test_what_runs_in_the_container_needs_pythons_own_library_alone(script: str) -> None:
    code = (ROOT / "container" / script).read_text()
    imported = set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("build", "build/package.json: not found; make repro builds the Bento first"),
        ("smoke", "phantom: no such folder, one of usable clips is expected; name one with --clips"),
    ],
)
def test_what_a_program_lacks_is_said_in_a_sentence(program: str, sentence: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"container.{program}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"container: {sentence}\n"
