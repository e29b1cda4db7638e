"""Training CNNs on LUS frames: what they learn from, and that nothing is trained twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.clips import cohort, frameset, sampling
from lus.clips.frameset import FrameSet
from lus.common import params, params_file
from lus.common.errors import BadInput
from lus.common.params import Params
from lus.features import backbones, featureset, pretrain_parts, pretrained, pretraining
from lus.features.backbones import Backbone
from lus.splits import folds
from lus.stages import features
from lus.stages import pretrain as stage
from tests.conftest import ROOT, draw_frames

SIZE, LENGTH, PATIENTS = 32, 2, 12
PRETRAIN = {"start": "random", "epochs": 2, "patience": 2, "batch": 8}


def _small_cnn(
    include_top: bool, weights: None, input_shape: tuple[int, int, int], name: str, pooling: str
) -> keras.Model:
    """A CNN as those of `keras.applications`, with two layers."""
    layers = keras.layers
    inputs = keras.Input(input_shape)
    hidden = layers.Conv2D(8, 5, strides=2, padding="same", name="conv_1")(inputs)
    hidden = layers.ReLU()(layers.BatchNormalization(name="norm_1")(hidden))
    hidden = layers.ReLU()(layers.Conv2D(16, 3, strides=2, padding="same", name="conv_2")(hidden))
    return keras.Model(inputs, layers.GlobalMaxPooling2D()(hidden), name=name)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.applications, "Small", _small_cnn, raising=False)
    monkeypatch.setitem(backbones.BACKBONES, "small", Backbone("small", "Small", SIZE, 16))


@pytest.fixture
def place(project: Path) -> Path:
    """A frame set of two labels that bright lines tell apart, in an empty project."""
    folder = project / "frames"
    (folder / "frames").mkdir(parents=True)
    rows = [
        {"clip_id": f"{number:064x}", "path": f"{number}.avi", "label": "ab"[number % 2], "patient": f"p{number}"}
        | {"frames": 24, "fps": 20.0, "width": 96, "height": 96}
        for number in range(PATIENTS)
    ]
    clips = pd.DataFrame(rows, columns=list(cohort.COLUMNS)).fillna("unknown")
    frameset.write(FrameSet(folder, clips, (LENGTH,), SIZE, params_file.load_params().limits))
    for number in range(PATIENTS):
        _write_frames(folder, number, number)
    return project


def _write_frames(folder: Path, number: int, seed: int) -> None:
    kept = len(sampling.union_indices(24, (LENGTH,)))
    np.save(
        frameset.frames_file(folder, f"{number:064x}"), draw_frames(kept, SIZE, SIZE, seed, stripes=3 * (number % 2))
    )


def _params(weights: str = "own", **pretrain: object) -> Params:
    loaded = params_file.load_params()
    changes = {
        "features": loaded.features.model_copy(update={"weights": weights, "seen": SIZE, "engine": "keras"}),
        "pretrain": loaded.pretrain.model_copy(update=PRETRAIN | pretrain),
        "folds": params.Folds(seed=1, outer=2, inner=3),
    }
    return loaded.model_copy(update=changes)


def _run(place: Path, name: str = "small", **pretrain: object) -> tuple[str, dict[str, bytes]]:
    """What the stage said, and the weights of each part."""
    said = stage.run(place / "frames", place / "pretrain" / name, _params(**pretrain))
    return said, {path.name: _weights(path, name) for path in sorted((place / "pretrain" / name).glob("*.h5"))}


def _weights(file: Path, name: str) -> bytes:
    model = backbones.build(name, SIZE, file)
    return b"".join(array.tobytes() for array in model.get_weights())


def test_a_folds_cnn_learns_nothing_from_the_folds_test_clips(place: Path) -> None:
    _, before = _run(place)
    assert list(before) == ["all.weights.h5", "fold-0.weights.h5", "fold-1.weights.h5"]
    assert len(set(before.values())) == 3
    part = folds.plan(frameset.read(place / "frames").clips, _params().folds)[0]
    for number in part.test:
        _write_frames(place / "frames", int(number), 1000 + int(number))
    shutil.rmtree(pretrain_parts.FOLDER)
    _, after = _run(place)
    assert after["fold-0.weights.h5"] == before["fold-0.weights.h5"]
    assert after["fold-1.weights.h5"] != before["fold-1.weights.h5"]
    assert after["all.weights.h5"] != before["all.weights.h5"]


def test_a_training_that_was_ended_goes_on_where_it_stopped_and_every_part_is_a_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, calls = pretraining.train, []

    def ended(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pretraining, "train", ended)
    with pytest.raises(KeyboardInterrupt):
        _run(place)
    said, resumed = _run(place)
    assert "for 3 parts" in said
    assert "1 of them known" in said
    assert len(calls) == 4
    runs = mlflow.search_runs(experiment_names=["lus"], output_format="list")
    assert sorted(run.data.tags["lus.part"] for run in runs) == ["all", "fold-0", "fold-1"]
    assert all({"val_loss", "val_accuracy", "best_epoch"} <= run.data.metrics.keys() for run in runs)
    said, again = _run(place)
    assert "3 of them known" in said
    assert again == resumed
    shutil.rmtree(pretrain_parts.FOLDER)
    assert _run(place)[1] == resumed


def test_another_setting_other_weights_or_other_clips_never_serve_old_weights(place: Path) -> None:
    sampled, plain = frameset.read(place / "frames"), _params()
    targets, split = folds.targets(sampled.clips), folds.plan(sampled.clips, plain.folds)[0].inner[0]
    one, other = (backbones.build("small", SIZE, "random", seed=seed) for seed in (1, 2))
    key = pretrain_parts.cache_key(one, sampled, split, targets, plain)
    assert pretrain_parts.cache_key(one, sampled, split, targets, plain) == key
    changed = {
        pretrain_parts.cache_key(other, sampled, split, targets, plain),
        pretrain_parts.cache_key(one, sampled, split, 1 - targets, plain),
        pretrain_parts.cache_key(one, sampled, folds.Fold(split.train[1:], split.test), targets, plain),
        pretrain_parts.cache_key(one, sampled, folds.Fold(split.train, split.test[1:]), targets, plain),
        pretrain_parts.cache_key(one, sampled, split, targets, _params(epochs=1)),
        pretrain_parts.cache_key(one, sampled, split, targets, _params(learning_rate=0.1)),
        pretrain_parts.cache_key(one, sampled, split, targets, _params(layers=1)),
        pretrain_parts.cache_key(one, sampled, split, targets, _params(seed=9)),
        pretrain_parts.cache_key(one, replace(sampled, lengths=(1, LENGTH)), split, targets, plain),
    }
    assert len(changed | {key}) == 10


def test_damaged_weights_are_trained_anew(place: Path) -> None:
    _, before = _run(place)
    damaged = next(pretrain_parts.FOLDER.glob("*.h5"))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    said, after = _run(place)
    assert "2 of them known" in said
    assert after == before


def test_a_training_that_diverges_says_so_and_keeps_nothing(place: Path) -> None:
    with pytest.raises(BadInput, match=r"small_backbone diverged: .* lower pretrain\.learning_rate \(1e\+38\)"):
        _run(place, learning_rate=1e38)
    assert not pretrain_parts.FOLDER.exists()


def test_weights_trained_on_another_cohort_make_no_features(place: Path) -> None:
    _run(place)
    clips = frameset.read(place / "frames").clips
    clips["patient"] = clips["patient"].iloc[::-1].to_numpy()
    clips.to_csv(place / "frames" / frameset.CLIPS_FILE, index=False)
    with pytest.raises(BadInput, match="trained on other clips, labels or patients; `dvc repro pretrain` trains it"):
        features.run(place / "frames", place / "pretrain", place / f"features/small-{LENGTH}", _params().features)


def test_a_cnn_with_other_weights_is_not_trained(place: Path) -> None:
    out = place / "pretrain" / "small"
    assert stage.run(place / "frames", out, _params("random")) == "small has random weights: nothing to train"
    assert [path.name for path in out.iterdir()] == [pretrained.INFO_FILE]
    assert json.loads((out / pretrained.INFO_FILE).read_text())["parts"] == {}


def test_only_the_last_layers_change_where_so_many_are_to_be_trained() -> None:
    backbone = backbones.build("small", SIZE, "random", seed=3)
    cnn = backbones.get_cnn(backbone)
    before = {layer.name: layer.get_weights() for layer in cnn.layers}
    source = _labelled(8)
    section = params_file.load_params(ROOT / "params.yaml").pretrain.model_copy(update=PRETRAIN | {"layers": 3})
    pretraining.train(backbone, 2, source, source, section)
    changed = {
        name
        for name, weights in before.items()
        if any((old != new).any() for old, new in zip(weights, cnn.get_layer(name).get_weights(), strict=True))
    }
    assert changed == {"conv_2"}


def test_the_paper_s_cnn_that_was_trained_on_lus_frames_always_is() -> None:
    assert backbones.resolve_weights("pocovidnet", "imagenet") == "own"
    assert backbones.resolve_weights("xception", "imagenet") == "imagenet"
    assert backbones.resolve_weights("xception", "own") == "own"


def _labelled(count: int, seed: int = 0) -> pretraining.LabelledFrames:
    frames = [draw_frames(1, SIZE, SIZE, seed + number, stripes=3 * (number % 2))[0] for number in range(count)]
    return pretraining.LabelledFrames(frames.__getitem__, np.arange(count) % 2)


def test_a_cnn_learns_to_tell_frames_apart_and_keeps_the_weights_of_its_best_epoch() -> None:
    backbone = backbones.build("small", SIZE, "random", seed=3)
    section = params_file.load_params(ROOT / "params.yaml").pretrain.model_copy(
        update={"epochs": 12, "patience": 12, "batch": 16, "learning_rate": 0.01}
    )
    kept_out = _labelled(32, 500)
    epochs = pretraining.train(backbone, 2, _labelled(96), kept_out, section)
    assert max(epoch.accuracy for epoch in epochs) > 0.9
    assert min(epoch.loss for epoch in epochs) < epochs[0].loss / 2
    assert not backbones.get_cnn(backbone).trainable


def test_a_feature_set_holds_the_features_of_each_parts_own_backbone(place: Path) -> None:
    out, section = place / "features" / f"small-{LENGTH}", _params().features
    with pytest.raises(
        BadInput, match="holds no weights trained on the cohort's own frames; `dvc repro pretrain` makes them"
    ):
        features.run(place / "frames", place / "pretrain", out, section)
    _run(place)
    said = features.run(place / "frames", place / "pretrain", out, section)
    assert f"for each of 3 parts with own weights on keras in {out}; {3 * PATIENTS} clips computed, 0 known" in said
    data, sampled = featureset.read(out), frameset.read(place / "frames")
    parts = data.parts(_params().folds)
    assert data.info.weights == "own"
    for part in parts:
        backbone = backbones.build("small", SIZE, place / "pretrain" / "small" / pretrained.weights_file(part.name))
        frames = sampled.frames(f"{3:064x}", 24, LENGTH)
        assert np.allclose(data.for_part(part.name)[3], backbone(frames), atol=1e-5)
    assert _weights(out / featureset.WEIGHTS_FILE, "small") == _weights(
        place / "pretrain" / "small" / pretrained.weights_file("all"), "small"
    )
    said = features.run(place / "frames", place / "pretrain", out, section)
    assert said.endswith(f"0 clips computed, {3 * PATIENTS} known")


@settings(deadline=None, max_examples=30)
@given(size=st.integers(8, 60), count=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_frame_that_is_turned_and_mirrored_keeps_its_kind(size: int, count: int, seed: int) -> None:
    frames = list(draw_frames(count, size, size, seed))
    first, again = (pretraining.augment(frames, np.random.default_rng(seed)) for _ in range(2))
    assert all(one.shape == (size, size, 3) and one.dtype == np.uint8 for one in first)
    assert any((one != frame).any() for one, frame in zip(first, frames, strict=True))
    assert all((one == other).all() for one, other in zip(first, again, strict=True))


def test_every_pass_holds_each_frame_once() -> None:
    targets = np.arange(10) % 2
    source = pretraining.LabelledFrames(lambda number: np.full((4, 4, 3), number, np.uint8), targets)
    made = pretraining.batches(source, 4, np.array([1, 3], np.float32))
    passes = [next(made) for _ in range(6)]
    assert [len(frames) for frames, _, _ in passes] == [4, 4, 2, 4, 4, 2]
    assert [int(frame[0, 0, 0]) for frames, _, _ in passes[:3] for frame in frames] == list(range(10))
    assert all((weights == 1 + 2 * targets).all() for _, targets, weights in passes)
