from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import JPEGLosslessSV1

from lus.clips import cohort
from lus.stages import frames as frames_stage
from tests.clips.dicom_clips import COUNT, HEIGHT, LIMITS, PARAMS, WIDTH
from tests.clips.dicom_files import compressed, dataset, region, save
from tests.conftest import ROOT, draw_frames

IDENTITIES = {
    "PatientName": "Zzyzx^Quentin",
    "PatientID": "ID4711XQ",
    "PatientBirthDate": "19370213",
    "PatientAddress": "Qwertz Lane 7",
    "AccessionNumber": "ACC90210X",
    "InstitutionName": "Saint Elsewhere",
    "ReferringPhysicianName": "Doctor^Moreau",
    "OperatorsName": "Operator^Vogon",
    "StudyDate": "20190817",
    "ContentDate": "20190818",
    "StudyTime": "101112",
    "StudyID": "STUDY8812",
    "ImageComments": "Comment on Xanadu",
    "DeviceSerialNumber": "SN55-77-99",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.123454321",
}


PRIVATE = "Private Gomez"


SECRETS = [part for value in (*IDENTITIES.values(), PRIVATE) for part in value.split("^")]


def _identified(seed: int, **elements: object) -> Dataset:
    """A clip full of identities, its picture with a name burnt in above the region that shows tissue."""
    frames = np.zeros((COUNT, 200, 260, 3), np.uint8)
    cv2.putText(frames[0], "ZZYZX QUENTIN", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 0, 255), 2)
    frames[1:] = frames[0]
    frames[:, 60:180, 50:210] = draw_frames(COUNT, WIDTH, HEIGHT, seed)
    made = dataset(
        frames, BurnedInAnnotation="YES", SequenceOfUltrasoundRegions=[region(50, 60, 209, 179)], **IDENTITIES
    )
    made.private_block(0x0011, "Vendor Anton", create=True).add_new(1, "LO", PRIVATE)
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def _written(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_nothing_that_identifies_a_patient_is_printed_logged_or_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips"
    for label in ("healthy", "covid-19"):
        for number in range(2):
            seed = number + 10 * (label == "healthy")
            made = _identified(seed)
            made = compressed(made, JPEGLosslessSV1) if number else made
            save(made, folder / label / f"p{seed}" / "a.dcm")
    bad = folder / "healthy" / "p11"
    save(_identified(40, SequenceOfUltrasoundRegions=None), bad / "burnt.dcm")
    rows = b"\x28\x00\x10\x00"
    damaged = save(_identified(41), bad / "damaged.dcm")
    content = damaged.read_bytes()
    assert content.count(rows + b"US\x02\x00\xc8\x00") == 1
    damaged.write_bytes(content.replace(rows + b"US\x02\x00\xc8\x00", rows + b"IS\x06\x00Zzyzx "))
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    section = PARAMS.cohort.model_copy(update={"max_unusable": 0.9, "min_patients": 2})
    small = PARAMS.model_copy(update={"cohort": section})
    with caplog.at_level(logging.INFO), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        table, left_out = cohort.build(folder, small.cohort, LIMITS, workers=1)
        table.to_csv(tmp_path / "cohort.csv", index=False)
        left_out.to_csv(tmp_path / "cohort-left-out.csv", index=False)
        print(frames_stage.run(tmp_path / "cohort.csv", tmp_path / "frames", tmp_path / "checks", small))
        command = [sys.executable, "-c", "from lus.cli.main import main; main()", "check", "--json", str(folder)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    printed = capfd.readouterr()
    assert {"burnt.dcm", "damaged.dcm"} == {Path(path).name for path in left_out["path"]}
    assert table["patient"].tolist() == ["p0", "p1", "p10", "p11"]
    assert done.returncode == 2
    assert len(json.loads(done.stdout)["clips"]) == 6
    seen = [printed.out, printed.err, caplog.text, done.stdout, done.stderr, *(str(one.message) for one in warned)]
    written = [one for name in ("frames", "checks") for one in _written(tmp_path / name)]
    written += [(tmp_path / name).read_bytes() for name in ("cohort.csv", "cohort-left-out.csv")]
    everything = b"\n".join([*written, *(text.encode() for text in seen)]).lower()
    assert [secret for secret in SECRETS if secret.lower().encode() in everything] == []
    for kept in (tmp_path / "frames/frames").iterdir():
        frames = np.load(kept).astype(int)
        assert frames.shape[1:] == (299, 299, 3)
        # The name is purple, and the only colour in these files.
        assert np.ptp(frames, axis=-1).max() == 0
