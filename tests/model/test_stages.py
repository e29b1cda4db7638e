"""search, evaluate, register on a feature set made on the spot, with a real MLflow store."""

from __future__ import annotations

import functools
import json
import re
import shutil
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lus import (
    backbones,
    candidates,
    classifier,
    cohort,
    crossval,
    featureset,
    folds,
    frameset,
    params,
    registry,
    reports,
    tracking,
    training,
    trials,
    versions,
)
from lus.audit import checks, stored
from lus.candidates import Candidate
from lus.errors import BadInput
from lus.featureset import Info
from lus.heads import HeadParams
from lus.stages import evaluate, register, search
from lus.trials import FoldScore, PartTrials, Trial, Trials
from tests.conftest import ROOT, draw_frames, write_video

SIZE, LENGTH = 71, 4
NAMES = [f"xception-{LENGTH}"]
ALL = params.load(ROOT / "params.yaml")
SEARCH = ALL.search.model_copy(
    update={
        "trials": 2,
        "epochs": 3,
        "units": (4, 8),
        "dense": (4, 8),
        "max_dense_layers": 2,
        "batch": (8,),
        "learning_rate": (0.01, 0.02),
    }
)
CUT = params.Folds(seed=11, outer=2, inner=2)
EVALUATE = ALL.evaluate.model_copy(update={"bootstrap": 200})


def _clips(count: int) -> pd.DataFrame:
    rows = [
        {
            "clip_id": f"{number:064x}",
            "path": f"clips/{number}.avi",
            "label": ("normal", "sick")[number % 2],
            "patient": f"p{number // 4}-{number % 2}",
            "frames": 30,
            "fps": 20.0,
            "width": 120,
            "height": 104,
        }
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=list(cohort.COLUMNS)).fillna("unknown")


@functools.cache
def _weights() -> bytes:
    """A weights file of the backbone, written once for all tests."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "cnn.weights.h5"
        backbones.cnn_of(backbones.build("xception", SIZE, "random", seed=1)).save_weights(path)
        return path.read_bytes()


def _feature_set(build: Path, name: str = "xception", seed: int = 0) -> Path:
    """A feature set in which the label is plain to see, and the frame set it belongs to."""
    clips = _clips(36)
    folder = build / "features" / f"{name}-{LENGTH}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (36, LENGTH, 2048)).astype(np.float32)
    features[clips["label"] == "sick", :, :512] += 2
    weights = folder / featureset.WEIGHTS_FILE
    weights.write_bytes(_weights())
    info = Info(name, LENGTH, 2048, SIZE, SIZE, "random", tracking.sha256(weights))
    featureset.write(folder, features, clips, info)
    (build / "frames").mkdir(exist_ok=True)
    sampled = frameset.FrameSet(build / "frames", clips, (LENGTH,), SIZE, ALL.limits)
    frameset.write(sampled)
    (build / "frames" / "frames").mkdir(exist_ok=True)
    for clip_id in clips["clip_id"]:
        np.save(frameset.file_of(sampled.folder, clip_id), np.zeros((LENGTH, SIZE, SIZE, 3), np.uint8))
    return folder


def _search(build: Path, name: str = f"xception-{LENGTH}", params_: params.Search = SEARCH) -> trials.Trials:
    out = build / "search" / name
    search.run(build / "features" / name, out, params_, CUT)
    return trials.read(out)


@pytest.fixture
def searched(project: Path) -> Path:
    build = project / "build"
    _feature_set(build)
    _search(build)
    return build


def _runs(**tags: str) -> list[Run]:
    """The runs with these tags of this project."""
    runs = mlflow.search_runs(experiment_names=["lus"], output_format="list")
    return [run for run in runs if all(run.data.tags.get(f"lus.{name}") == value for name, value in tags.items())]


def test_every_trial_is_a_nested_run_with_its_parameters_and_scores(searched: Path) -> None:
    assert {run.info.status for run in _runs()} == {"FINISHED"}
    found = trials.read(searched / "search" / f"xception-{LENGTH}")
    assert [part.part for part in found.parts] == ["fold-0", "fold-1", "all"]
    for part in found.parts:
        (parent,) = _runs(kind="search", part=part.part)
        assert parent.info.run_name == f"{part.part} · search xception-{LENGTH}"
        nested = _runs(kind="trial", part=part.part)
        assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
        by_number = {run.data.params["number"]: run for run in nested}
        assert len(nested) == len(part.trials) == SEARCH.trials
        for trial in part.trials:
            run = by_number[str(trial.number)]
            assert run.data.params["units"] == str(trial.head.units)
            assert run.data.metrics["loss"] == pytest.approx(trial.loss)
            assert run.data.metrics["accuracy"] == pytest.approx(trial.accuracy)
            losses = MlflowClient().get_metric_history(run.info.run_id, "fold_loss")
            assert [one.value for one in losses] == pytest.approx([fold.loss for fold in trial.folds])
            course = MlflowClient().get_metric_history(run.info.run_id, "val_loss/fold-0")
            assert course[trial.folds[0].epochs - 1].value == pytest.approx(trial.folds[0].loss, abs=1e-6)
            assert min(one.value for one in course) == pytest.approx(trial.folds[0].loss, abs=1e-6)
        assert parent.data.metrics["best_loss"] == pytest.approx(part.best.loss)
        assert parent.data.metrics["trials_finished"] == SEARCH.trials


def test_a_run_says_what_it_was_run_on_what_became_of_it_and_what_it_took(searched: Path) -> None:
    folder = searched / "features" / f"xception-{LENGTH}"
    for run in _runs(kind="trial"):
        tags = run.data.tags
        assert tags["lus.state"] == "finished"
        assert tags["lus.features_sha256"] == tracking.sha256(folder / featureset.FEATURES_FILE)
        assert tags["lus.cohort"] == f"sha256:{tracking.sha256(folder / featureset.CLIPS_FILE)}"
        assert tags["lus.seed"] == run.data.params["seed"] == str(SEARCH.seed)
        assert {"lus.git_commit", "lus.study", "mlflow.note.content"} <= set(tags)
        assert f"LSTM {run.data.params['units']}, dense" in run.info.run_name
        assert run.data.metrics["seconds"] > run.data.metrics["seconds_per_epoch"] > 0
        assert 100 < run.data.metrics["peak_memory_mb"] < 20_000
        (dataset,) = run.inputs.dataset_inputs
        assert dataset.dataset.name == f"clips of {tags['lus.part']}"
        assert dataset.dataset.digest
    of_parts = {run.inputs.dataset_inputs[0].dataset.digest for run in _runs(kind="search")}
    assert len(of_parts) == 3


def test_a_searchs_run_carries_its_plots_in_a_page_of_its_own_and_its_best_trial_in_pictures(searched: Path) -> None:
    for run in _runs(kind="search"):
        folder = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(searched / "got")))
        assert {path.name for path in folder.iterdir()} >= {
            "study.html",
            "best-confusion.png",
            "best-curves.png",
            "trials.json",
        }
        page = (folder / "study.html").read_text()
        assert "Plotly.newPlot" in page
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
        for name in ("How it went", "All parameters", "Loss by parameter"):
            assert name in page


def test_the_same_seed_gives_the_same_bytes_twice(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("search/xception-4/trials.json", "evaluation/metrics.json", "evaluation/predictions.csv")
    for name in ("one", "two"):
        monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{project}/{name}.db")  # nothing is known from the first time
        _feature_set(project / name)
        _search(project / name)
        evaluate.run(project / name, NAMES, project / name / "evaluation", EVALUATE, CUT)
    for file in files:
        assert (project / "one" / file).read_bytes() == (project / "two" / file).read_bytes()


def test_evaluation_tests_every_clip_once_and_by_a_head_chosen_without_it(searched: Path) -> None:
    out = searched / "evaluation"
    sentence = evaluate.run(searched, NAMES, out, EVALUATE, CUT)
    summary = json.loads((out / reports.METRICS_FILE).read_text())
    assert summary["protocol"] == "nested-patient"
    assert summary["accuracy"] > 0.8
    assert f"accuracy {summary['accuracy']:.2f}" in sentence
    assert summary["interval"]["accuracy"]["low"] <= summary["accuracy"] <= summary["interval"]["accuracy"]["high"]
    table = pd.read_csv(out / stored.PREDICTIONS)
    assert len(table) == 36
    assert table["clip_id"].is_unique
    assert table.groupby("patient")["fold"].nunique().max() == 1
    assert (table["predicted"] == table["label"]).mean() == pytest.approx(summary["accuracy"])
    found = trials.read(searched / "search" / f"xception-{LENGTH}")
    choices = json.loads((out / reports.CHOICE_FILE).read_text())["folds"]
    for choice in choices:
        losses = [trial.loss for trial in found.of(f"fold-{choice['fold']}").trials]
        assert choice["trial"] == int(np.argmin(losses))


def test_nothing_of_a_fold_is_trained_on_its_test_clips(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    train = training.train

    def watched(head: HeadParams, features: np.ndarray, *arguments: object, **options: object) -> object:
        seen.append(features)
        return train(head, features, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train", watched)
    evaluate.run(searched, NAMES, searched / "evaluation", EVALUATE, CUT)
    data = featureset.read(searched / "features" / NAMES[0])
    outer = data.parts(CUT)[:-1]
    assert len(seen) == 2 * len(outer)  # the head, and one that does not know the order of the frames
    for number, fold in enumerate(outer):
        assert (seen[2 * number] == data.features[fold.train]).all()
        assert (np.sort(seen[2 * number + 1], axis=1) == np.sort(data.features[fold.train], axis=1)).all()
        assert not set(fold.train) & set(fold.test)


def test_the_figures_say_what_is_reached_without_the_model(searched: Path) -> None:
    evaluate.run(searched, NAMES, searched / "evaluation", EVALUATE, CUT)
    details = json.loads((searched / "evaluation" / reports.FIGURES_FILE).read_text())
    ways = details["ways"]
    # All clips are of one source, so that it says nothing.
    assert set(ways) == set(crossval.WAYS) - {"source"}
    assert ways["majority"]["accuracy"] == pytest.approx(0.5, abs=0.1)
    assert ways["frame-mean"]["accuracy"] > 0.8
    better = ways["majority"]["model_better_by"]
    assert better["difference"] == pytest.approx(ways["lstm"]["accuracy"] - ways["majority"]["accuracy"])
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
    again = checks.run(stored.read(searched))
    assert stored.as_json(again) == found
    (run,) = _runs(kind="evaluation")
    assert run.data.tags["lus.leaking"] == "false"
    assert {"accuracy_of.lstm", "accuracy_of.majority", "auc", "brier_low"} <= set(run.data.metrics)


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
    folder = _feature_set(build)
    # Noise that can only be learnt by heart: what is known of it comes from an earlier fold.
    noise = np.random.default_rng(1).normal(0, 1, (36, LENGTH, 2048)).astype(np.float32)
    np.save(folder / featureset.FEATURES_FILE, noise)
    accuracies = {}
    for protocol in ("published", "published-fresh"):
        cut = _published(project, protocol)
        space = SEARCH.model_copy(update={"epochs": 12, "units": (32,), "trials": 1})
        search.run(folder, build / "search" / NAMES[0], space, cut)
        assert [part.part for part in trials.read(build / "search" / NAMES[0]).parts] == ["all"]
        sentence = evaluate.run(build, NAMES, build / "evaluation", EVALUATE, cut)
        summary = json.loads((build / "evaluation" / reports.METRICS_FILE).read_text())
        assert (summary["protocol"], summary["leaking"]) == (protocol, True)
        assert f"protocol {protocol}, which leaks" in sentence
        audit = json.loads((build / "evaluation" / stored.AUDIT).read_text())
        found = {one["check"] for one in audit["findings"] if one["level"] == "leak"}
        assert {"protocol", "patients", "selection"} <= found
        assert ("weights" in found) == (protocol == "published")
        (run,) = _runs(kind="evaluation", protocol=protocol)
        assert run.info.run_name.endswith(f"{protocol} (leaks)")
        assert "It leaks" in run.data.tags["mlflow.note.content"]
        folds_ = json.loads((build / "evaluation" / reports.FIGURES_FILE).read_text())["folds"]
        accuracies[protocol] = [fold["accuracy"] for fold in folds_]
    assert accuracies["published"][0] == accuracies["published-fresh"][0]
    assert min(accuracies["published"][1:]) > max(accuracies["published-fresh"])


def test_sources_left_out_are_tested_by_heads_that_never_saw_them(project: Path) -> None:
    build = project / "build"
    folder = _feature_set(build)
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
    ways = json.loads((build / "evaluation" / reports.FIGURES_FILE).read_text())["ways"]
    assert "source" in ways


def test_what_a_folds_test_clips_look_like_changes_neither_proposals_nor_scores_of_that_fold(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = project / "build"
    folder = _feature_set(build)
    space = SEARCH.model_copy(update={"trials": 10, "epochs": 2})  # so that TPE has begun to learn from them
    before = _search(build, params_=space)
    features = np.load(folder / featureset.FEATURES_FILE)
    rng = np.random.default_rng(9)
    test = before.of("fold-0").test
    features[test] = rng.normal(5, 3, features[test].shape)
    np.save(folder / featureset.FEATURES_FILE, features)
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{project}/again.db")  # nothing is known from before
    after = _search(build, params_=space)
    assert after.of("fold-0").trials == before.of("fold-0").trials
    for part in ("fold-1", "all"):
        assert after.of(part).trials != before.of(part).trials


def test_features_that_say_nothing_score_like_chance(project: Path) -> None:
    build = project / "build"
    folder = _feature_set(build)
    rng = np.random.default_rng(1)
    np.save(folder / featureset.FEATURES_FILE, rng.normal(0, 1, (36, LENGTH, 2048)).astype(np.float32))
    _search(build)
    evaluate.run(build, NAMES, build / "evaluation", EVALUATE, CUT)
    summary = json.loads((build / "evaluation" / reports.METRICS_FILE).read_text())
    assert 0.2 < summary["accuracy"] < 0.8


def test_any_label_can_be_logged() -> None:
    figures = {"accuracy": 0.5, "f1.covid (severe), A+B/C": 1.0, "interval": {}}
    assert reports._flat(figures) == {"accuracy": 0.5, "f1.covid _severe__ A_B_C": 1.0}


def test_the_better_of_two_feature_sets_is_chosen(project: Path) -> None:
    build = project / "build"
    noise = _feature_set(build, "aaa")
    np.save(noise / featureset.FEATURES_FILE, np.zeros((36, LENGTH, 2048), np.float32))
    _feature_set(build)
    for name in (f"aaa-{LENGTH}", f"xception-{LENGTH}"):
        _search(build, name)
    both = [f"aaa-{LENGTH}", *NAMES]
    evaluate.run(build, both, build / "evaluation", EVALUATE, CUT)
    choice = json.loads((build / "evaluation" / reports.CHOICE_FILE).read_text())
    assert choice["feature_set"] == f"xception-{LENGTH}"


def test_beside_backbones_trained_for_each_part_all_are_compared_on_the_fold_that_these_were_validated_on() -> None:
    rows = np.arange(2)
    part = folds.Part("all", rows, rows[:0], (folds.Fold(rows[:1], rows[1:]), folds.Fold(rows[1:], rows[:1])))

    def candidate(name: str, losses: tuple[float, ...], cut: dict[str, int] | None) -> Candidate:
        trial = Trial(0, HeadParams(), tuple(FoldScore(loss, 0.5, 1) for loss in losses))
        info = Info(name, LENGTH, 8, SIZE, SIZE, "x", "", folds=cut)
        data = featureset.FeatureSet(Path(name), np.zeros((2, LENGTH, 8), np.float32), _clips(2), info)
        return Candidate(data, Trials(name, (PartTrials("all", rows[:0], (trial,)),)), {"all": part})

    def backbone(*among: Candidate) -> str:
        return candidates.choose(among, "all").candidate.data.info.backbone

    others = candidate("even", (0.5, 0.5), None), candidate("easy-first", (0.3, 0.9), None)
    assert backbone(*others) == "even"
    trained = candidate("trained", (0.4,), CUT.model_dump())
    assert backbone(*others, trained) == "easy-first"


def test_searches_with_other_folds_are_not_compared(project: Path) -> None:
    build = project / "build"
    _feature_set(build, "aaa")
    _feature_set(build)
    _search(build)
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


def test_what_is_missing_is_named(project: Path) -> None:
    _feature_set(project)
    with pytest.raises(BadInput, match="`dvc repro search` makes it"):
        candidates.read(project, NAMES, CUT)
    with pytest.raises(BadInput, match="`dvc repro features` makes it"):
        featureset.read(project / "features" / "xception-9")


def _register(build: Path) -> str:
    evaluate.run(build, NAMES, build / "evaluation", EVALUATE, CUT)
    register.run(build, build / "register.json", ALL.register_)
    return str(json.loads((build / "register.json").read_text())["version"])


def test_a_registered_classifier_can_be_traced_and_asked(searched: Path, tmp_path: Path) -> None:
    first = _register(searched)
    version = registry.by_alias("lus-classifier", registry.CHAMPION, registry.CHALLENGER)
    assert (str(version.version), version.aliases) == (first, ["challenger"])
    assert version.tags["clips_sha256"] == tracking.sha256(searched / "features" / f"xception-{LENGTH}" / "clips.csv")
    assert version.tags["trials_sha256"] == tracking.sha256(searched / "search" / f"xception-{LENGTH}" / "trials.json")
    run = MlflowClient().get_run(version.run_id)
    parity = registry.compile_into(version, "openvino-f32", tmp_path / "served").parity()
    assert (parity.clips, parity.holds) == (2, True)
    assert run.data.tags["lus.kind"] == "evaluation"
    assert run.data.metrics["accuracy"] == pytest.approx(float(version.tags["accuracy"]), abs=1e-4)

    clip = write_video(tmp_path / "clip.avi", draw_frames(20, 120, 104, 3))
    still = write_video(tmp_path / "still.avi", np.repeat(draw_frames(1, 120, 104, 3), 20, axis=0))
    with registry.load(version) as loaded:
        assert loaded.card.version == first
        answer = loaded.classify(clip)
        with pytest.raises(
            BadInput, match=r"still\.avi: the share of identical neighbouring frames is 1, at most 0\.5"
        ):
            loaded.classify(still)
    assert set(answer.probabilities) == {"normal", "sick"}
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer.model == {"name": "lus-classifier", "version": first, "lineage": registry.lineage_id(version)}
    shown = versions.lineage("lus-classifier", answer.model["lineage"])
    assert shown.params is not None
    assert shown.params["register"]["name"] == "lus-classifier"
    assert version.description.startswith("# Model card")
    assert "| normal | 18 | 9 |" in version.description


def test_the_registered_classifier_is_backbone_and_head_joined(searched: Path) -> None:
    folder = searched / "features" / f"xception-{LENGTH}"
    data = featureset.read(folder)
    small = HeadParams(units=4, dense=(4,), batch=8)
    head = training.train(small, data.features, folds.targets(data.clips), 2, epochs=1, seed=0).model(LENGTH)
    backbone = backbones.build("xception", SIZE, folder / featureset.WEIGHTS_FILE)
    joined = classifier.assemble(backbone, head, LENGTH)
    frames = np.stack([draw_frames(LENGTH, SIZE, SIZE, seed) for seed in range(3)])
    features = np.stack(list(backbones.features(backbones.traced(backbone), list(frames), 4)))
    assert np.allclose(joined.predict(frames, verbose=0), head.predict(features, verbose=0), atol=1e-5)


def test_nothing_registered_is_said_clearly(project: Path) -> None:
    with pytest.raises(BadInput, match="lus-classifier has no champion and no challenger"):
        registry.by_alias("lus-classifier", "champion", "challenger")
    with pytest.raises(BadInput, match="has no version 1; it has none yet"):
        registry.by_number("lus-classifier", "1")


def test_an_evaluation_from_dvcs_cache_is_logged_where_its_run_is_unknown(searched: Path, empty_database: Path) -> None:
    evaluate.run(searched, NAMES, searched / "evaluation", EVALUATE, CUT)
    elsewhere = searched.parent / "elsewhere.db"
    shutil.copy(empty_database, elsewhere)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
        register.run(searched, searched / "register.json", ALL.register_)
        version = registry.by_alias("lus-classifier", "challenger")
        run = MlflowClient().get_run(version.run_id)
    assert run.data.tags["lus.kind"] == "evaluation"
    assert run.data.metrics["accuracy"] == pytest.approx(float(version.tags["accuracy"]), abs=1e-4)
