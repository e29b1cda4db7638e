from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lus.clips import cohort, layouts
from lus.common import params_file
from lus.common.errors import BadInput, Unusable
from lus.stages import cohort as stage
from tests.conftest import ROOT, draw_frames, make_cohort, write_video

LIMITS = params_file.load_params(ROOT / "params.yaml").limits
RULE = params_file.load_params(ROOT / "params.yaml").cohort.model_copy(update={"min_patients": 1})
LOOSE = RULE.model_copy(update={"max_unusable": 0.9})


def _table(folder: Path, *lines: str, header: str = "path,label,patient") -> Path:
    (folder / "clips.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


@pytest.mark.parametrize("labels", [["normal", "sick"], ["a", "b", "c", "d"]])
def test_a_folder_per_label_takes_any_set_of_labels(tmp_path: Path, labels: list[str]) -> None:
    table, left_out = cohort.build(make_cohort(tmp_path / "own", labels, patients=2), RULE, LIMITS, workers=2)
    assert sorted(table["label"].unique()) == labels
    assert table["patient"].nunique() == 2 * len(labels)
    assert tuple(table.columns) == cohort.COLUMNS
    assert set(table["frames"]) == {22, 23}
    assert left_out.empty


def test_a_label_folder_without_patients_counts_each_clip_as_one(tmp_path: Path) -> None:
    for seed, name in enumerate(["a/0.avi", "a/1.avi", "b/0.avi", "b/1.avi"]):
        write_video(tmp_path / name, draw_frames(20, 64, 64, seed))
    table, _ = cohort.build(tmp_path, RULE, LIMITS, workers=1)
    assert table["patient"].nunique() == 4


def test_a_table_of_clips_is_read_with_its_optional_columns(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    make_clip("one two+[x].AVI", seed=1)
    make_clip("b.mp4", seed=2)
    header = "path,label,patient,source,probe"
    _table(tmp_path, "one two+[x].AVI,sick,007,ward 3,convex", "b.mp4,normal,008,,", header=header)
    table, _ = cohort.build(tmp_path, RULE, LIMITS, workers=1)
    rows = table.set_index("patient")
    assert rows.loc["007", "source"] == "ward 3"
    assert rows.loc["008", "source"] == "unknown"
    assert rows.loc["008", "probe"] == "unknown"


def test_the_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    table, _ = cohort.build(make_cohort(tmp_path / "own", ["1", "2"], patients=2), RULE, LIMITS, workers=1)
    table.to_csv(tmp_path / "cohort.csv", index=False)
    again = cohort.read(tmp_path / "cohort.csv")
    assert again.astype(str).equals(table.astype(str))
    assert again["label"].tolist() == table["label"].tolist()


def test_groups_are_read_back_as_text(tmp_path: Path) -> None:
    table, _ = cohort.build(make_cohort(tmp_path / "own", ["a", "b"], patients=1, clips=1), RULE, LIMITS, workers=1)
    table.assign(group=["1", "01"]).to_csv(tmp_path / "clips.csv", index=False)
    assert cohort.read(tmp_path / "clips.csv")["group"].tolist() == ["1", "01"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.avi,,p1", "line 3: label is empty"),
        ("a.avi,sick,", "line 3: patient is empty"),
        ("../a.avi,sick,p1", "line 3: ../a.avi leaves the cohort's folder"),
        ("/etc/a.avi,sick,p1", "line 3: /etc/a.avi leaves the cohort's folder"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        layouts.list_clips(_table(tmp_path, "ok.avi,normal,p0", line))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no column patient"):
        layouts.list_clips(_table(tmp_path, "a.avi,sick", header="path,label"))


def test_clips_that_cannot_be_used_are_left_out_with_a_reason(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["healthy", "viral-pneumonia", "pneumonia"], patients=2, clips=1)
    (folder / "pneumonia" / "broken.avi").write_text("no video")
    (folder / "pneumonia" / "notes.txt").write_text("not a clip by its name")
    write_video(folder / "astray.avi", draw_frames(20, 64, 64, 1))
    copied = folder / "healthy" / "again.avi"
    shutil.copy(folder / "healthy" / "patient00" / "clip0.avi", copied)
    table, left_out = cohort.build(folder, LOOSE, LIMITS, workers=2)
    reasons = dict(zip(left_out["path"], left_out["reason"], strict=True))
    assert len(table) == 4
    assert len(reasons) == 6
    assert reasons[str(folder / "astray.avi")] == "it lies in no label's folder"
    assert reasons[str(folder / "pneumonia" / "notes.txt")] == "neither a DICOM clip nor named as a video is (.txt)"
    assert left_out.loc[left_out["kind"] == "unusable", "path"].tolist() == [str(folder / "pneumonia" / "broken.avi")]
    assert "nothing that can be decoded" in reasons[str(folder / "pneumonia" / "broken.avi")]
    assert list(reasons.values()).count("label viral-pneumonia is in cohort.leave_out_labels") == 2
    assert any(reason.startswith("same content as") for reason in reasons.values())


def test_one_content_under_two_labels_is_left_out_twice(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=2, clips=1)
    shutil.copy(folder / "a" / "patient00" / "clip0.avi", folder / "b" / "same.avi")
    table, left_out = cohort.build(folder, LOOSE, LIMITS, workers=1)
    assert len(table) == 3
    assert sorted(left_out["reason"]) == [
        "the same content under the labels a, b (clip0.avi), one label is expected; keep the right one",
        "the same content under the labels a, b (same.avi), one label is expected; keep the right one",
    ]
    assert set(left_out["check"]) == {"content"}


def test_a_folder_without_clips_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no clip found; expected a clips\.csv"):
        cohort.build(tmp_path, RULE, LIMITS)
    with pytest.raises(BadInput, match="no such folder"):
        cohort.build(tmp_path / "nowhere", RULE, LIMITS)


def test_one_label_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="only the label a was found"):
        cohort.build(make_cohort(tmp_path / "own", ["a"], patients=2, clips=1), RULE, LIMITS, workers=1)


def test_a_row_with_too_many_fields_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"clips\.csv, line 3: 5 fields found, 3 expected"):
        layouts.list_clips(_table(tmp_path, "a.avi,sick,p1", "b.avi,sick,p2,more,and more"))
    with pytest.raises(BadInput, match=r"clips\.csv, line 2: 4 fields found, 3 expected"):
        layouts.list_clips(_table(tmp_path, "a.avi,sick,p1,", "b.avi,sick,p2,"))


def test_probes_are_left_out_however_they_are_written(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path, ["a", "b"], patients=1, clips=1)
    rows = ["a/patient00/clip0.avi,a,p1,convex", "b/patient10/clip0.avi,b,p2,Linear"]
    listed = layouts.list_clips(_table(folder, *rows, header="path,label,patient,probe"))
    assert [cohort.leave_out(one, RULE).refused for one in listed] == [
        "",
        "probe Linear is in cohort.leave_out_probes",
    ]


def test_links_to_folders_are_followed_and_a_circle_is_refused(tmp_path: Path) -> None:
    store = make_cohort(tmp_path / "store", ["a", "b"], patients=1, clips=1)
    own = tmp_path / "own"
    own.mkdir()
    for label in ("a", "b"):
        (own / label).symlink_to(store / label)
    assert [one.label for one in layouts.list_clips(own)] == ["a", "b"]
    (store / "a" / "back").symlink_to(store / "a")
    with pytest.raises(BadInput, match="is a link to a folder above it"):
        layouts.list_clips(own)


def _repro(project: Path) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("dvc"), "repro"],
        cwd=project,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_the_stage_refuses_a_linked_folder_and_dvc_sees_a_change_behind_the_links_it_advises(tmp_path: Path) -> None:
    project, store = tmp_path / "project", make_cohort(tmp_path / "the store", ["a", "b"], patients=5, clips=1)
    own = project / "own"
    (own / "a").mkdir(parents=True)
    (own / "a/patient x").symlink_to(store / "a")
    (own / "b").symlink_to(store / "b")
    (own / ".cache").symlink_to(store)
    advised = []
    for _ in range(2):
        with pytest.raises(BadInput, match="is a link to a folder, which DVC does not follow") as caught:
            stage.run(own, project / "cohort.csv", RULE, LIMITS)
        advised.append(str(caught.value).split("`")[1])
        subprocess.run(["sh", "-c", advised[-1]], check=True)
    assert len(set(advised)) == 2
    assert len(layouts.list_clips(own)) == 10

    (project / "dvc.yaml").write_text("stages: {look: {cmd: ls -LR seen > listed, deps: [seen], outs: [listed]}}\n")
    (project / "seen").symlink_to(own)
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    subprocess.run([Path(sys.executable).with_name("dvc"), "init", "--quiet"], cwd=project, check=True)
    assert "Running stage 'look'" in _repro(project)
    assert "didn't change" in _repro(project)
    write_video(store / "b/patient10/clip0.avi", draw_frames(30, 120, 104, 1))
    assert "Running stage 'look'" in _repro(project)


def test_the_stage_fails_when_too_many_clips_are_unusable(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=2, clips=2)
    (folder / "a" / "broken.avi").write_text("no video")
    with pytest.raises(
        BadInput, match=r"11% of the clips are unusable, at most 10% may be.*broken\.avi: nothing that can be decoded"
    ):
        cohort.build(folder, RULE, LIMITS, workers=1)


def test_the_stage_fails_when_a_label_loses_all_its_clips(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=2, clips=2)
    (folder / "c").mkdir()
    (folder / "c" / "only.avi").write_text("no video")
    with pytest.raises(BadInput, match="no clip of c is usable"):
        cohort.build(folder, LOOSE, LIMITS, workers=1)


def _public(folder: Path) -> Path:
    """A folder in the layout of the public repository."""
    clips = {
        "convex/Cov-one+(1).avi": ("COVID-19", "36", "2", "convex"),
        "convex/Pneu_two.avi": ("Bacterial pneumonia", "37", "2", "convex"),
        "convex/pneu-three.avi": ("Bacterial pneumonia", "", "6", "convex"),
        "convex/Reg_four.mp4": ("regular", "38", "2", "convex"),
        "linear/Reg_five.avi": ("regular", "39", "2", "linear"),
        "convex/Reg_twice.avi": ("regular", "41", "2", "convex"),
        "convex/Vir_six.avi": ("Viral pneumonia", "40", "2", "convex"),
    }
    rows = []
    for seed, (name, (label, patient, source, probe)) in enumerate(clips.items()):
        write_video(folder / "pocus_videos" / name, draw_frames(20, 64, 64, seed))
        rows.append(f"{Path(name).stem},{label},CC BY 4.0,{probe},{source},{patient}")
    write_video(folder / "pocus_videos/convex/Cov_unlisted.avi", draw_frames(20, 64, 64, 50))
    write_video(folder / "pocus_videos/convex/other.avi", draw_frames(20, 64, 64, 51))
    rows.append("Reg_twice,regular,CC BY 4.0,linear,3,42")
    (folder / "pocus_videos/convex/notes.txt").write_text("no clip")
    header = "Filename,Label,License,Probe,Source ID,Patient ID / Name"
    (folder / "dataset_metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_the_public_layout_gives_label_patient_source_and_licence(tmp_path: Path) -> None:
    table, left_out = cohort.build(_public(tmp_path), RULE, LIMITS, workers=2)
    rows = table.set_index(table["path"].map(lambda path: Path(path).name))
    assert rows["label"].to_dict() == {
        "Cov-one+(1).avi": "covid-19",
        "Pneu_two.avi": "pneumonia",
        "pneu-three.avi": "pneumonia",
        "Reg_four.mp4": "healthy",
        "Reg_twice.avi": "healthy",
    }
    assert rows.loc["Reg_twice.avi", "patient"] == "41"
    assert rows.loc["Cov-one+(1).avi", ["patient", "source", "probe", "licence"]].tolist() == [
        "36",
        "2",
        "convex",
        "CC BY 4.0",
    ]
    assert rows.loc["pneu-three.avi", "patient"] == "unknown-of-source-6"
    reasons = {Path(path).name: reason for path, reason in zip(left_out["path"], left_out["reason"], strict=True)}
    assert reasons == {
        "Cov_unlisted.avi": "no row in dataset_metadata.csv",
        "Reg_five.avi": "probe linear is in cohort.leave_out_probes",
        "notes.txt": "neither a DICOM clip nor named as a video is (.txt)",
        "Vir_six.avi": "label viral-pneumonia is in cohort.leave_out_labels",
        "other.avi": "its name starts with none of cov, pneu, reg, vir",
    }


@pytest.mark.real
def test_all_public_clips_at_hand_match_the_metadata(upstream: Path) -> None:
    table, left_out = cohort.build(upstream / "jannisborn/covid19_ultrasound/data", RULE, LIMITS)
    assert table["label"].value_counts().to_dict() == {"healthy": 56, "pneumonia": 36, "covid-19": 27}
    assert table["patient"].nunique() == 72
    assert not table["patient"].str.startswith("unknown").any()
    assert left_out.empty


def test_a_table_may_quote_its_fields_and_leave_lines_empty(tmp_path: Path) -> None:
    rows = ['"a, b.avi",sick,"Doe, ""J"" of\nward 3"', "", "c.avi,normal,p2", "../d.avi,normal,p3"]
    with pytest.raises(BadInput, match=r"line 6: \.\./d\.avi leaves"):
        layouts.list_clips(_table(tmp_path, *rows))
    assert [one.path.name for one in layouts.list_clips(_table(tmp_path, *rows[:-1]))] == ["a, b.avi", "c.avi"]


def test_a_table_that_is_no_text_says_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_bytes("path,label,patient\na.avi,läsion,p1\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"cannot be read as a table.*save it as CSV in UTF-8"):
        layouts.list_clips(tmp_path)


def test_a_label_folder_that_is_not_expected_is_named(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["healthy", "helthy"], patients=1, clips=1)
    with pytest.raises(
        BadInput, match=r"helthy/patient10/clip0\.avi: the label helthy was found, healthy, sick expected"
    ):
        layouts.list_clips(folder, ["healthy", "sick"])


def test_a_label_with_too_few_patients_is_named(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=2, clips=1)
    with pytest.raises(
        BadInput, match=r"patients of each label: a 2, b 2, at least 5 are expected, .*; add patients, or have"
    ):
        cohort.build(folder, RULE.model_copy(update={"min_patients": 5}), LIMITS, workers=1)


def test_patients_of_several_labels_are_named(tmp_path: Path) -> None:
    folder = make_cohort(tmp_path / "own", ["a", "b"], patients=2, clips=1)
    rows = ["a/patient00/clip0.avi,a,p1", "a/patient01/clip0.avi,a,p2", "b/patient10/clip0.avi,b,p1"]
    table, _ = cohort.build(_table(folder, *rows), RULE, LIMITS, workers=1)
    assert cohort.patients_of_several_labels(table) == {"p1": ["a", "b"]}


def test_an_unreadable_table_and_a_zero_byte_in_a_name_are_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").mkdir()
    with pytest.raises(BadInput, match="no clip found"):
        layouts.list_clips(tmp_path)
    (tmp_path / "clips.csv").rmdir()
    listed = layouts.list_clips(_table(tmp_path, "a\0.avi,a,p1", f"{'x' * 300}.avi,b,p2"))
    reasons = []
    for one in listed:
        with pytest.raises(Unusable) as refused:
            cohort.measure(one, LIMITS)
        reasons.append(refused.value.reason)
    assert reasons == [
        "nothing to open (embedded null byte), a video file is expected; put the file where its name says",
        "nothing to open (File name too long), a video file is expected; put the file where its name says",
    ]
