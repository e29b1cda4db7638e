from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lus.heads.training import History
from lus.metrics import plots, scores
from lus.metrics.plots import Example

LABELS = ["covid-19", "healthy"]


def test_a_confusion_matrix_is_drawn_darkest_where_most_clips_are(tmp_path: Path) -> None:
    plots.confusion(np.array([[9, 1], [0, 10]]), LABELS, tmp_path / "a.png")
    plots.confusion(np.array([[1, 9], [10, 0]]), LABELS, tmp_path / "b.png")
    first, second = (cv2.imread(str(tmp_path / name)) for name in ("a.png", "b.png"))
    assert first.shape == second.shape
    assert (first != second).any()


def test_the_curves_of_a_training_are_drawn_for_each_fold(tmp_path: Path) -> None:
    history = History((1.0, 0.8, 0.5), (0.3, 0.4, 0.5), (1.1, 0.9, 1.0), (0.2, 0.3, 0.3))
    plots.curves([history], tmp_path / "one.png", "a head")
    plots.curves([history, history], tmp_path / "two.png", "a head")
    one, two = (cv2.imread(str(tmp_path / name)) for name in ("one.png", "two.png"))
    assert one.shape == two.shape
    assert (one != two).any()


def test_examples_show_the_frame_itself(tmp_path: Path) -> None:
    def draw(level: int) -> np.ndarray:
        frame = np.full((40, 40, 3), (level, 0, 0), np.uint8)
        row = [Example(frame, "healthy", np.array([0.2, 0.8], np.float32))]
        plots.examples([row], LABELS, tmp_path / f"{level}.png")
        return np.asarray(cv2.imread(str(tmp_path / f"{level}.png")))

    red = (draw(200) == (0, 0, 200)).all(axis=2).sum()
    assert red > 2000
    assert (draw(100) == (0, 0, 200)).all(axis=2).sum() == 0


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plots.confusion(np.array([[3, 1], [2, 4]]), LABELS, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def _answers(right: bool) -> tuple[np.ndarray, np.ndarray]:
    """Twelve clips, all of them answered rightly or wrongly, more or less surely."""
    targets = np.arange(12) % 2
    sure = np.linspace(0.6, 0.95, 12)
    given = np.where((targets == 1) == right, sure, 1 - sure)
    return targets, np.stack([1 - given, given], axis=1).astype(np.float32)


def _share(path: Path, colour: tuple[int, int, int]) -> float:
    """Of the picture's pixels, those near a colour (RGB)."""
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    return float((np.abs(picture - colour).max(axis=-1) < 12).mean())


BLUE, RED, GREEN = (31, 119, 180), (214, 39, 40), (44, 160, 44)


def _texts(axes: object) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[attr-defined]


def test_a_roc_curve_names_each_labels_area_and_none_where_there_is_no_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    saved = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), saved(self, *a, **k)))
    targets, probabilities = _answers(right=True)
    plots.roc(targets, probabilities, LABELS, tmp_path / "all.png")
    assert _texts(drawn[0].axes[0]) == ["chance", "covid-19: area 1.00", "healthy: area 1.00"]
    plots.roc(targets, 1 - probabilities, LABELS, tmp_path / "none.png")
    assert _texts(drawn[1].axes[0])[1:] == ["covid-19: area 0.00", "healthy: area 0.00"]
    plots.roc(targets * 0, probabilities, LABELS, tmp_path / "one.png")
    assert _texts(drawn[2].axes[0])[1:] == ["covid-19: no curve", "healthy: no curve"]
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("all.png", "none.png", "one.png"))


def test_a_reliability_diagram_draws_every_series(tmp_path: Path) -> None:
    bins = scores.reliability(*_answers(right=True))
    plots.reliability({"as trained": bins}, tmp_path / "one.png")
    cooler = bins.assign(confidence=bins["confidence"] - 0.2)
    plots.reliability({"as trained": bins, "with temperature": cooler}, tmp_path / "two.png")
    orange = (255, 127, 14)
    assert _share(tmp_path / "one.png", BLUE) > 0
    assert _share(tmp_path / "one.png", orange) == 0
    assert _share(tmp_path / "two.png", orange) > 0


def test_the_most_wrong_clips_have_longer_red_bars_the_surer_they_were(tmp_path: Path) -> None:
    targets, probabilities = _answers(right=False)
    rows = scores.most_wrong(targets, probabilities, 6)
    for name, chosen in (("sure", rows), ("unsure", np.zeros(6, int))):
        clips = [f"clips/$odd$ {row}.mp4" for row in chosen]
        plots.most_wrong(clips, targets[chosen], probabilities[chosen], LABELS, tmp_path / f"{name}.png")
    assert _share(tmp_path / "sure.png", RED) > 1.2 * _share(tmp_path / "unsure.png", RED) > 0
    assert _share(tmp_path / "unsure.png", GREEN) > _share(tmp_path / "sure.png", GREEN) > 0


def test_no_wrong_clip_is_said_in_words(tmp_path: Path) -> None:
    plots.most_wrong([], np.array([], int), np.zeros((0, 2), np.float32), LABELS, tmp_path / "a.png")
    assert _share(tmp_path / "a.png", RED) == 0
    assert _share(tmp_path / "a.png", (0, 0, 0)) > 0
