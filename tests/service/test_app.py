from __future__ import annotations

import json
from http import HTTPStatus

from lus.errors import Finding, Unusable
from lus.service import app


def test_a_refusal_is_a_problem_body() -> None:
    finding = Finding("frames", "12", "at least 20", "record a longer clip", "the number of frames")
    # BentoML stores an upload under a name of its own, in front of the sender's.
    refusal = Unusable("tmpab12cd34clip.avi", [finding])
    response = app.problem(HTTPStatus.UNPROCESSABLE_ENTITY, refusal)
    assert response.status_code == 422
    assert response.media_type == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "clip.avi: the number of frames is 12, at least 20 is expected; record a longer clip",
        "findings": [
            {
                "check": "frames",
                "found": "12",
                "expected": "at least 20",
                "advice": "record a longer clip",
                "meaning": "the number of frames",
            }
        ],
    }


def test_the_contract_takes_a_file_and_promises_an_answer() -> None:
    api = app.LungUltrasound.apis["classify"]
    assert api.input_spec.model_json_schema()["properties"]["clip"]["type"] == "file"
    promised = api.output_spec.model_json_schema()["properties"]
    assert set(promised) == {"label", "probabilities", "frames", "seconds", "model"}
