"""The features stage: each clip is computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lus.clips import cohort, frameset, sampling
from lus.clips.frameset import FrameSet
from lus.common import params_file
from lus.common.errors import BadInput
from lus.features import backbones, featureset, imagenet, openvino, parity
from lus.stages import features as stage
from tests.conftest import ROOT, draw_frames

SIZE, LENGTH = 64, 4
LIMITS = params_file.load_params(ROOT / "params.yaml").limits


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the working directory, with a weights file in it."""
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        model = backbones.build("mobilenetv2", SIZE, "random", seed=seed)
        (tmp_path / "weights").mkdir(exist_ok=True)
        backbones.get_cnn(model).save_weights(tmp_path / f"weights/{seed}.weights.h5")
    return tmp_path


def _frames(place: Path, count: int, labels: str = "ab") -> None:
    """A frame set of so many clips."""
    folder = place / "frames"
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    rows = [
        {"clip_id": f"{number:064x}", "path": f"{number}.avi", "label": labels[number % len(labels)], "patient": "p"}
        | {"frames": 24, "fps": 20.0, "width": 96, "height": 96}
        for number in range(count)
    ]
    clips = pd.DataFrame(rows, columns=list(cohort.COLUMNS)).fillna("unknown")
    frameset.write(FrameSet(folder, clips, (LENGTH,), SIZE, LIMITS))
    kept = len(sampling.union_indices(24, (LENGTH,)))
    for number in range(count):
        np.save(frameset.frames_file(folder, f"{number:064x}"), draw_frames(kept, SIZE, SIZE, number))


def _run(
    place: Path, weights: str = "weights/1.weights.h5", seen: int | None = SIZE, engine: str = "keras"
) -> tuple[np.ndarray, str]:
    changes = {"weights": weights, "seen": seen, "engine": engine}
    section = params_file.load_params(ROOT / "params.yaml").features.model_copy(update=changes)
    out = place / f"features/mobilenetv2-{LENGTH}"
    said = stage.run(place / "frames", place / "pretrain", out, section)
    return featureset.read(out).features, said.rpartition("; ")[2]


def test_one_clip_more_is_one_clip_computed(place: Path) -> None:
    _frames(place, 5)
    before, said = _run(place)
    assert said == "5 clips computed, 0 known"
    _frames(place, 6)
    after, said = _run(place)
    assert said == "1 clips computed, 5 known"
    assert (after[:5] == before).all()
    assert not np.allclose(after[5], after[4])


def test_where_imagenet_weights_came_from_is_said_and_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "load", lambda application, _, top: application(weights=None, **top))
    monkeypatch.setattr(imagenet, "origin", lambda *_: "wheel x 1")
    _frames(place, 4)
    section = params_file.load_params(ROOT / "params.yaml").features
    section = section.model_copy(update={"weights": "imagenet", "seen": SIZE, "engine": "keras"})
    out = place / f"features/mobilenetv2-{LENGTH}"
    assert "with imagenet weights (wheel x 1) on keras" in stage.run(place / "frames", place / "none", out, section)
    assert featureset.read(out).info.weights_from == "wheel x 1"


def test_changed_labels_compute_nothing(place: Path) -> None:
    _frames(place, 4)
    before, _ = _run(place)
    _frames(place, 4, labels="ba")
    after, said = _run(place)
    assert said == "0 clips computed, 4 known"
    assert (after == before).all()
    assert featureset.read(place / f"features/mobilenetv2-{LENGTH}").clips["label"].tolist() == ["b", "a", "b", "a"]


def test_other_weights_and_another_input_size_never_serve_old_features(place: Path) -> None:
    _frames(place, 3)
    first, _ = _run(place)
    second, said = _run(place, "weights/2.weights.h5")
    assert said == "3 clips computed, 0 known"
    assert not np.allclose(first, second)
    smaller, said = _run(place, seen=32)
    assert said == "3 clips computed, 0 known"
    assert not np.allclose(first, smaller)
    # The same name with another content.
    (place / "weights/1.weights.h5").write_bytes((place / "weights/2.weights.h5").read_bytes())
    replaced, _ = _run(place)
    assert (replaced == second).all()


@pytest.mark.parametrize("seen", [96, None])
def test_frames_are_never_enlarged(place: Path, seen: int | None) -> None:
    _frames(place, 3)
    with pytest.raises(BadInput, match=rf"mobilenetv2 is to see {seen or 224} x .*; set frames\.side to"):
        _run(place, seen=seen)
    assert not (place / "features").exists()


def test_a_run_that_was_ended_goes_on_where_it_stopped(place: Path) -> None:
    _frames(place, 5)
    section = params_file.load_params(ROOT / "params.yaml").features.model_copy(
        update={"weights": "weights/1.weights.h5", "seen": SIZE, "engine": "keras"}
    )

    def end(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.run(place / "frames", place / "pretrain", place / f"features/mobilenetv2-{LENGTH}", section, end)
    assert _run(place)[1] == "2 clips computed, 3 known"


def test_a_damaged_file_is_computed_again(place: Path) -> None:
    _frames(place, 3)
    before, _ = _run(place)
    damaged = next((place / ".lus/features").rglob("*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    after, said = _run(place)
    assert said == "1 clips computed, 2 known"
    assert (after == before).all()


def test_another_engine_is_compared_and_keeps_its_features_apart(place: Path) -> None:
    _frames(place, 6)
    reference, _ = _run(place)
    features, said = _run(place, engine="openvino-f32")
    assert said == "6 clips computed, 0 known"
    assert np.abs(features - reference).max() < 1e-3 * np.abs(reference).max()
    info = featureset.read(place / f"features/mobilenetv2-{LENGTH}").info
    assert info.engine == "openvino-f32"
    assert _run(place)[1] == "0 clips computed, 6 known"
    assert (_run(place)[0] == reference).all()


def test_an_engine_with_other_features_is_refused_with_the_figures_and_nothing_is_kept(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _frames(place, 6)
    rng = np.random.default_rng(0)

    def wrong(model: object, engine: str) -> openvino.FeatureFunction:
        run = backbones.trace(model)
        return lambda frames: run(frames) + rng.normal(0, 5, (len(frames), 1280)).astype(np.float32)

    monkeypatch.setattr(openvino, "compile_backbone", wrong)
    with pytest.raises(BadInput, match=r"openvino-f32 gives other features for mobilenetv2 than keras"):
        _run(place, engine="openvino-f32")
    assert not (place / ".lus").exists()
    assert list((place / "features").iterdir()) == []


@pytest.mark.slow
def test_an_engine_in_8_bits_is_held_to_the_reference_and_kept_apart(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _frames(place, 6)
    exact = openvino.resolve_engine("openvino-int8")
    # Random weights of so small a CNN do not bear it.
    with pytest.raises(BadInput, match=rf"{exact} gives other .*engine to openvino or openvino-f32 or keras in"):
        _run(place, engine="openvino-int8")
    assert not (place / ".lus/features").exists()
    graphs = list((place / ".lus/quantized").iterdir())
    monkeypatch.setattr(parity, "refuse_difference", lambda *_: None)
    features, said = _run(place, engine="openvino-int8")
    assert said == "6 clips computed, 0 known"
    assert list((place / ".lus/quantized").iterdir()) == graphs
    assert featureset.read(place / f"features/mobilenetv2-{LENGTH}").info.engine == exact
    reference, said = _run(place)
    assert said == "6 clips computed, 0 known"
    assert not np.array_equal(features, reference)
    assert _run(place, engine="openvino-int8")[1] == "0 clips computed, 6 known"


def test_an_engine_is_not_even_started_where_all_is_known(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _frames(place, 6)
    _run(place, engine="openvino-f32")
    monkeypatch.delattr(openvino, "compile_backbone")
    assert _run(place, engine="openvino-f32")[1] == "0 clips computed, 6 known"


def test_random_weights_are_those_of_the_seed_whatever_the_cohort(place: Path) -> None:
    _frames(place, 5)
    before, said = _run(place, "random")
    assert said == "5 clips computed, 0 known"
    _frames(place, 6)
    after, said = _run(place, "random")
    assert said == "1 clips computed, 5 known"
    assert (after[:5] == before).all()


def test_a_run_that_fails_leaves_the_earlier_feature_set_as_it_was(place: Path) -> None:
    _frames(place, 4)
    before, _ = _run(place)
    _frames(place, 5)
    frameset.frames_file(place / "frames", f"{4:064x}").unlink()
    with pytest.raises(FileNotFoundError):
        _run(place)
    assert [folder.name for folder in (place / "features").iterdir()] == [f"mobilenetv2-{LENGTH}"]
    assert (featureset.read(place / f"features/mobilenetv2-{LENGTH}").features == before).all()


def test_a_length_that_no_frames_were_sampled_for_is_refused_and_nothing_is_kept(place: Path) -> None:
    _frames(place, 3)
    changes = {"weights": "weights/1.weights.h5", "seen": SIZE, "engine": "keras"}
    section = params_file.load_params(ROOT / "params.yaml").features.model_copy(update=changes)
    out = place / "features/mobilenetv2-2"
    expected = "frames: has frames for sequences of 4, not of 2; add 2 to frames.lengths in params.yaml"
    with pytest.raises(BadInput, match=expected):
        stage.run(place / "frames", place / "pretrain", out, section)
    assert not out.exists()
    assert [file for file in place.glob(".lus/**/*") if file.is_file()] == []
