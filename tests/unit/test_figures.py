from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lus import figures
from lus.figures import Example
from lus.training import History

LABELS = ["covid-19", "healthy"]


def test_a_confusion_matrix_is_drawn_darkest_where_most_clips_are(tmp_path: Path) -> None:
    figures.confusion(np.array([[9, 1], [0, 10]]), LABELS, tmp_path / "a.png")
    figures.confusion(np.array([[1, 9], [10, 0]]), LABELS, tmp_path / "b.png")
    first, second = (cv2.imread(str(tmp_path / name)) for name in ("a.png", "b.png"))
    assert first.shape == second.shape
    assert (first != second).any()


def test_the_curves_of_a_training_are_drawn_for_each_fold(tmp_path: Path) -> None:
    history = History((1.0, 0.8, 0.5), (0.3, 0.4, 0.5), (1.1, 0.9, 1.0), (0.2, 0.3, 0.3))
    figures.curves([history], tmp_path / "one.png", "a head")
    figures.curves([history, history], tmp_path / "two.png", "a head")
    one, two = (cv2.imread(str(tmp_path / name)) for name in ("one.png", "two.png"))
    assert one.shape == two.shape
    assert (one != two).any()


def test_examples_show_the_frame_itself(tmp_path: Path) -> None:
    def draw(level: int) -> np.ndarray:
        frame = np.full((40, 40, 3), (level, 0, 0), np.uint8)
        row = [Example(frame, "healthy", np.array([0.2, 0.8], np.float32))]
        figures.examples([row], LABELS, tmp_path / f"{level}.png")
        return np.asarray(cv2.imread(str(tmp_path / f"{level}.png")))

    red = (draw(200) == (0, 0, 200)).all(axis=2).sum()
    assert red > 2000
    assert (draw(100) == (0, 0, 200)).all(axis=2).sum() == 0


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        figures.confusion(np.array([[3, 1], [2, 4]]), LABELS, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
