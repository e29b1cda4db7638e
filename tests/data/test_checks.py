from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lus import checks, frameset, params
from lus.clip import ClipInfo
from lus.errors import BadInput
from lus.params import Cohort
from lus.stages import cohort as cohort_stage
from lus.stages import frames as stage
from tests.conftest import ROOT, draw_frames, make_cohort, write_video

FRAMES = params.load(ROOT / "params.yaml").frames.model_copy(update={"size": 64})
RULES = checks.rules(FRAMES.limits, 20)
GOOD = ClipInfo(frames=24, fps=20, width=120, height=104)


def _broken(frames: np.ndarray, info: ClipInfo = GOOD) -> set[str]:
    statistics = checks.clip_statistics(info, checks.frame_statistics(frames))
    return {finding.check for finding in checks.findings(statistics, RULES)}


def test_speckle_passes_every_rule() -> None:
    assert _broken(draw_frames(20, 64, 64, 0)) == set()


def test_each_rule_finds_its_fault() -> None:
    speckle = draw_frames(20, 64, 64, 0)
    colour = speckle.copy()
    colour[..., 1:] //= 8
    assert _broken(speckle // 20) == {"brightness", "contrast"}
    assert _broken(np.full_like(speckle, 250)) == {"brightness", "contrast", "still_share"}
    assert _broken(colour) == {"saturation"}
    assert _broken(np.repeat(speckle[:1], 20, axis=0)) == {"still_share"}
    assert _broken(speckle, ClipInfo(12, 20, 120, 104)) == {"frames"}
    assert _broken(speckle, ClipInfo(24, 20, 120, 60)) == {"side"}
    assert _broken(speckle, ClipInfo(24, 20, 16000, 16000)) == {"pixels"}


def test_statistics_are_those_of_the_definition() -> None:
    frames = draw_frames(4, 32, 32, 1)
    table = checks.frame_statistics(frames)
    assert np.allclose(table["brightness"], frames[..., 0].mean(axis=(1, 2)) / 255)
    assert np.allclose(table["contrast"], frames[..., 0].std(axis=(1, 2)) / 255)
    assert np.allclose(table["black_share"], (frames[..., 0] < 8).mean(axis=(1, 2)))
    assert (table["saturation"] == 0).all()
    assert table["change"].iloc[0] == 0
    assert (table["change"].iloc[1:] > 0).all()


def test_a_finding_says_what_was_found_and_expected() -> None:
    found = checks.findings({"side": 60.0}, RULES)
    assert [str(finding) for finding in found] == ["the shorter side in pixels is 60, at least 100 is expected"]


def _cohort(tmp_path: Path, faults: dict[str, np.ndarray]) -> Path:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=5, clips=2)
    for name, frames in faults.items():
        write_video(folder / "a" / "odd" / name, frames)
    cohort_stage.run(
        folder, tmp_path / "cohort.csv", Cohort(folder="", leave_out_labels=(), leave_out_probes=(), max_unusable=0.1)
    )
    return tmp_path / "cohort.csv"


def test_the_stage_quarantines_with_reasons_and_goes_on(tmp_path: Path) -> None:
    still = np.repeat(draw_frames(1, 120, 104, 5), 24, axis=0)
    table = _cohort(tmp_path, {"still.avi": still, "short.avi": draw_frames(8, 120, 104, 6)})
    sentence = stage.run(table, tmp_path / "frames", tmp_path / "checks", FRAMES)
    assert sentence.startswith("20 usable clips")
    quarantine = pd.read_csv(tmp_path / "checks" / "quarantine.csv")
    assert list(quarantine.columns) == ["path", "label", "check", "found", "limit"]
    rows = {Path(row.path).name: (row.check, row.limit) for row in quarantine.itertuples()}
    assert rows == {"still.avi": ("still_share", "at most 0.9"), "short.avi": ("frames", "at least 20")}
    sampled = frameset.read(tmp_path / "frames")
    first = sampled.clips.iloc[0]
    assert sampled.frames(first["clip_id"], first["frames"], 20).shape == (20, 64, 64, 3)
    assert len(pd.read_csv(tmp_path / "frames" / stage.STATISTICS_FILE)) == 21 * 20


def test_great_expectations_and_the_rules_agree(tmp_path: Path) -> None:
    still = np.repeat(draw_frames(1, 120, 104, 5), 24, axis=0)
    table = _cohort(tmp_path, {"still.avi": still})
    stage.run(table, tmp_path / "frames", tmp_path / "checks", FRAMES)
    results = json.loads((tmp_path / "checks" / "checks.json").read_text())
    failed = {
        one["arguments"]["column"]: one["unexpected"] for one in results["clips"]["expectations"] if not one["success"]
    }
    assert failed == {"still_share": 1}
    assert results["cohort"]["success"]
    assert (tmp_path / "checks" / "index.html").is_file()
    page = next((tmp_path / "checks" / "validations" / "clips").rglob("*.html")).read_text()
    assert "still_share" in page
    assert not (tmp_path / "gx").exists()


def test_the_stage_fails_when_too_much_is_lost(tmp_path: Path) -> None:
    faults = {f"{number}.avi": draw_frames(8, 120, 104, 60 + number) for number in range(9)}
    table = _cohort(tmp_path, faults)
    with pytest.raises(BadInput, match=r"31% of the clips are not usable, at most 20%.*frames \(9\)"):
        stage.run(table, tmp_path / "frames", tmp_path / "checks", FRAMES)
    assert len(pd.read_csv(tmp_path / "checks" / "quarantine.csv")) == 9


def test_the_stage_fails_when_a_label_empties(tmp_path: Path) -> None:
    table = _cohort(tmp_path, {})
    content = pd.read_csv(table)
    content.loc[content["label"] == "b", "frames"] = 10
    content.to_csv(table, index=False)
    relaxed = FRAMES.model_copy(update={"max_quarantined": 1.0})
    with pytest.raises(BadInput, match="no usable clip of b is left"):
        stage.run(table, tmp_path / "frames", tmp_path / "checks", relaxed)


def test_frames_of_several_lengths_come_from_one_file(tmp_path: Path) -> None:
    several = FRAMES.model_copy(update={"lengths": (5, 20)})
    stage.run(_cohort(tmp_path, {}), tmp_path / "frames", tmp_path / "checks", several)
    sampled = frameset.read(tmp_path / "frames")
    row = sampled.clips.iloc[0]
    five, twenty = (sampled.frames(row["clip_id"], row["frames"], length) for length in (5, 20))
    assert five.shape == (5, 64, 64, 3)
    assert (five[[0, -1]] == twenty[[0, -1]]).all()
