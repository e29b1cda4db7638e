from __future__ import annotations

from lus.evaluation import mlflow_run


def test_any_label_can_be_logged() -> None:
    figures = {"accuracy": 0.5, "f1.covid (severe), A+B/C": 1.0, "interval": {}}
    assert mlflow_run.as_metrics(figures) == {"accuracy": 0.5, "f1.covid _severe__ A_B_C": 1.0}
