from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lus.features.cache import Store, open_store

KEY: dict[str, object] = {"backbone": "xception", "weights_sha256": "a" * 64}
SHAPE = (4, 8)
FEATURES = np.arange(32, dtype=np.float32).reshape(SHAPE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(KEY, SHAPE, tmp_path)


def test_what_was_put_is_got_bit_for_bit(store: Store) -> None:
    assert store.get("clip") is None
    store.put("clip", FEATURES)
    got = store.get("clip")
    assert got is not None
    assert got.tobytes() == FEATURES.tobytes()
    assert store.get("other") is None


@pytest.mark.parametrize(
    ("key", "shape"),
    [(KEY | {"weights_sha256": "b" * 64}, SHAPE), (KEY | {"size": 299}, SHAPE), (KEY, (4, 9)), (KEY, (5, 8))],
)
def test_anything_else_has_a_store_of_its_own(
    store: Store, tmp_path: Path, key: dict[str, object], shape: tuple[int, int]
) -> None:
    store.put("clip", FEATURES)
    assert open_store(key, shape, tmp_path).get("clip") is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_half_written_file_is_never_read(store: Store, share: float) -> None:
    store.put("clip", FEATURES)
    (file,) = store.folder.glob("*.npy")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert store.get("clip") is None


def test_a_file_of_another_shape_or_kind_is_never_read(store: Store) -> None:
    store.put("clip", FEATURES)
    (file,) = store.folder.glob("*.npy")
    np.save(file, FEATURES.astype(np.float64))
    assert store.get("clip") is None
    np.save(file, np.array([{"code": "of anyone"}], dtype=object), allow_pickle=True)
    assert store.get("clip") is None


def test_a_write_that_fails_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="no space left"):
        store.put("clip", FEATURES)
    assert list(store.folder.iterdir()) == []


def test_the_features_of_clips_are_collected_in_the_order_asked_for(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        store.put(str(number), FEATURES + number)
    store.collect(["2", "0", "1"], tmp_path / "all.npy")
    collected = np.load(tmp_path / "all.npy", allow_pickle=False)
    assert collected.dtype == np.float32
    assert (collected == np.stack([FEATURES + number for number in (2, 0, 1)])).all()
    with pytest.raises(RuntimeError, match="the features of 3 are gone"):
        store.collect(["0", "3"], tmp_path / "all.npy")
