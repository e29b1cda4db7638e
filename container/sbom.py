"""What the image is made of, as CycloneDX JSON: `python -m container.sbom build/image.cdx.json`.

It names the packages of Python and of Debian that are installed in the image, and the model's files. Libraries that a
wheel carries inside are not told apart from it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cyclonedx.contrib.hash.factories import HashTypeFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from container import engine
from container.engine import HARDENED, LATEST, NAME, PYTHON, VERSION, Engine
from lus.common.errors import BadInput


def main() -> None:
    """Write the list, and say how long it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--image", default=LATEST)
    options = parser.parse_args()
    chosen = engine.choose()
    if not chosen.has_image(options.image):
        raise BadInput(f"{options.image}: {chosen.program} has no such image; make image builds it")
    version, number = chosen.labels(options.image)[VERSION], str(chosen.inspect_image(options.image)["Id"])
    found = _list_contents(chosen, options.image)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(format_bom(make_bom(found, version, number)))
    print(f"{options.out}: {', '.join(f'{len(parts)} of {kind}' for kind, parts in found.items())}")


def _list_contents(chosen: Engine, image: str) -> dict[str, list[dict[str, str]]]:
    script = Path(__file__).with_name("inventory.py").read_text()
    options = ("--rm", "--interactive", "--network", "none", "--entrypoint", PYTHON, *chosen.running, *HARDENED)
    return dict(json.loads(chosen.call("run", *options, image, "-", said=script).stdout))


def make_bom(found: dict[str, list[dict[str, str]]], version: str, image: str) -> Bom:
    """The components of an image.

    Args:
        found: by kind (python, debian, model), as `inventory.py` reports them.
        version: of the model.
        image: its id, `sha256:...`.
    """
    bom = Bom()
    whole = Component(name=NAME, version=version, type=ComponentType.CONTAINER, bom_ref=image)
    bom.metadata.component = whole
    for one in found["python"]:
        licences = [LicenseExpression(one["licence"])] if one["licence"] else None
        bom.components.add(
            _make_component("pypi", one["name"].lower().replace("_", "-"), one["version"], licenses=licences)
        )
    for one in found["debian"]:
        bom.components.add(_make_component("deb", one["name"], one["version"], {"arch": one["architecture"]}, "debian"))
    for one in found["model"]:
        hashes = [HashTypeFactory().from_composite_str(f"sha256:{one['sha256']}")]
        bom.components.add(Component(name=one["name"], version=version, type=ComponentType.FILE, hashes=hashes))
    bom.register_dependency(whole, bom.components)
    return bom


def _make_component(
    kind: str,
    name: str,
    version: str,
    qualifiers: dict[str, str] | None = None,
    namespace: str | None = None,
    licenses: Any = None,
) -> Component:
    url = PackageURL(kind, namespace, name, version, qualifiers)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url), licenses=licenses
    )


def format_bom(bom: Bom) -> str:
    """The bill as JSON of CycloneDX 1.6, held to that schema."""
    text = str(JsonV1Dot6(bom).output_as_string(indent=2))
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise RuntimeError(f"not CycloneDX 1.6: {error}")
    return text


if __name__ == "__main__":
    engine.run(main)
