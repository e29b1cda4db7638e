"""The file `params.yaml`: read whole, and changed in place.

A key that is not known, a missing one or a value of the wrong kind is named in the error, with the place it stands in.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lus.common.errors import BadInput
from lus.common.params import Params


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read the parameters.

    Raises:
        BadInput: the file is missing, is not YAML, or holds an unknown key or a wrong value (each is named).
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; run this in the project's top folder") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: is no text in UTF-8; mend the file, or `git checkout {path.name}`") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: is not YAML ({' '.join(str(error).split())}); mend the file") from None
    return _validate(raw, path)


def _validate(raw: object, path: Path) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(_describe_fault(fault) for fault in error.errors())
        raise BadInput(f"{path}: {faults}; see docs/parameters.md") from None


def _describe_fault(fault: Mapping[str, Any]) -> str:
    """One of pydantic's faults in words, with the key that it is at."""
    where = ".".join(str(part) for part in fault["loc"])
    if not where:
        return "no sections were found in it, those of docs/parameters.md are expected"
    if fault["type"] == "missing":
        return f"{where} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{where} is no parameter"
    said = fault["msg"]
    if fault["type"] == "value_error":
        return f"{where}: {said.removeprefix('Value error, ')}"
    return f"{where} is {fault['input']!r}, {said[0].lower()}{said[1:]}".replace("input should be", "expected is")


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def change_params(values: dict[str, str], path: Path = Path("params.yaml")) -> Params:
    """Set parameters in the file; its comments stay, and a wrong value leaves it as it is.

    Args:
        values: new values by section and name, as in `cohort.folder`.
        path: the file.

    Returns:
        The parameters as they are now.

    Raises:
        BadInput: the file is missing, or a value is wrong.
    """
    from ruamel.yaml import YAML

    load_params(path)
    editor = YAML()
    editor.preserve_quotes, editor.width = True, 1000
    # As it stands in the file: by itself it would write nothing for it.
    editor.representer.add_representer(type(None), _null)
    content = editor.load(path)
    for key, value in values.items():
        section, name = key.split(".")
        content[section][name] = value
    changed = io.StringIO()
    editor.dump(content, changed)
    now = _validate(yaml.safe_load(changed.getvalue()), path)
    path.write_text(changed.getvalue())
    return now
