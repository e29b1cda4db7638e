from __future__ import annotations

from pathlib import Path

import optuna

from lus.search.study_page import draw_study_page


def test_the_page_of_a_study_with_one_finished_trial_is_drawn_too(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=1)
    draw_study_page(study, "A <study>", tmp_path / "one.html")
    page = (tmp_path / "one.html").read_text()
    assert "A &lt;study&gt;" in page
    assert "Importance of the parameters" not in page
    study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=2)
    draw_study_page(study, "A study", tmp_path / "three.html")
    assert "Importance of the parameters" in (tmp_path / "three.html").read_text()
