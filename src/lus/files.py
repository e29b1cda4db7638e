"""Files by their content."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType


def made_by(*modules: ModuleType) -> dict[str, object]:
    """What computed pixels and features depend on beside their inputs: the code of modules, and the libraries.

    TensorFlow, Keras and OpenCV are looked at where they are loaded, the others where they are installed.
    """
    from importlib.metadata import version

    loaded = ("tensorflow", "keras", "cv2")
    libraries = {name: str(getattr(sys.modules[name], "__version__", "")) for name in loaded if name in sys.modules}
    libraries |= {name: version(name) for name in ("openvino", "pydicom", "python-gdcm")}
    code = {module.__name__: sha256(Path(module.__file__ or "")) for module in modules}
    return {"code": code, "libraries": libraries}


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
