"""What `lus weights` prints: a table, and the same as JSON."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lus.cli.tables import print_json
from lus.features import imagenet
from lus.features.known_weights import KNOWN


def _rows() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for known in KNOWN.values():
        found = imagenet.held(known)
        rows.append(
            {
                "backbone": known.backbone,
                "weights": "imagenet",
                "made_by": known.made_by,
                "licence": known.licence,
                "digest": known.digest,
                "from": found.origin if found else None,
                "file": str(found.file) if found else None,
            }
        )
    return rows


def weights() -> None:
    """Print the known weights, one under the other: a digest and a path are long."""
    for row in _rows():
        table = Table("", Column("", overflow="fold"), title=f"{row['weights']} · {row['backbone']}", show_header=False)
        table.add_row("made by", escape(str(row["made_by"])))
        table.add_row("licence", escape(str(row["licence"])))
        table.add_row("digest", str(row["digest"]))
        table.add_row(
            "from",
            escape(str(row["from"] or "not here: `lus weights fetch` fetches them")),
        )
        table.add_row("file", escape(str(row["file"] or "none")))
        Console().print(table)
    print("of other backbones `imagenet` is what Keras downloads, with no known digest")


def weights_json() -> None:
    """Print the known weights as a JSON array."""
    print_json(_rows())
