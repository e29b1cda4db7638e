"""Which engine serves: the fastest that answers as the registered model did, and none that does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lus.features import backbones, openvino
from lus.heads.model import HeadParams, build_head
from lus.inference import compiled, engine_choice, explain, keras_model
from lus.inference.compiled import CompiledClassifier, Parity
from lus.inference.engine_choice import EngineTrial, NoEngineHolds
from lus.inference.metadata import METADATA_FILE
from lus.registry import download, models
from tests.conftest import draw_frames
from tests.versions import NAME, add

INT8 = EngineTrial("openvino-int8", Parity(3, 0.004, 0), 0.5)
BF16 = EngineTrial("openvino-bf16", Parity(3, 0.001, 0), 0.9)
F32 = EngineTrial("openvino-f32", Parity(3, 1e-7, 0), 1.4)
WRONG = EngineTrial("openvino-int8", Parity(3, 0.03, 1), 0.5)


def test_the_fastest_engine_that_holds_is_taken_and_the_others_are_named_with_figures() -> None:
    assert engine_choice.choose_fastest([INT8, BF16, F32]).chosen == INT8
    found = engine_choice.choose_fastest([WRONG, F32, BF16])
    assert (found.chosen, found.slower, found.refused) == (BF16, (F32,), (WRONG,))
    assert str(found) == (
        "the fastest engine that answers as registered is openvino-bf16: 0 of 3 clips labelled otherwise, largest "
        "difference 0.001, 0.90 s a clip; slower is openvino-f32: 0 of 3 clips labelled otherwise, largest difference "
        "1e-07, 1.40 s a clip; refused is openvino-int8: 1 of 3 clips labelled otherwise, largest difference 0.03, "
        "0.50 s a clip"
    )


def test_where_no_engine_holds_that_is_an_error_with_all_figures() -> None:
    slow = EngineTrial("openvino-f32", Parity(3, 0.2, 0), 1.4)
    with pytest.raises(
        NoEngineHolds, match=r"no engine .*openvino-int8: 1 of 3 .* 0\.03, .*openvino-f32: 0 of 3 .* 0\.2, 1\.40 s"
    ):
        engine_choice.choose_fastest([WRONG, slow])


def test_auto_tries_what_the_cpu_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "has_bf16", lambda: True)
    assert engine_choice.list_candidates("auto") == ("openvino-int8", "openvino-bf16", "openvino-f32")
    monkeypatch.setattr(openvino, "has_bf16", lambda: False)
    assert engine_choice.list_candidates("auto") == ("openvino-int8", "openvino-f32")
    assert engine_choice.list_candidates("openvino-bf16") == ("openvino-bf16",)


def test_auto_leaves_one_engine_by_name_and_its_files_alone(project: Path) -> None:
    add()
    choices: list[engine_choice.EngineChoice] = []
    served = project / "served"
    made = download.compile_into(models.get_version(NAME, "1"), "auto", served, on_chosen=choices.append)
    chosen = choices[0].chosen
    assert json.loads((served / "engine.json").read_text()) == {"engine": chosen.engine}
    assert chosen.parity.clips == 2
    tried = (chosen, *choices[0].slower, *choices[0].refused)
    assert {one.engine for one in tried} == set(engine_choice.list_candidates("auto"))
    assert min(one.seconds for one in tried) > 0
    kept = compiled.QUANTIZED_FILE if openvino.is_quantized(made.engine) else compiled.CNN_FILE
    assert {one.name for one in served.glob("cnn*")} == {kept, kept.replace(".xml", ".bin")}
    assert CompiledClassifier.load_checked(served).engine == openvino.resolve_engine(chosen.engine)


def test_auto_refuses_engines_that_answer_otherwise(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    asked = compiled.CompiledClassifier.probabilities

    def wrong(self: CompiledClassifier, frames: np.ndarray, **more: object) -> np.ndarray:
        return asked(self, frames) + (0.05 if self.engine != "openvino-f32" else 0)

    monkeypatch.setattr(CompiledClassifier, "probabilities", wrong)
    choices: list[engine_choice.EngineChoice] = []
    download.compile_into(models.get_version(NAME, "1"), "auto", project / "served", on_chosen=choices.append)
    assert choices[0].chosen.engine == "openvino-f32"
    assert {one.engine for one in choices[0].refused} == set(engine_choice.list_candidates("auto")) - {"openvino-f32"}
    assert all(round(one.parity.difference, 2) == 0.05 for one in choices[0].refused)


@pytest.fixture
def quantized(project: Path) -> Path:
    """A folder with a classifier in 8 bits and in full precision."""
    backbone = backbones.build("mobilenetv2", 96, "random")
    head = build_head(HeadParams(units=4, dense=(4,)), 2, 1280, 2, np.zeros(1280), np.ones(1280))
    whole = keras_model.assemble(backbone, head, 2)
    folder = project / "served"
    keras_model.export(whole, ["openvino-int8", "openvino-f32"], folder)
    frames = draw_frames(4, 96, 96, 1).reshape(2, 2, 96, 96, 3)
    np.save(folder / compiled.EXAMPLE_FILE, frames)
    np.save(folder / compiled.ANSWER_FILE, backbones.trace(whole)(frames))
    add()
    download.download_version(models.get_version(NAME, "1"), project / "version")
    (folder / METADATA_FILE).write_bytes((project / "version" / METADATA_FILE).read_bytes())
    return folder


@pytest.mark.slow
def test_what_explains_an_answer_is_there_in_8_bits_too(quantized: Path) -> None:
    folder = quantized
    made, exact = CompiledClassifier(folder), CompiledClassifier(folder, "openvino-f32")
    assert made.engine.startswith("openvino-int8-")
    clip = draw_frames(2, 96, 96, 5)
    output = made.run_cnn(clip)
    assert output.maps.shape == exact.run_cnn(clip).maps.shape
    assert np.allclose(output.maps.mean(axis=(1, 2)), output.features, atol=1e-2 * np.abs(output.features).max())
    difference = np.abs(output.features - exact.run_cnn(clip).features)
    assert difference.max() > 0  # the graph in 8 bits was run
    found = explain.explain(made, clip)
    assert found.heat.shape == (2, 3, 3)
    assert {one.engine for one in engine_choice.try_engines(folder, ["openvino-int8", "openvino-f32"])} == {
        "openvino-int8",
        "openvino-f32",
    }
