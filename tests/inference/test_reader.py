"""The processes that decode clips for a classifier: what kills one of them costs one answer at most."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lus.common import params_file
from lus.common.errors import Unusable
from lus.inference.metadata import ModelMetadata
from lus.inference.reader import ClipReader
from tests.conftest import ROOT, draw_frames, write_video

LIMITS = params_file.load_params(ROOT / "params.yaml").limits
METADATA = ModelMetadata(("a", "b"), 20, 64, LIMITS, "xception-20", {}, "lus-classifier", "7")


@pytest.fixture
def reader() -> Iterator[ClipReader]:
    made = ClipReader(METADATA, workers=2)
    made.warm_up()
    yield made
    made.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.avi", draw_frames(24, 120, 104, 0))


def _workers() -> list[int]:
    """Processes of the pool: children of this one that decode; other tests may have left children of another kind."""
    return [child.pid for child in psutil.Process().children() if "spawn_main" in _command(child)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.ZombieProcess:
        return ""


def test_an_idle_process_that_is_killed_costs_no_answer(reader: ClipReader, clip: Path) -> None:
    assert reader.read(clip).sample.frames.shape == (20, 64, 64, 3)
    for victims in (1, 2):
        for process in _workers()[:victims]:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.5)
        assert reader.read(clip).findings == []


def _die(*_: object, **__: object) -> None:
    os.abort()


def _hang(*_: object, **__: object) -> None:
    time.sleep(60)


def test_a_clip_that_kills_its_decoder_is_refused_and_the_next_is_answered(
    reader: ClipReader, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lus.inference.reader.read_clip", _die)
        with pytest.raises(
            Unusable, match=r"clip\.avi: a decoder that died \(signal 6\), a clip that decodes is expected"
        ):
            reader.read(clip)
    assert reader.read(clip).findings == []


def test_a_decoder_that_hangs_is_ended_at_its_limit(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ModelMetadata(**(vars(METADATA) | {"limits": LIMITS.model_copy(update={"max_seconds": 2.0})}))
    reader = ClipReader(quick)
    reader.warm_up()
    started = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr("lus.inference.reader.read_clip", _hang)
        with pytest.raises(Unusable, match="a decoder that took more than 2 s"):
            reader.read(clip)
    assert time.monotonic() - started < 20
    assert reader.read(clip).findings == []
    reader.close()


def test_threads_share_the_processes(reader: ClipReader, clip: Path) -> None:
    before = set(_workers())
    read: list[int] = []
    threads = [threading.Thread(target=lambda: read.append(reader.read(clip).sample.info.frames)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [24] * 4
    assert set(_workers()) == before
    assert len(before) == 2


def test_clips_are_read_ahead_in_their_order_and_a_refusal_takes_its_place(
    reader: ClipReader, clip: Path, tmp_path: Path
) -> None:
    short = write_video(tmp_path / "short.avi", draw_frames(5, 120, 104, 0))
    longer = write_video(tmp_path / "longer.avi", draw_frames(30, 120, 104, 0))
    paths = [clip, short, longer, tmp_path / "none.avi", clip]
    found = list(reader.read_all(paths))
    assert [getattr(one, "name", "") for one in found] == ["", "short.avi", "", "none.avi", ""]
    assert [one.sample.info.frames for one in found if not isinstance(one, Unusable)] == [24, 30, 24]


def test_a_closed_reader_leaves_no_process_and_starts_none(clip: Path) -> None:
    reader = ClipReader(METADATA)
    reader.warm_up()
    (process,) = _workers()
    reader.close()
    assert not psutil.pid_exists(process)
    with pytest.raises(RuntimeError, match="have been closed"):
        reader.read(clip)
    reader.close()
