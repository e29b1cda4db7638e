from __future__ import annotations

import json
from http import HTTPStatus

from lus.service import app


def test_a_refusal_is_a_problem_body() -> None:
    response = app.problem(HTTPStatus.UNPROCESSABLE_ENTITY, "clip.avi: is empty")
    assert response.status_code == 422
    assert response.media_type == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "clip.avi: is empty",
    }


def test_the_contract_takes_a_file_and_promises_an_answer() -> None:
    api = app.LungUltrasound.apis["classify"]
    assert api.input_spec.model_json_schema()["properties"]["clip"]["type"] == "file"
    promised = api.output_spec.model_json_schema()["properties"]
    assert set(promised) == {"label", "probabilities", "frames", "seconds", "model"}
