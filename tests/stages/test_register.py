"""A chosen classifier becomes a version, with a real MLflow store."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from lus import phantom
from lus.cli import main
from lus.clips import cohort
from lus.common import hashing
from lus.common.errors import BadInput
from lus.evaluation import files
from lus.features import backbones, featureset
from lus.heads import training
from lus.heads.model import HeadParams
from lus.inference import keras_model
from lus.registry import aliases, download, models, versions
from lus.splits import folds
from lus.stages import evaluate, register, search
from lus.tracking import lineage, runs
from tests.conftest import draw_frames, write_video
from tests.small_runs import ALL, CUT, EVALUATE, LENGTH, NAMES, SEARCH, SIZE, feature_set


def _register(build: Path) -> str:
    evaluate.run(build, NAMES, build / "evaluation", EVALUATE, CUT)
    register.run(build, build / "register.json", ALL.register_)
    return str(json.loads((build / "register.json").read_text())["version"])


def test_a_registered_classifier_can_be_traced_and_asked(searched: Path, tmp_path: Path) -> None:
    first = _register(searched)
    version = aliases.get_version_by_alias("lus-classifier", aliases.CHAMPION, aliases.CHALLENGER)
    assert (str(version.version), version.aliases) == (first, ["challenger"])
    assert version.tags["clips_sha256"] == hashing.sha256(searched / "features" / f"xception-{LENGTH}" / "clips.csv")
    assert version.tags["trials_sha256"] == hashing.sha256(searched / "search" / f"xception-{LENGTH}" / "trials.json")
    run = MlflowClient().get_run(version.run_id)
    parity = download.compile_into(version, "openvino-f32", tmp_path / "served").parity()
    assert (parity.clips, parity.holds) == (3, True)
    assert run.data.tags["lus.kind"] == "evaluation"
    assert run.data.metrics["accuracy"] == pytest.approx(float(version.tags["accuracy"]), abs=1e-4)

    clip = write_video(tmp_path / "clip.avi", draw_frames(20, 120, 104, 3))
    still = write_video(tmp_path / "still.avi", np.repeat(draw_frames(1, 120, 104, 3), 20, axis=0))
    with download.load_classifier(version) as loaded:
        assert loaded.metadata.version == first
        answer = loaded.classify(clip)
        with pytest.raises(
            BadInput, match=r"still\.avi: the share of identical neighbouring frames is 1, at most 0\.5"
        ):
            loaded.classify(still)
    assert set(answer.probabilities) == {"normal", "sick"}
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer.model == {"name": "lus-classifier", "version": first, "lineage": models.lineage_id(version)}
    shown = versions.lineage("lus-classifier", answer.model["lineage"])
    assert shown.params is not None
    assert shown.params["register"]["name"] == "lus-classifier"
    assert version.description.startswith("# Model card")
    assert "| normal | 18 | 9 |" in version.description
    assert "| label | normal | 18 | 9 |" in version.description
    assert "18 patients, each answered by the mean of the probabilities of its clips." in version.description
    assert "; of patients, by all clips of each, " in shown.summary["test"]
    assert [one["stratum"] for one in shown.strata] == ["normal", "sick"]


def test_no_frame_of_a_clip_is_kept_with_a_version(searched: Path, tmp_path: Path) -> None:
    marked = np.full((LENGTH, SIZE, SIZE, 3), 171, np.uint8)
    for file in (searched / "frames" / "frames").iterdir():
        np.save(file, marked)
    _register(searched)
    version = aliases.get_version_by_alias("lus-classifier", aliases.CHALLENGER)
    download.compile_into(version, "openvino-f32", tmp_path / "served")
    stored = np.load(tmp_path / "served" / "input_example.npy")
    assert np.array_equal(stored, phantom.draw_example_clips(LENGTH, SIZE))
    kept = [file for file in (searched.parent / "mlartifacts").rglob("*") if file.is_file()]
    assert {file.name for file in kept} >= {"predictions.csv", "input_example.npy", "confusion.png"}
    assert [file for file in kept if file.name == "examples.png" or marked.tobytes()[:900] in file.read_bytes()] == []


def test_the_registered_classifier_is_backbone_and_head_joined(searched: Path) -> None:
    folder = searched / "features" / f"xception-{LENGTH}"
    data = featureset.read(folder)
    small = HeadParams(units=4, dense=(4,), batch=8)
    head = training.train(small, data.features, folds.targets(data.clips), 2, epochs=1, seed=0).model(LENGTH)
    backbone = backbones.build("xception", SIZE, folder / featureset.WEIGHTS_FILE)
    joined = keras_model.assemble(backbone, head, LENGTH)
    frames = np.stack([draw_frames(LENGTH, SIZE, SIZE, seed) for seed in range(3)])
    features = np.stack(list(backbones.compute_features(backbones.trace(backbone), list(frames), 4)))
    assert np.allclose(joined.predict(frames, verbose=0), head.predict(features, verbose=0), atol=1e-5)


def test_nothing_registered_is_said_clearly(project: Path) -> None:
    with pytest.raises(BadInput, match="lus-classifier has no champion and no challenger"):
        aliases.get_version_by_alias("lus-classifier", "champion", "challenger")
    with pytest.raises(BadInput, match="has no version 1; it has none yet"):
        models.get_version("lus-classifier", "1")


def test_an_evaluation_from_dvcs_cache_is_logged_where_its_run_is_unknown(searched: Path, empty_database: Path) -> None:
    evaluate.run(searched, NAMES, searched / "evaluation", EVALUATE, CUT)
    elsewhere = searched.parent / "elsewhere.db"
    shutil.copy(empty_database, elsewhere)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
        register.run(searched, searched / "register.json", ALL.register_)
        version = aliases.get_version_by_alias("lus-classifier", "challenger")
        run = MlflowClient().get_run(version.run_id)
    assert run.data.tags["lus.kind"] == "evaluation"
    assert run.data.metrics["accuracy"] == pytest.approx(float(version.tags["accuracy"]), abs=1e-4)


def test_a_version_joins_the_run_of_its_own_evaluation_where_another_has_the_same_figures(searched: Path) -> None:
    evaluation = searched / "evaluation"
    evaluate.run(searched, NAMES, evaluation, EVALUATE, CUT)
    before = runs.find_run(kind="evaluation")
    audit = json.loads((evaluation / files.AUDIT_FILE).read_text())
    audit["findings"].append({"level": "warning", "check": "patients", "sentence": "Found since.", "figures": {}})
    (evaluation / files.AUDIT_FILE).write_text(json.dumps(audit))
    register.run(searched, searched / "register.json", ALL.register_)
    version = aliases.get_version_by_alias("lus-classifier", "challenger")
    shown = versions.lineage("lus-classifier", "challenger")
    assert before is not None
    assert version.run_id != before.info.run_id
    assert shown.audit == audit
    register.run(searched, searched / "register.json", ALL.register_)
    assert aliases.get_version_by_alias("lus-classifier", "challenger").run_id == version.run_id


def _said(*options: str) -> str:
    done = CliRunner().invoke(main.app, ["register", *options])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def _registered() -> tuple[list[int], str]:
    """The versions that there are, and the one that is the challenger."""
    there = sorted(int(one.version) for one in MlflowClient().search_model_versions())
    return there, str(aliases.get_version_by_alias("lus-classifier", "challenger").version)


def test_one_result_gives_one_version_however_often_it_is_registered(
    searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation, out = searched / "evaluation", searched / "register.json"
    evaluate.run(searched, NAMES, evaluation, EVALUATE, CUT)
    assert "version 1 registered, alias challenger" in _said()
    first, audit = out.read_text(), (evaluation / files.AUDIT_FILE).read_text()
    out.unlink()
    # As it is made again, from another commit, on another machine.
    evaluate.run(searched, NAMES, evaluation, EVALUATE, CUT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 3)
        patch.setattr(lineage, "_git", lambda *_: "a" * 40)
        assert "version 1 is of the same evaluation, features and code: nothing new was registered" in _said()
    assert out.read_text() == first
    assert _registered() == ([1], "1")
    # Another evaluation is another version; the first one again is the first version again.
    found = json.loads(audit)
    found["findings"].append({"level": "warning", "check": "patients", "sentence": "Found since.", "figures": {}})
    (evaluation / files.AUDIT_FILE).write_text(json.dumps(found))
    assert "version 2 registered" in _said()
    assert _registered() == ([1, 2], "2")
    (evaluation / files.AUDIT_FILE).write_text(audit)
    assert "version 1 is of the same evaluation" in _said()
    assert _registered() == ([1, 2], "1")
    # Whoever wants another one all the same says so; it then stands for the result.
    assert "version 3 registered" in _said("--anew")
    assert "version 3 is of the same evaluation" in _said()
    assert _registered() == ([1, 2, 3], "3")
    assert json.loads(out.read_text())["version"] == "3"


def test_a_version_without_the_tag_of_its_result_stands_for_none(searched: Path) -> None:
    _register(searched)
    MlflowClient().delete_model_version_tag("lus-classifier", "1", models.RESULT_TAG)
    assert "version 2 registered" in _said()


def test_where_one_patient_alone_is_tested_intervals_are_not_defined_and_the_rest_goes_on(project: Path) -> None:
    build = project / "build"
    folder = feature_set(build)
    clips = cohort.read(folder / featureset.CLIPS_FILE)
    clips["source"] = ["south" if patient == "p0-0" else "north" for patient in clips["patient"]]
    clips.to_csv(folder / featureset.CLIPS_FILE, index=False)
    cut = CUT.model_copy(update={"protocol": "leave-source-out"})
    search.run(folder, build / "search" / NAMES[0], SEARCH, cut)
    said = evaluate.run(build, NAMES, build / "evaluation", EVALUATE, cut)
    assert "95% interval not defined, 1 patients" in said
    register.run(build, build / "register.json", ALL.register_)
    shown = versions.listed("lus-classifier")[0]
    assert shown.interval == "not defined"
    note = MlflowClient().get_run(versions.lineage("lus-classifier", "1").run_id).data.tags["mlflow.note.content"]
    assert "(interval not defined) on 2 clips of 1 patients" in note
    assert "nan" not in said + note


def test_what_was_changed_meanwhile_is_refused_before_anything_is_registered(searched: Path) -> None:
    evaluate.run(searched, NAMES, searched / "evaluation", EVALUATE, CUT)
    out = searched / "register.json"

    def refuse() -> None:
        raise BadInput("register.seed changed")

    with pytest.raises(BadInput, match=r"register\.seed changed"):
        register.run(searched, out, ALL.register_, refuse_changes=refuse)
    assert list(MlflowClient().search_model_versions()) == []
    assert not out.exists()
    # Nor does the challenger move to a version that exists.
    register.run(searched, out, ALL.register_)
    out.unlink()
    MlflowClient().delete_registered_model_alias("lus-classifier", "challenger")
    with pytest.raises(BadInput, match=r"register\.seed changed"):
        register.run(searched, out, ALL.register_, refuse_changes=refuse)
    assert aliases.find_version_by_alias("lus-classifier", "challenger") is None
    assert not out.exists()
