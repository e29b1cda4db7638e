"""Writes what the documents say of the project's own files: the parameters, the modules, the pipeline's picture.

`python docs/generate.py` writes them, `--check` says which are not what it would write. A test calls the latter.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lus.common import params, params_file

ROOT = Path(__file__).parent.parent
PROJECT_FILE = ROOT / "pyproject.toml"
FOUND_NO_DESCRIPTION = "has no description in src/lus/common/params.py"


def parameters(file: Path) -> str:
    """docs/parameters.md: every parameter with its type, the value in this file, and what it is for."""
    schema = params.Params.model_json_schema(by_alias=True)
    values = yaml.safe_load(file.read_text())
    lines = [
        "# Parameters",
        "",
        "Every parameter of `params.yaml`, section by section, with the value that the file has. Made by `make docs`",
        "from `src/lus/common/params.py`; a file in which anything is not as it stands here is refused. `dvc repro`",
        "rebuilds what depends on a changed one; `lus use` sets the four that say which clips, weights and protocol.",
    ]
    for section, reference in schema["properties"].items():
        fields = _followed(reference, schema)
        lines += ["", f"## {section}", "", fields["description"], ""]
        lines += ["| parameter | type | value | |", "|---|---|---|---|"]
        for name, field in fields["properties"].items():
            if "description" not in field:
                sys.exit(f"{section}.{name} {FOUND_NO_DESCRIPTION}; write one")
            value = _value(values[section].get(name, field.get("default")))
            lines.append(f"| `{section}.{name}` | {_words(field, schema)} | {value} | {field['description']} |")
    return "\n".join([*lines, ""])


def _followed(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
    return found


def _value(value: object) -> str:
    written = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)
    return f"`{written.strip().removesuffix('...').strip()}`"


def _words(part: dict[str, Any], schema: dict[str, Any]) -> str:
    """A type in JSON Schema, in words."""
    part = _followed(part, schema)
    if "anyOf" in part:
        return " or ".join(_words(one, schema) for one in part["anyOf"])
    if "enum" in part:
        return " or ".join(f"`{one}`" for one in part["enum"])
    if part["type"] == "array":
        return _list(part, schema)
    if part["type"] == "object":
        named = part.get("propertyNames", {})
        keys = f" of {_words(named, schema)}" if "enum" in _followed(named, schema) else ""
        return f"mapping{keys}, each to {_words(part['additionalProperties'], schema)}"
    names = {"integer": "whole number", "number": "number", "string": "text", "null": "null", "boolean": "yes or no"}
    return names[part["type"]] + _bounds(part)


def _list(part: dict[str, Any], schema: dict[str, Any]) -> str:
    if "prefixItems" in part:
        return f"[low, high], each {_words(part['prefixItems'][0], schema)}"
    least = " (at least one)" if part.get("minItems") else ""
    return f"list{least}, each {_words(part['items'], schema)}"


def _bounds(part: dict[str, Any]) -> str:
    said = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    bounds = [f"{words} {part[key]:g}" for key, words in said.items() if key in part]
    if "pattern" in part:
        bounds.append(f"as in `{part['pattern']}`")
    return f" ({', '.join(bounds)})" if bounds else ""


def rooms() -> str:
    """The map: a line a room, from the top floor down, with the first sentence of its docstring."""
    rows = ["| floor | room | what it is for |", "|---|---|---|"]
    floors = _floors()
    for level, names in enumerate(floors):
        for name in names:
            rows.append(f"| {len(floors) - level} | `{name}/` | {_purpose(ROOT / 'src/lus' / name / '__init__.py')} |")
    return "\n".join(rows)


def modules() -> str:
    """A table of the modules, room by room, with the first sentence of each docstring."""
    rows = ["| module | what it is for |", "|---|---|"]
    for name in [name for names in _floors() for name in names]:
        for file in sorted((ROOT / "src/lus" / name).rglob("*.py")):
            if file.name != "__init__.py" or file.parent.name != name:
                shown = file.relative_to(ROOT / "src/lus").as_posix().removesuffix("__init__.py")
                rows.append(f"| `{shown}` | {_purpose(file)} |")
    return "\n".join(rows)


def _floors() -> list[list[str]]:
    """The rooms of each floor, from the top down, as the contract of import-linter has them."""
    contracts = tomllib.loads(PROJECT_FILE.read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    return [[name.strip() for name in floor.split("|")] for floor in layers]


def _purpose(file: Path) -> str:
    described = ast.get_docstring(ast.parse(file.read_text()))
    if not described:
        sys.exit(f"{file}: no docstring found; say in its first line what it is for")
    return " ".join(described.split("\n\n")[0].split()).replace("|", "\\|")


def pipeline() -> str:
    """The pipeline as Mermaid, from `dvc dag`, a node for each stage, on the phantom whatever the cohort is here."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / ".dvc").mkdir()
        (place / ".dvc/config").write_text(
            "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
        )
        for name in ("dvc.yaml", "params.yaml"):
            (place / name).write_bytes((ROOT / name).read_bytes())
        params_file.change_params({"cohort.folder": "phantom"}, place / "params.yaml")
        drawn = subprocess.run(
            [Path(sys.executable).with_name("dvc"), "dag", "--dot"],
            cwd=place,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    edges = {tuple(end.split("@")[0] for end in edge) for edge in re.findall(r'"([^"]+)" -> "([^"]+)"', drawn)}
    order = list(stages)
    lines = ["```mermaid", "flowchart TD"]
    for name in order:
        each = " and ".join(stages[name].get("matrix", {}))
        lines.append(f'    {name}["{name}<br/>(each {each})"]' if each else f"    {name}")
    lines += [f"    {a} --> {b}" for a, b in sorted(edges, key=lambda edge: [order.index(end) for end in edge])]
    return "\n".join([*lines, "```"])


def _with_parts(file: Path, parts: dict[str, str]) -> str:
    """A document's text with these parts in it, each between two comments that bear its name."""
    text = file.read_text()
    for name, part in parts.items():
        begin, end = f"<!-- made by docs/generate.py: {name} -->\n", f"\n<!-- end of {name} -->"
        if begin not in text or end not in text:
            sys.exit(f"{file}: no place for the {name} found; {begin.strip()} and {end.strip()} are expected")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"
    return text


def documents(file: Path = ROOT / "params.yaml") -> Iterator[tuple[Path, str]]:
    """Each document and the text that it should have."""
    drawn = pipeline()
    yield ROOT / "docs/parameters.md", parameters(file)
    yield (
        ROOT / "docs/architecture.md",
        _with_parts(ROOT / "docs/architecture.md", {"pipeline": drawn, "rooms": rooms(), "modules": modules()}),
    )
    yield ROOT / "README.md", _with_parts(ROOT / "README.md", {"pipeline": drawn})


def main() -> None:
    """Write the documents, or say which are not as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 where something would change"
    )
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml", help="file whose values are shown")
    asked = parser.parse_args()
    stale = [(file, text) for file, text in documents(asked.params) if not file.is_file() or file.read_text() != text]
    for file, text in stale:
        if asked.check:
            print(f"{file.relative_to(ROOT)} is not what docs/generate.py makes now; run make docs")
        else:
            file.write_text(text)
    if asked.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
