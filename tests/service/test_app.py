"""The service over HTTP: answers, explanations, refusals, and what it tells of itself."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from pydicom.uid import JPEGLosslessSV1

from lus.features import openvino
from lus.registry import download, models
from tests.clips import dicom_files
from tests.conftest import draw_frames
from tests.service.conftest import Service
from tests.versions import LABELS, LENGTH

pytestmark = pytest.mark.slow


def test_a_clip_is_answered_with_probabilities_findings_times_and_where_the_model_comes_from(
    service: Service, clip: Path
) -> None:
    response = service.post("/classify", clip)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) == {"label", "probabilities", "frames", "seconds", "model", "findings"}
    assert set(answer["probabilities"]) == set(LABELS)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert answer["frames"] == [0, 23]
    assert set(answer["seconds"]) == {"read", "decode", "check", "classify"}
    assert answer["model"]["version"] == response.headers["X-Model-Version"] == "1"
    assert answer["model"]["lineage"] == response.headers["X-Model-Lineage"] != ""


def test_the_answers_are_those_of_the_registered_model(
    service: Service, clip: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = service.post("/classify", clip).json()
    monkeypatch.chdir(served)
    # MLflow itself sets it to what another test used last.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with download.load_classifier(models.get_version("lus-classifier", "1")) as reference:
        expected = reference.classify(clip)
    assert answer["label"] == expected.label
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=0.01)
    assert answer["frames"] == expected.frames


def test_an_explanation_has_heat_importance_course_and_a_video(service: Service, clip: Path, tmp_path: Path) -> None:
    plain, answer = service.post("/classify", clip).json(), service.post("/explain", clip).json()
    assert answer["label"] == answer["explained"] == plain["label"]
    assert answer["probabilities"] == pytest.approx(plain["probabilities"])
    heat = np.array(answer["heat"])
    assert heat.shape[0] == len(answer["importance"]) == len(answer["course"]) == LENGTH
    assert heat.min() >= 0
    assert heat.max() in (0, 1)
    assert answer["course"][-1] == pytest.approx(answer["probabilities"], abs=1e-4)
    assert answer["overlay"]["media_type"] == "video/webm"
    (tmp_path / "overlay.webm").write_bytes(base64.b64decode(answer["overlay"]["data"]))
    ok, frame = cv2.VideoCapture(str(tmp_path / "overlay.webm")).read()
    assert ok
    assert max(frame.shape) == 480


def test_another_label_can_be_explained_and_one_that_is_none_is_refused(service: Service, clip: Path) -> None:
    label = service.post("/classify", clip).json()["label"]
    (other,) = set(LABELS) - {label}
    assert service.post(f"/explain?label={other}", clip).json()["explained"] == other
    refused = service.post("/explain?label=nothing", clip)
    assert refused.status_code == 422
    assert refused.json()["detail"] == "label: not one of this model's, normal, sick are; name one of them"


def test_a_batch_has_an_answer_or_a_problem_for_each_clip_in_their_order(
    service: Service, clip: Path, short: Path
) -> None:
    response = service.post("/classify/batch", clip, short, clip, field="clips")
    assert response.status_code == 200, response.text
    first, second, third = response.json()["clips"]
    assert first["answer"]["probabilities"] == pytest.approx(third["answer"]["probabilities"])
    assert second["answer"] is None
    assert second["problem"]["findings"][0]["check"] == "decode"
    assert response.json()["patient"] is None
    patient = service.post("/classify/batch?patient=true", clip, short, clip, field="clips").json()["patient"]
    assert (patient["label"], patient["clips"], patient["rule"]) == (first["answer"]["label"], 2, "mean")
    assert patient["probabilities"] == pytest.approx(first["answer"]["probabilities"], abs=1e-5)
    assert service.post("/classify/batch?patient=true", short, field="clips").json()["patient"] is None
    assert (
        service.post("/classify/batch", *[clip] * 17, field="clips").json()["detail"].startswith("17 clips were sent")
    )


def test_a_clip_that_is_not_usable_is_a_problem_with_findings_and_without_its_name(
    service: Service, short: Path
) -> None:
    response = service.post("/classify", short)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["detail"].startswith("the clip: nothing that can be decoded")
    assert body["title"] == "Unprocessable Entity"
    (finding,) = body["findings"]
    assert finding["check"] == "decode"
    assert finding["advice"]
    assert "Doe" not in response.text


@pytest.mark.parametrize(
    ("path", "field"),
    [("/classify", "clip"), ("/explain", "clip"), ("/explain?label=none", "clip"), ("/classify", "x")],
)
def test_a_refusal_of_a_clip_names_the_model(service: Service, clip: Path, short: Path, path: str, field: str) -> None:
    answered, refused = service.post("/classify", clip), service.post(path, short, field=field)
    assert refused.status_code == 422
    for header in ("X-Model-Version", "X-Model-Lineage"):
        assert refused.headers[header] == answered.headers[header] != ""


@pytest.mark.parametrize(
    ("request_", "status", "detail"),
    [
        ({"method": "GET", "url": "/nothing"}, 404, "there is nothing at this address"),
        ({"method": "GET", "url": "/classify"}, 405, "does not take that method"),
        ({"method": "POST", "url": "/classify", "json": {"clip": "http://127.0.0.1/clip.avi"}}, 415, "no multipart"),
        (
            {"method": "POST", "url": "/classify", "files": {"clip": (None, "http://127.0.0.1:1/a")}},
            422,
            "clip: missing",
        ),
        (
            {"method": "POST", "url": "/classify", "files": {"file": ("a", b"secret")}},
            422,
            "clip: missing or of the wrong",
        ),
        (
            {"method": "POST", "url": "/classify", "content": b"x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "cannot be understood",
        ),
    ],
)
def test_every_error_is_a_problem_body_that_says_what_to_do(
    service: Service, request_: dict[str, object], status: int, detail: str
) -> None:
    response = httpx.request(**(request_ | {"url": service.address + str(request_["url"])}))  # type: ignore[arg-type]
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert detail in response.json()["detail"]
    assert response.json()["status"] == status


def test_the_model_tells_what_it_is_and_shows_its_card(service: Service) -> None:
    facts = httpx.get(service.address + "/model").json()
    assert facts["labels"] == list(LABELS)
    assert facts["limits"]["min_side"] == 100
    assert facts["card"] == "# Model card"
    assert facts["engine"] == openvino.resolve_engine("openvino")
    assert "git_commit" in facts["made_from"]
    assert "machine" not in facts["made_from"]


def test_health_and_counts_of_answers_refusals_and_seconds(service: Service, clip: Path, short: Path) -> None:
    def count(text: str, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    assert (
        httpx.get(service.address + "/livez").status_code == httpx.get(service.address + "/readyz").status_code == 200
    )
    before = httpx.get(service.address + "/metrics").text
    label = service.post("/classify", clip).json()["label"]
    service.post("/classify", short)
    httpx.post(service.address + "/classify", json={})
    after = httpx.get(service.address + "/metrics").text
    for name in (
        f'lus_answers_total{{label="{label}"}}',
        'lus_refusals_total{check="decode"}',
        'lus_turned_away_total{status="415"}',
        'lus_seconds_count{part="classify"}',
    ):
        assert count(after, name) == count(before, name) + 1, name


def test_the_openapi_document_is_complete_and_has_examples(service: Service) -> None:
    document = httpx.get(service.address + "/openapi.json").json()
    assert set(document["paths"]) == {"/classify", "/classify/batch", "/explain", "/model"}
    for path in ("/classify", "/classify/batch", "/explain"):
        operation = document["paths"][path]["post"]
        assert operation["description"]
        assert {"200", "401", "408", "413", "415", "422", "503"} <= set(operation["responses"])
        assert list(operation["responses"]["422"]["content"]) == ["application/problem+json"]
        assert "multipart/form-data" in operation["requestBody"]["content"]
    answer = document["components"]["schemas"]["Answer"]["properties"]
    assert answer["label"]["examples"] == ["covid-19"]
    assert answer["probabilities"]["examples"]
    page = httpx.get(service.address + "/docs").text
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address.startswith(("/static_content/", "data:")), address
        if address.startswith("/"):
            assert httpx.get(service.address + address).status_code == 200


def test_no_file_and_no_name_is_left_behind(service: Service, clip: Path, short: Path) -> None:
    for path in ("/classify", "/explain"):
        service.post(path, clip)
        service.post(path, short)
    assert [one.name for one in service.scratch.iterdir() if one.name.startswith("lus-")] == []
    assert "Doe" not in service.log.read_text()


def test_a_dicom_file_is_a_clip_whose_header_is_told_to_nobody(service: Service, tmp_path: Path) -> None:
    frames = draw_frames(24, 160, 120, 3)
    box = dicom_files.region(20, 10, 139, 113)
    whose = {"PatientName": "Doe^Jane", "PatientID": "4711-0815", "InstitutionName": "Doe's Hospital"}
    made = dicom_files.dataset(frames, SequenceOfUltrasoundRegions=[box], **whose)
    lossless = dicom_files.save(dicom_files.compressed(made, JPEGLosslessSV1), tmp_path / "one.dcm")
    plain = dicom_files.save(dicom_files.dataset(frames[:, 10:114, 20:140].copy(), **whose), tmp_path / "two.dcm")
    whole, cut = service.post("/classify", lossless), service.post("/classify", plain)
    assert whole.status_code == 200, whole.text
    assert whole.json()["probabilities"] == pytest.approx(cut.json()["probabilities"])
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(lossless.read_bytes()[:1500])
    refused = service.post("/explain", broken)
    assert refused.status_code == 422
    for text in (whole.text, refused.text, service.log.read_text()):
        assert not re.search("Doe|4711-0815|Hospital", text)  # a port may be 34711
