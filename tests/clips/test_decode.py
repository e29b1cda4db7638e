from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lus.clips import decode, sampling
from lus.common import params_file
from lus.common.errors import Unusable
from tests.conftest import ROOT, draw_frames, write_video

LIMITS = params_file.load_params(ROOT / "params.yaml").limits

NAMES = [
    "plain.avi",
    "with space.avi",
    "a+b.mp4",
    "(brackets) [x].avi",
    "UPPER.AVI",
    "100%d.avi",
    "lunge-ä.mp4",
    "a:b.avi",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_decodes(make_clip: Callable[..., Path], name: str) -> None:
    info = decode.inspect(make_clip(name, count=23), LIMITS)
    assert (info.frames, info.width, info.height, info.fps) == (23, 120, 104, 20.0)


def test_a_clip_without_extension_decodes(make_clip: Callable[..., Path]) -> None:
    path = make_clip("x.avi")
    bare = path.with_name("bare")
    path.rename(bare)
    assert decode.inspect(bare, LIMITS).frames == 24


def test_identity_follows_content_and_not_name(make_clip: Callable[..., Path]) -> None:
    first, other = make_clip("a.avi"), make_clip("b.avi", seed=1)
    renamed = first.with_name("c.avi")
    renamed.write_bytes(first.read_bytes())
    assert decode.clip_id(first) == decode.clip_id(renamed) != decode.clip_id(other)


def _peak(limits: str) -> int:
    """Greatest resident memory, in MiB, of a process that meets a clip of 16384 x 2048 pixels."""
    code = (
        "import pathlib, re, cv2; from lus.clips import decode; from lus.common import errors, params_file\n"
        f"limits = params_file.load_params(pathlib.Path({str(ROOT / 'params.yaml')!r})).limits\n"
        f"limits = limits.model_copy(update=dict({limits}))\n"
        "try: decode.inspect(pathlib.Path('huge.avi'), limits)\n"
        "except errors.Unusable: pass\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) // 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
def test_huge_frames_are_refused_before_their_memory_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "huge.avi", np.zeros((2, 2048, 16384, 3), np.uint8))
    decoded, refused = _peak("max_pixels=10**9"), _peak("")
    # Two planes of 16384 x 2048 pixels at least, and the same in three colours, where it is decoded.
    assert decoded - refused > 100


def test_a_clip_cut_short_gives_the_frames_that_are_left(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", draw_frames(40, 120, 104, 0))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 10 < decode.inspect(path, LIMITS).frames < 30
    with pytest.raises(Unusable, match="an end after"):
        sampling.read_frames(path, np.array([0, 39]), 32)


def test_a_damaged_clip_gives_the_same_frames_each_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", draw_frames(40, 240, 200, 0))
    content = bytearray(path.read_bytes())
    for place in range(2000, int(0.95 * len(content)), 997):
        content[place] ^= 16
    path.write_bytes(content)
    indices = np.arange(decode.inspect(path, LIMITS).frames)
    assert len({sampling.read_frames(path, indices, 100)[0].tobytes() for _ in range(10)}) == 1


@pytest.mark.real
def test_decoded_frame_counts_equal_the_published_ones(upstream: Path) -> None:
    published = pd.read_csv(upstream / "b-mandelbrot/pulmonary-covid19/videos.csv").set_index("filename")["frames"]
    clips = sorted((upstream / "jannisborn/covid19_ultrasound/data/pocus_videos/convex").iterdir())
    counted = {path.name: decode.inspect(path, LIMITS).frames for path in clips}
    assert len(counted) == 119
    assert counted == published[list(counted)].to_dict()
