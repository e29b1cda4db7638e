"""What an evaluation chooses, tests, says of itself, and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lus.audit import stored
from lus.audit.checks import run_audit
from lus.clips import cohort
from lus.common import params
from lus.common.errors import BadInput
from lus.evaluation import cross_validation, files
from lus.evaluation.methods import METHODS
from lus.features import featureset
from lus.heads import training
from lus.heads.model import HeadParams
from lus.metrics import strata
from lus.search import trials_file
from lus.stages import evaluate, search
from tests.small_runs import (
    CUT,
    EVALUATE,
    LENGTH,
    NAMES,
    SEARCH,
    feature_set,
    run_search,
    runs_with,
)


def test_the_same_seed_gives_the_same_bytes_twice(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("search/xception-4/trials.json", "evaluation/metrics.json", "evaluation/predictions.csv")
    for name in ("one", "two"):
        monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{project}/{name}.db")  # nothing is known from the first time
        feature_set(project / name)
        run_search(project / name)
        evaluate.run(project / name, NAMES, project / name / "evaluation", EVALUATE, CUT)
    for file in files:
        assert (project / "one" / file).read_bytes() == (project / "two" / file).read_bytes()


def test_evaluation_tests_every_clip_once_and_by_a_head_chosen_without_it(searched: Path) -> None:
    out = searched / "evaluation"
    sentence = evaluate.run(searched, NAMES, out, EVALUATE, CUT)
    summary = json.loads((out / files.METRICS_FILE).read_text())
    assert summary["protocol"] == "nested-patient"
    assert summary["accuracy"] > 0.8
    assert f"accuracy {summary['accuracy']:.2f}" in sentence
    assert summary["interval"]["accuracy"]["low"] <= summary["accuracy"] <= summary["interval"]["accuracy"]["high"]
    table = pd.read_csv(out / stored.PREDICTIONS)
    assert len(table) == 36
    assert table["clip_id"].is_unique
    assert table.groupby("patient")["fold"].nunique().max() == 1
    assert (table["predicted"] == table["label"]).mean() == pytest.approx(summary["accuracy"])
    by_label = {one["stratum"]: one["accuracy"] for one in strata.read_strata(out / strata.STRATA_FILE)}
    right = table["predicted"] == table["label"]
    first = table.drop_duplicates("patient")
    assert (first["patient_predicted"] == first["label"]).mean() == pytest.approx(summary["patient.accuracy"])
    assert table.groupby("patient")["p_sick"].mean().tolist() == pytest.approx(
        first.set_index("patient").sort_index()["patient_p_sick"].tolist(), abs=1e-5
    )
    assert by_label == pytest.approx(right.groupby(table["label"]).mean().to_dict(), abs=1e-5)
    found = trials_file.read(searched / "search" / f"xception-{LENGTH}")
    choices = json.loads((out / files.CHOICE_FILE).read_text())["folds"]
    for choice in choices:
        losses = [trial.loss for trial in found.get_part(f"fold-{choice['fold']}").trials]
        assert choice["trial"] == int(np.argmin(losses))


def test_nothing_of_a_fold_is_trained_on_its_test_clips(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    train = training.train

    def watched(head: HeadParams, features: np.ndarray, *arguments: object, **options: object) -> object:
        seen.append((features, options.get("validation")))
        return train(head, features, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train", watched)
    monkeypatch.setattr(cross_validation._Fold, "_ignores_order", lambda _: False)
    evaluate.run(searched, NAMES, searched / "evaluation", EVALUATE, CUT)
    data = featureset.read(searched / "features" / NAMES[0])
    outer = data.parts(CUT)[:-1]
    each = 2 + CUT.inner  # the head; one that does not know the order of the frames, on the inner folds and on all
    assert len(seen) == each * len(outer)

    def shuffled(given: np.ndarray, rows: np.ndarray) -> bool:
        return bool((np.sort(given, axis=1) == np.sort(data.features[rows], axis=1)).all())

    for number, fold in enumerate(outer):
        (own, _), *inner, (blind, held_out) = seen[each * number : each * (number + 1)]
        assert (own == data.features[fold.train]).all()
        assert shuffled(blind, fold.train)
        assert held_out is None
        for part, (given, validation) in zip(fold.inner, inner, strict=True):
            assert shuffled(given, part.train)
            assert shuffled(validation[0], part.test)
            assert set(part.train) | set(part.test) == set(fold.train)
        assert not set(fold.train) & set(fold.test)


def test_the_figures_say_what_is_reached_without_the_model(searched: Path) -> None:
    evaluate.run(searched, NAMES, searched / "evaluation", EVALUATE, CUT)
    details = json.loads((searched / "evaluation" / files.FIGURES_FILE).read_text())
    ways = details["ways"]
    # All clips are of one source, so that it says nothing.
    assert set(ways) == set(METHODS) - {"source"}
    assert ways["majority"]["accuracy"] == pytest.approx(0.5, abs=0.1)
    assert ways["frame-mean"]["accuracy"] > 0.8
    better = ways["majority"]["model_better_by"]
    assert better["difference"] == pytest.approx(ways["model"]["accuracy"] - ways["majority"]["accuracy"])
    assert better["low"] <= better["difference"] <= better["high"]
    assert better["p_better"] < 0.05
    assert [fold["fold"] for fold in details["folds"]] == [0, 1]
    accuracies = [fold["accuracy"] for fold in details["folds"]]
    assert details["over_folds"]["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert len(details["calibration"]["temperatures"]) == 2
    drawn = {path.name for path in (searched / "evaluation").glob("*.png")}
    assert drawn == {"baselines.png", "confusion.png", "examples.png", "most-wrong.png", "reliability.png", "roc.png"}


def test_a_fair_evaluation_passes_every_check_of_its_audit(searched: Path) -> None:
    evaluate.run(searched, NAMES, searched / "evaluation", EVALUATE, CUT)
    found = json.loads((searched / "evaluation" / stored.AUDIT).read_text())
    assert not found["leaking"]
    assert {"protocol", "patients", "weights", "memory", "statistics", "selection", "figures"} <= set(found["passed"])
    again = run_audit(stored.read(searched))
    assert stored.as_json(again) == found
    (run,) = runs_with(kind="evaluation")
    assert run.data.tags["lus.leaking"] == "false"
    assert {"accuracy_of.model", "accuracy_of.majority", "auc", "brier_low"} <= set(run.data.metrics)


def _published(project: Path, protocol: str) -> params.Folds:
    """Folds of a file in which patients stand on both sides."""
    names = [f"{number}.avi" for number in range(36)]
    cut = {
        str(fold): {"train": [n for k, n in enumerate(names) if k % 3 != fold], "test": names[fold::3]}
        for fold in range(3)
    }
    (project / "folds").mkdir(exist_ok=True)
    (project / "folds/published.json").write_text(json.dumps(cut))
    return CUT.model_copy(update={"protocol": protocol})


def test_the_published_protocol_carries_one_head_through_the_folds_and_its_figures_say_so(project: Path) -> None:
    build = project / "build"
    folder = feature_set(build)
    # Noise that can only be learnt by heart: what is known of it comes from an earlier fold.
    noise = np.random.default_rng(1).normal(0, 1, (36, LENGTH, 2048)).astype(np.float32)
    np.save(folder / featureset.FEATURES_FILE, noise)
    accuracies = {}
    for protocol in ("published", "published-fresh"):
        cut = _published(project, protocol)
        # An LSTM: it learns noise by heart in so few epochs, as one that pools its frames may not.
        space = SEARCH.model_copy(update={"heads": ("lstm",), "epochs": 12, "units": (32,), "trials": 1})
        search.run(folder, build / "search" / NAMES[0], space, cut)
        assert [part.part for part in trials_file.read(build / "search" / NAMES[0]).parts] == ["all"]
        sentence = evaluate.run(build, NAMES, build / "evaluation", EVALUATE, cut)
        summary = json.loads((build / "evaluation" / files.METRICS_FILE).read_text())
        assert (summary["protocol"], summary["leaking"]) == (protocol, True)
        assert f"protocol {protocol}, which leaks" in sentence
        audit = json.loads((build / "evaluation" / stored.AUDIT).read_text())
        found = {one["check"] for one in audit["findings"] if one["level"] == "leak"}
        assert {"protocol", "patients", "selection"} <= found
        assert ("weights" in found) == (protocol == "published")
        (run,) = runs_with(kind="evaluation", protocol=protocol)
        assert run.info.run_name.endswith(f"{protocol} (leaks)")
        assert "It leaks" in run.data.tags["mlflow.note.content"]
        folds_ = json.loads((build / "evaluation" / files.FIGURES_FILE).read_text())["folds"]
        accuracies[protocol] = [fold["accuracy"] for fold in folds_]
    assert accuracies["published"][0] == accuracies["published-fresh"][0]
    assert min(accuracies["published"][1:]) > max(accuracies["published-fresh"])


def test_sources_left_out_are_tested_by_heads_that_never_saw_them(project: Path) -> None:
    build = project / "build"
    folder = feature_set(build)
    clips = cohort.read(folder / featureset.CLIPS_FILE)
    clips["source"] = [("north", "south")[number // 8 % 2] for number in range(36)]
    clips.to_csv(folder / featureset.CLIPS_FILE, index=False)
    cut = CUT.model_copy(update={"protocol": "leave-source-out"})
    search.run(folder, build / "search" / NAMES[0], SEARCH, cut)
    evaluate.run(build, NAMES, build / "evaluation", EVALUATE, cut)
    table = pd.read_csv(build / "evaluation" / stored.PREDICTIONS, dtype={"clip_id": str})
    sources = table["clip_id"].map(clips.set_index("clip_id")["source"])
    assert set(zip(table["fold"], sources, strict=True)) == {(0, "north"), (1, "south")}
    assert not json.loads((build / "evaluation" / stored.AUDIT).read_text())["leaking"]
    ways = json.loads((build / "evaluation" / files.FIGURES_FILE).read_text())["ways"]
    assert "source" in ways


def test_heads_trained_again_give_the_spread_over_seeds_and_change_nothing_else(searched: Path) -> None:
    out = searched / "evaluation"
    evaluate.run(searched, NAMES, out, EVALUATE, CUT)
    once, predicted = json.loads((out / files.FIGURES_FILE).read_text()), (out / stored.PREDICTIONS).read_bytes()
    assert once["trainings"]["std"] is None
    evaluate.run(searched, NAMES, out, EVALUATE.model_copy(update={"repeats": 3}), CUT)
    again = json.loads((out / files.FIGURES_FILE).read_text())
    assert (out / stored.PREDICTIONS).read_bytes() == predicted
    found = again.pop("trainings")
    assert len(found["accuracies"]) == 3
    assert found["accuracies"][0] == once.pop("trainings")["mean"]
    assert found["std"] == pytest.approx(np.std(found["accuracies"], ddof=1))
    assert again == once


def test_predictions_and_intervals_are_of_groups_of_patients(project: Path) -> None:
    build = project / "build"
    folder = feature_set(build)
    clips = cohort.read(folder / featureset.CLIPS_FILE)
    joined = {"p0-0": "p0-0 + p1-0", "p1-0": "p0-0 + p1-0"}
    clips["group"] = clips["patient"].map(lambda name: joined.get(name, name))
    clips.to_csv(folder / featureset.CLIPS_FILE, index=False)
    run_search(build)
    evaluate.run(build, NAMES, build / "evaluation", EVALUATE, CUT)
    table = pd.read_csv(build / "evaluation" / stored.PREDICTIONS, dtype=str)
    assert table.columns[:5].tolist() == ["clip_id", "path", "patient", "group", "label"]
    assert dict(zip(table["patient"], table["group"], strict=True)).items() >= joined.items()
    assert table[table["group"] == "p0-0 + p1-0"]["fold"].nunique() == 1
    summary = json.loads((build / "evaluation" / files.METRICS_FILE).read_text())
    assert summary["groups"] == summary["patients"] - 1 == table["group"].nunique()


def test_features_that_say_nothing_score_like_chance(project: Path) -> None:
    build = project / "build"
    folder = feature_set(build)
    rng = np.random.default_rng(1)
    np.save(folder / featureset.FEATURES_FILE, rng.normal(0, 1, (36, LENGTH, 2048)).astype(np.float32))
    run_search(build)
    evaluate.run(build, NAMES, build / "evaluation", EVALUATE, CUT)
    summary = json.loads((build / "evaluation" / files.METRICS_FILE).read_text())
    assert 0.2 < summary["accuracy"] < 0.8


def test_the_better_of_two_feature_sets_is_chosen(project: Path) -> None:
    build = project / "build"
    noise = feature_set(build, "aaa")
    np.save(noise / featureset.FEATURES_FILE, np.zeros((36, LENGTH, 2048), np.float32))
    feature_set(build)
    for name in (f"aaa-{LENGTH}", f"xception-{LENGTH}"):
        run_search(build, name)
    both = [f"aaa-{LENGTH}", *NAMES]
    evaluate.run(build, both, build / "evaluation", EVALUATE, CUT)
    choice = json.loads((build / "evaluation" / files.CHOICE_FILE).read_text())
    assert choice["feature_set"] == f"xception-{LENGTH}"


def test_searches_with_other_folds_are_not_compared(project: Path) -> None:
    build = project / "build"
    feature_set(build, "aaa")
    feature_set(build)
    run_search(build)
    search.run(
        build / "features" / f"aaa-{LENGTH}",
        build / "search" / f"aaa-{LENGTH}",
        SEARCH.model_copy(update={"trials": 1, "epochs": 1}),
        CUT.model_copy(update={"seed": 99}),
    )
    with pytest.raises(BadInput, match=r"its search has other clips or folds than params\.yaml"):
        evaluate.run(build, [f"aaa-{LENGTH}", *NAMES], build / "evaluation", EVALUATE, CUT)
    # Named or not is what counts: what an earlier day left in the folder takes no part.
    evaluate.run(build, NAMES, build / "evaluation", EVALUATE, CUT)
