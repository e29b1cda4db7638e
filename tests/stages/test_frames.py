"""The frames stage: checks, quarantine, Data Docs and leaks, on cohorts made on the spot."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lus.checks import cohort_frames, expectations, quarantine, rules
from lus.clips import frameset
from lus.clips.jobs import ClipJob
from lus.common import params_file, workers
from lus.common.errors import BadInput
from lus.common.params import Params
from lus.phantom.clip import simulate_clip
from lus.phantom.cohort import plan_patients
from lus.stages import cohort as cohort_stage
from lus.stages import frames as stage
from tests.conftest import ROOT, draw_frames, make_cohort, write_video
from tests.phantoms import SIMULATE

ALL = params_file.load_params(ROOT / "params.yaml")
PARAMS = ALL.model_copy(
    update={
        "frames": ALL.frames.model_copy(update={"side": 72}),
        "cohort": ALL.cohort.model_copy(update={"max_unusable": 0.5}),
    }
)


def _changed(section: str, **values: object) -> Params:
    return PARAMS.model_copy(update={section: getattr(PARAMS, section).model_copy(update=values)})


def _still() -> np.ndarray:
    return np.repeat(draw_frames(1, 120, 104, 5), 24, axis=0)


def _cohort(tmp_path: Path, faults: dict[str, np.ndarray]) -> Path:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=5, clips=2)
    for name, frames in faults.items():
        write_video(folder / "a" / "odd" / name, frames)
    return _table(tmp_path)


def _table(tmp_path: Path) -> Path:
    cohort_stage.run(tmp_path / "own", tmp_path / "cohort.csv", PARAMS.cohort, PARAMS.limits)
    return tmp_path / "cohort.csv"


def _run(tmp_path: Path, table: Path, wanted: Params = PARAMS) -> str:
    return stage.run(table, tmp_path / "frames", tmp_path / "checks", wanted)


def _quarantine(tmp_path: Path) -> dict[str, set[str]]:
    rows = pd.read_csv(tmp_path / "checks" / "quarantine.csv")
    assert tuple(rows.columns) == quarantine.COLUMNS
    assert rows.notna().all(axis=None)
    return {Path(path).name: set(group["check"]) for path, group in rows.groupby("path")}


def test_the_stage_quarantines_with_reasons_and_goes_on(tmp_path: Path) -> None:
    table = _cohort(tmp_path, {"still.avi": _still(), "short.avi": draw_frames(8, 120, 104, 6)})
    assert _run(tmp_path, table).splitlines()[:2] == [
        f"20 usable clips in {tmp_path / 'frames'}",
        f"2 quarantined, see {tmp_path / 'checks/quarantine.csv'}",
    ]
    assert _quarantine(tmp_path) == {"still.avi": {"still_share", "coverage", "extent"}, "short.avi": {"frames"}}
    short = pd.read_csv(tmp_path / "checks" / "quarantine.csv").set_index("check").loc["frames"]
    assert (int(short["found"]), short["limit"]) == (8, "at least 20")
    sampled = frameset.read(tmp_path / "frames")
    first = sampled.clips.iloc[0]
    assert sampled.frames(first["clip_id"], first["frames"], 20).shape == (20, 72, 72, 3)
    assert len(list((tmp_path / "frames" / "frames").iterdir())) == 20
    assert len(pd.read_csv(tmp_path / "frames" / stage.STATISTICS_FILE)) == 21 * 20


def test_what_the_cohort_stage_could_not_read_is_in_the_quarantine_too(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=5, clips=2)
    (folder / "a" / "broken.avi").write_text("no video")
    (folder / "a" / "notes.txt").write_text("left out by a rule")
    shutil.copy(folder / "a/patient00/clip0.avi", folder / "b/same.avi")
    _run(tmp_path, _table(tmp_path))
    assert _quarantine(tmp_path) == {"broken.avi": {"decode"}, "same.avi": {"content"}, "clip0.avi": {"content"}}


def _failed(tmp_path: Path, suite: str) -> dict[str, list[str]]:
    """The columns whose limits Great Expectations found broken, with the names of the clips."""
    results = json.loads((tmp_path / "checks" / "checks.json").read_text())
    return {
        one["arguments"]["column"]: [Path(path).name for path in one["paths"]]
        for one in results[suite]["expectations"]
        if not one["success"] and one["severity"] == expectations.WARNING
    }


def test_great_expectations_and_the_rules_agree(tmp_path: Path) -> None:
    _run(tmp_path, _cohort(tmp_path, {"still.avi": _still()}))
    results = json.loads((tmp_path / "checks" / "checks.json").read_text())
    assert set(results) == {"cohort", "clips", "frames"}
    assert results["cohort"]["success"]
    assert _failed(tmp_path, "clips") == {key: ["still.avi"] for key in ("still_share", "coverage", "extent")}


def test_a_clip_whose_frames_are_too_large_in_area_alone_breaks_the_cohorts_suite_too(tmp_path: Path) -> None:
    table = _cohort(tmp_path, {"wide.avi": draw_frames(24, 160, 104, 6)})
    _run(tmp_path, table, _changed("limits", max_pixels=150 * 104))
    assert _quarantine(tmp_path) == {"wide.avi": {"pixels"}}
    assert _failed(tmp_path, "cohort") == _failed(tmp_path, "clips") == {"pixels": ["wide.avi"]}


def test_the_data_docs_can_be_read_by_a_person(tmp_path: Path) -> None:
    _run(tmp_path, _cohort(tmp_path, {"still.avi": _still()}))
    assert (tmp_path / "checks" / "index.html").is_file()
    page = next((tmp_path / "checks" / "validations" / "clips").rglob("*.html")).read_text()
    assert "the share of identical neighbouring frames is at most 0.5" in page
    assert "the mean brightness (0 to 1) is at least 0.02 and at most 0.75" in page
    assert "still.avi" in page
    assert {folder.name for folder in (tmp_path / "checks" / "validations").iterdir()} == {"cohort", "clips", "frames"}
    assert "still.avi" in (tmp_path / "checks" / "index.html").read_text()
    assert not (tmp_path / "gx").exists()


def test_the_stage_fails_when_too_much_is_lost(tmp_path: Path) -> None:
    faults = {f"{number}.avi": draw_frames(8, 120, 104, 60 + number) for number in range(9)}
    with pytest.raises(BadInput, match=r"31% of the clips are not usable, at most 20%.*frames \(9\)"):
        _run(tmp_path, _cohort(tmp_path, faults))
    assert len(_quarantine(tmp_path)) == 9


def test_the_stage_fails_when_a_label_empties(tmp_path: Path) -> None:
    table = _cohort(tmp_path, {})
    content = pd.read_csv(table)
    content.loc[content["label"] == "b", "frames"] = 10
    content.to_csv(table, index=False)
    with pytest.raises(BadInput, match="no usable clip of b is left"):
        _run(tmp_path, table, _changed("frames", max_quarantined=1.0))


def test_a_table_that_breaks_the_cohorts_rules_is_refused(tmp_path: Path) -> None:
    table = _cohort(tmp_path, {})
    content = pd.read_csv(table)
    pd.concat([content, content.iloc[:1]]).to_csv(table, index=False)
    with pytest.raises(BadInput, match=r"breaks path \(expect_column_values_to_be_unique\), clip_id"):
        _run(tmp_path, table)
    content.to_csv(table, index=False)
    with pytest.raises(BadInput, match=r"breaks patients_of_label \(expect_column_values_to_be_between\)"):
        _run(tmp_path, table, _changed("cohort", min_patients=6))
    with pytest.raises(BadInput, match=r"breaks label \(expect_column_values_to_be_in_set\)"):
        _run(tmp_path, table, _changed("cohort", labels=("a", "c")))


def test_patients_of_two_labels_and_a_telling_container_are_named(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=7, clips=2)
    for number, path in enumerate(sorted((folder / "b").rglob("*.avi"))):
        write_video(path.with_suffix(".mp4"), draw_frames(24, 120, 104, 5000 + number, stripes=2))
        path.unlink()
    (folder / "b" / "patient10").rename(folder / "b" / "patient00")
    said = _run(tmp_path, _table(tmp_path))
    assert "container alone guesses the label with a balanced accuracy of 1.00 (chance 0.50)" in said
    assert "patients with clips of several labels: patient00 (a, b)" in said
    results = json.loads((tmp_path / "checks" / "checks.json").read_text())
    named = [one for one in results["cohort"]["expectations"] if one["arguments"].get("column") == "labels_of_patient"]
    assert (named[0]["success"], named[0]["severity"], named[0]["unexpected"]) == (False, "info", 4)


def test_patients_of_one_scan_are_cut_as_one(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=5, clips=1)
    one, other = sorted((folder / "a").rglob("*.avi"))[:2]
    scan = simulate_clip(next(iter(plan_patients(SIMULATE))), 0)
    write_video(one, scan)
    write_video(other, scan[:, :, ::-1])
    printed = _run(tmp_path, _table(tmp_path))
    clips = frameset.read(tmp_path / "frames").clips
    (twins,) = {name for name in clips["group"] if " + " in name}
    assert set(clips.loc[clips["group"] == twins, "patient"]) == set(twins.split(" + "))
    assert f"these patients stay on one side of every fold: {twins}" in printed
    alone = clips[clips["group"] != twins]
    assert (alone["group"] == alone["patient"]).all()


@pytest.mark.parametrize("length", [3, 5])
def test_a_trimmed_copy_is_found_however_few_frames_a_sequence_has(tmp_path: Path, length: int) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=5, clips=1)
    one, other = sorted((folder / "a").rglob("*.avi"))[:2]
    scan = draw_frames(80, 120, 104, 7)[::2]
    write_video(one, scan)
    write_video(other, scan[4:-4])
    _run(tmp_path, _table(tmp_path), _changed("frames", lengths=(length,)))
    (pair,) = pd.read_csv(tmp_path / "checks/near-duplicates.csv").to_dict("records")
    assert {pair["path"], pair["other_path"]} == {str(one), str(other)}


@pytest.mark.parametrize("labels", ["aa", "ab"])
def test_patients_under_whom_one_file_stands_are_cut_as_one(tmp_path: Path, labels: str) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=6, clips=2)
    one, other = (sorted((folder / label).iterdir())[number] for number, label in enumerate(labels))
    shutil.copy(one / "clip0.avi", other / "copy.avi")
    printed = _run(tmp_path, _table(tmp_path))
    clips = frameset.read(tmp_path / "frames").clips
    twins = f"{one.name} + {other.name}"
    assert set(clips.loc[clips["group"] == twins, "patient"]) == {one.name, other.name}
    assert f"1 pairs of near-duplicate clips, see {tmp_path / 'checks/near-duplicates.csv'}; these" in printed
    assert f"these patients stay on one side of every fold: {twins}" in printed
    (pair,) = pd.read_csv(tmp_path / "checks/near-duplicates.csv").to_dict("records")
    assert {Path(pair["path"]).name, Path(pair["other_path"]).name} == {"clip0.avi", "copy.avi"}
    assert {pair["patient"], pair["other_patient"]} == {one.name, other.name}
    assert pair["distance"] == 0


def test_a_folder_that_holds_anything_else_is_not_emptied(tmp_path: Path) -> None:
    table = _cohort(tmp_path, {})
    with pytest.raises(BadInput, match=r"own: holds 'a', which is no result of this stage and would be lost"):
        stage.run(table, tmp_path / "own", tmp_path / "checks", PARAMS)
    with pytest.raises(BadInput, match="is named for both results"):
        stage.run(table, tmp_path / "new", tmp_path / "new", PARAMS)
    with pytest.raises(BadInput, match="is a file, a folder to make is expected"):
        stage.run(table, tmp_path / "frames", table, PARAMS)
    assert len(list((tmp_path / "own").rglob("*.avi"))) == 20
    assert _run(tmp_path, table) == _run(tmp_path, table)


def test_a_table_without_clips_is_refused(tmp_path: Path) -> None:
    table = _cohort(tmp_path, {})
    table.write_text(table.read_text().splitlines()[0] + "\n")
    with pytest.raises(BadInput, match="has no clip; make it again with `lus cohort`"):
        _run(tmp_path, table)
    table.write_text("")
    with pytest.raises(BadInput, match="is no cohort table"):
        _run(tmp_path, table)


def test_frames_of_several_lengths_come_from_one_file(tmp_path: Path) -> None:
    _run(tmp_path, _cohort(tmp_path, {}), _changed("frames", lengths=(5, 20)))
    sampled = frameset.read(tmp_path / "frames")
    row = sampled.clips.iloc[0]
    five, twenty = (sampled.frames(row["clip_id"], row["frames"], length) for length in (5, 20))
    assert five.shape == (5, 72, 72, 3)
    assert (five[[0, -1]] == twenty[[0, -1]]).all()


def _die_on_one(row: cohort_frames.Row, out: Path, wanted: Params) -> cohort_frames.SampledClip:
    import os

    if str(row["path"]).endswith("patient00/clip1.avi"):
        os.abort()
    return cohort_frames.sample_clip(row, out, wanted)


def test_a_decoder_that_dies_loses_one_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _cohort(tmp_path, {})
    run = workers.run_jobs

    def with_a_death(
        job: ClipJob[cohort_frames.Row, cohort_frames.SampledClip], *arguments: object, **named: object
    ) -> list[cohort_frames.SampledClip]:
        out = job.work.keywords["out"]  # type: ignore[attr-defined]
        deadly = replace(job, work=partial(_die_on_one, out=out, wanted=PARAMS))
        return run(deadly, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(workers, "run_jobs", with_a_death)
    assert _run(tmp_path, table).startswith("19 usable clips")
    rows = pd.read_csv(tmp_path / "checks" / "quarantine.csv")
    assert rows["found"].tolist() == ["a decoder that died (signal 6)"]
    assert rows["reason"].tolist() == [
        "a decoder that died (signal 6), a clip that decodes is expected; convert it, for example to .mp4"
    ]


@pytest.mark.parametrize("content", ["another clip", "no clip"])
def test_a_clip_that_changed_after_it_was_listed_ends_the_stage(tmp_path: Path, content: str) -> None:
    table = _cohort(tmp_path, {})
    changed = tmp_path / "own/a/patient00/clip0.avi"
    if content == "no clip":
        changed.write_text(content)
    else:
        write_video(changed, draw_frames(22, 120, 104, 77))
    with pytest.raises(BadInput) as caught:
        _run(tmp_path, table)
    assert str(caught.value) == (
        f"{changed}: has changed since the cohort was listed, the content listed is expected; run `dvc repro` again"
    )


def test_a_clip_that_was_removed_after_it_was_listed_is_quarantined(tmp_path: Path) -> None:
    table = _cohort(tmp_path, {})
    (tmp_path / "own/a/patient00/clip0.avi").unlink()
    assert _run(tmp_path, table).startswith("19 usable clips")
    assert _quarantine(tmp_path) == {"clip0.avi": {"decode"}}


@pytest.mark.real
def test_the_public_clips_pass_but_for_two_with_cuts(upstream: Path) -> None:
    clips = sorted((upstream / "jannisborn/covid19_ultrasound/data/pocus_videos/convex").iterdir())
    found = {path.name: one for path, one in zip(clips, workers.run_jobs(_findings, clips), strict=True) if one}
    assert found == {"Cov-Atlas-+(43).gif": ["cuts"], "pneu-radiopaeda.mp4": ["cuts"]}


def _findings(path: Path) -> list[str]:
    return [finding.check for finding in rules.examine_clip(path, [20], 299, ALL.limits).findings]
