"""Draws docs/finding.png: the accuracy of each fold under the protocols, from the folders of their evaluations.

python docs/finding.py published=FOLDER published-fresh=FOLDER nested-patient=FOLDER leave-source-out=FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TITLES = {
    "published": "published folds,\none head carried through",
    "published-fresh": "published folds,\nfresh weights for each",
    "nested-patient": "folds by patient,\nchosen inside them",
    "sources": "sources that it was\nnot trained on",
}
"""What each protocol is, under its bars."""
PUBLISHED = 0.93
"""Accuracy that Barros et al. (Sensors 2021, 21, 5486) state."""


def draw(folders: dict[str, Path], out: Path) -> None:
    """Draw a bar for each fold, and the accuracy of all tested clips with its interval, a group for each protocol."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(TITLES):
        metrics, details = (json.loads((folders[name] / one).read_text()) for one in ("metrics.json", "figures.json"))
        folds = [one["accuracy"] for one in details["folds"]]
        width = 0.6 / len(folds)
        starts = [place - 0.4 + number * width for number in range(len(folds))]
        axes.bar(starts, folds, width * 0.85, align="edge", color="#9db8d2", label="a fold" if place == 0 else None)
        bounds = metrics["interval"]["accuracy"]
        value = metrics["accuracy"]
        errors = [[value - bounds["low"]], [bounds["high"] - value]]
        label = "all tested clips, 95 % interval" if place == 0 else None
        axes.errorbar([place + 0.32], [value], errors, fmt="o", color="#a33", capsize=4, label=label)
        axes.annotate(f"{value:.2f}", (place + 0.36, value), va="center", color="#a33")
    axes.axhline(PUBLISHED, color="black", linewidth=0.8, linestyle="--", label=f"published: {PUBLISHED}")
    axes.set_xticks(range(len(TITLES)), list(TITLES.values()))
    axes.set_xlim(-0.5, len(TITLES) - 0.4)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("accuracy")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.86), fontsize=8)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    given = dict(one.split("=", 1) for one in sys.argv[1:])
    draw({name: Path(folder) for name, folder in given.items()}, Path(__file__).with_name("finding.png"))
