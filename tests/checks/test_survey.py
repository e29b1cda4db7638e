"""`lus check`: the checks on anything, as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lus.checks import survey
from lus.common.errors import BadInput
from tests.conftest import ROOT, draw_frames, make_cohort, write_video

LUS = Path(sys.executable).with_name("lus")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project folder with this project's parameters."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def _check(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [LUS, "check", *arguments], cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def _still(path: Path) -> Path:
    return write_video(path, np.repeat(draw_frames(1, 120, 104, 3), 24, axis=0))


def test_a_usable_clip_passes_with_status_zero(place: Path) -> None:
    write_video(place / "good.avi", draw_frames(24, 120, 104, 0))
    done = _check(place, "good.avi")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of 1 clips are usable" in done.stdout


def test_each_clip_is_listed_with_what_was_found_and_expected(place: Path) -> None:
    write_video(place / "clips/good.avi", draw_frames(24, 120, 104, 0))
    _still(place / "clips/deeper/still.avi")
    (place / "clips/broken.mp4").write_text("no video")
    (place / "clips/notes.txt").write_text("no clip by its name")
    # Two folders: files as they are, whatever the folders are called.
    done = _check(place, "clips/deeper", "clips/good.avi", "clips/broken.mp4")
    assert done.returncode == 2
    assert done.stderr == "lus: not usable: 2 of 3 clips; each is listed with what to do\n"
    shown = " ".join(done.stdout.replace("│", " ").split())
    assert "nothing that can be decoded" in shown
    assert "the share of identical neighbouring" in shown
    assert "1 of 3 clips are usable" in shown


def test_a_cohorts_folder_is_held_to_the_cohorts_rules_and_searched_for_leaks(place: Path) -> None:
    folder = make_cohort(place / "own", ["a", "b"], patients=4, clips=1)
    (folder / "b/patient10").rename(folder / "b/patient00")
    done = _check(place, "own", "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert [one["usable"] for one in said["clips"]] == [True] * 8
    few, several = said["remarks"]
    assert few.startswith("patients of each label: a 4, b 4, at least 5 are expected")
    assert several == "patient patient00 has clips of several labels: a, b"
    assert said["near_duplicates"] == []
    assert {row["property"] for row in said["shortcuts"]} >= {"container", "size", "rate", "source"}
    assert set(place.iterdir()) == {place / "params.yaml", folder}


def test_one_file_under_two_patients_is_shown_as_a_pair(place: Path) -> None:
    folder = make_cohort(place / "own", ["a", "b"], patients=2, clips=2)
    shutil.copy(folder / "a/patient00/clip0.avi", folder / "a/patient01/copy.avi")
    said = json.loads(_check(place, "own", "--json").stdout)
    (pair,) = said["near_duplicates"]
    assert (pair["patient"], pair["other_patient"], pair["distance"]) == ("patient00", "patient01", 0)
    assert Path(pair["other_path"]).name == "copy.avi"


def test_a_clip_of_each_label_is_said_to_be_too_few_to_train_on_and_what_can_be_done(place: Path) -> None:
    make_cohort(place / "mine", ["a", "b", "c"], patients=1, clips=1)
    done = _check(place, "mine")
    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())
    assert "3 of 3 clips are usable" in shown
    assert "no property of a file alone tells its label" in shown
    assert (
        "patients of each label: a 1, b 1, c 1, at least 5 are expected, so that each fold is tested on patients of "
        "its own; add patients, or have a version that was made from other clips answer these: `lus classify`"
    ) in shown


def test_a_folder_whose_clips_have_no_labels_leads_on_to_the_classifier(place: Path) -> None:
    write_video(place / "mine/a.avi", draw_frames(24, 120, 104, 0))
    done = _check(place, "mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the folder does not say which labels its clips have: `lus classify` can answer them" in done.stdout


def test_the_json_has_the_findings_as_fields(place: Path) -> None:
    _still(place / "still.avi")
    done = _check(place, "still.avi", "--json")
    assert done.returncode == 2
    (one,) = json.loads(done.stdout)["clips"]
    assert one["info"] == {"frames": 24, "fps": 20.0, "width": 120, "height": 104}
    assert one["findings"][0] == {
        "check": "still_share",
        "found": "1",
        "expected": "at most 0.5",
        "advice": "export the clip, not a still image",
        "meaning": "the share of identical neighbouring frames",
    }
    assert one["values"]["still_share"] == 1


def test_what_a_cohorts_rule_leaves_out_is_no_failure(place: Path) -> None:
    folder = make_cohort(place / "own", ["a", "b", "viral-pneumonia"], patients=5, clips=1)
    done = _check(place, "own")
    assert done.returncode == 0
    assert "10 of 15 clips are usable, 5 left out by a rule" in done.stdout
    assert folder.is_dir()


def test_nothing_to_check_is_said(place: Path) -> None:
    (place / "empty").mkdir()
    done = _check(place, "empty")
    assert done.returncode == 2
    assert done.stderr.startswith("lus: empty: no clip was found, DICOM or a name that ends in .avi, .dcm")
    assert "nothing to open" in _check(place, "gone.avi").stdout


def test_a_folder_with_clips_outside_label_folders_is_checked_file_by_file(place: Path) -> None:
    write_video(place / "mixed/sub/good.avi", draw_frames(24, 120, 104, 0))
    (place / "mixed/broken.mp4").write_text("no video")
    done = _check(place, "mixed", "--json")
    assert done.returncode == 2
    clips = {Path(one["path"]).name: one for one in json.loads(done.stdout)["clips"]}
    assert clips["good.avi"]["usable"]
    assert clips["broken.mp4"]["findings"] == [
        {
            "check": "decode",
            "found": "nothing that can be decoded (Invalid data found when processing input)",
            "expected": "a video file",
            "advice": "convert it, for example to .mp4",
            "meaning": "",
        }
    ]
    assert clips["broken.mp4"]["reason"] == (
        "nothing that can be decoded (Invalid data found when processing input), a video file is expected; convert it, "
        "for example to .mp4"
    )


def test_a_file_that_is_named_twice_is_checked_once(place: Path) -> None:
    write_video(place / "good.avi", draw_frames(24, 120, 104, 0))
    assert "1 of 1 clips are usable" in _check(place, "good.avi", "good.avi").stdout


def test_relative_and_absolute_paths_may_be_mixed(place: Path) -> None:
    for seed, name in enumerate(("a.avi", "sub/b.avi")):
        write_video(place / name, draw_frames(24, 120, 104, seed))
    done = _check(place, "a.avi", str(place / "sub/b.avi"))
    assert done.returncode == 0
    assert "sub/b.avi" in done.stdout


def test_a_name_that_is_no_text_is_refused_and_harms_nothing(place: Path) -> None:
    write_video(place / "a.avi", draw_frames(24, 120, 104, 0)).rename(os.fsdecode(os.fsencode(place) + b"/\xff.avi"))
    write_video(place / "b.avi", draw_frames(24, 120, 104, 1))
    done = _check(place, ".", "--json")
    assert done.returncode == 2
    clips = {Path(one["path"]).name: one["reason"] for one in json.loads(done.stdout)["clips"]}
    assert clips == {"b.avi": "", "\\xff.avi": "a name that is not UTF-8, a name in UTF-8 is expected; rename it"}


def test_the_clips_that_are_meant_are_those_named_and_those_in_the_folders_each_once(tmp_path: Path) -> None:
    for name in ("mine/b.mp4", "mine/deep/a.avi", "mine/notes.txt", "alone.mov"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    named = [tmp_path / "alone.mov", tmp_path / "mine", tmp_path / "mine/b.mp4"]
    found = [path.relative_to(tmp_path).as_posix() for path in survey.find_clips(named)]
    assert found == ["alone.mov", "mine/b.mp4", "mine/deep/a.avi"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"empty: no clip was found"):
        survey.find_clips([tmp_path / "empty"])


def test_what_a_folder_holds_beside_its_clips_is_listed_by_its_content(place: Path) -> None:
    write_video(place / "clips/good.avi", draw_frames(24, 120, 104, 0))
    write_video(place / "clips/b.mp4", draw_frames(24, 120, 104, 1)).rename(place / "clips/deeper.dat")
    (place / "clips/notes.txt").write_text("no clip")
    (place / "clips/scan").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60))
    done = _check(place, "clips", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["not_clips"] == {
        "clips/deeper.dat": "an MP4 or MOV video; its name has no ending of a video: rename it",
        "clips/notes.txt": "text",
        "clips/scan": "a PNG picture",
    }
    shown = _check(place, "clips").stdout
    assert "Not taken for clips" in shown
    assert "a PNG picture" in shown


def test_of_a_folder_with_a_table_the_clips_that_it_does_not_list_are_named(place: Path) -> None:
    folder = make_cohort(place / "own", ["a", "b"], patients=2, clips=1)
    rows = [f"{path.relative_to(folder)},{path.parts[-3]},{path.parts[-2]}" for path in sorted(folder.rglob("*.avi"))]
    (folder / "clips.csv").write_text("\n".join(["path,label,patient", *rows[1:]]) + "\n")
    clips = json.loads(_check(place, "own", "--json").stdout)["clips"]
    assert {one["path"]: one["reason"] for one in clips if one["left_out"]} == {
        f"own/{rows[0].split(',')[0]}": "no row of clips.csv lists it"
    }
