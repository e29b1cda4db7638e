"""Videos are decoded wholly, the same each time, and as OpenCV decodes them where it can."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lus.checks import rules
from lus.clips import decode, video
from lus.common import params_file
from lus.common.errors import Unusable
from tests.clips import encode
from tests.conftest import ROOT, draw_frames, write_video
from tests.fuzz import corpus

LIMITS = params_file.load_params(ROOT / "params.yaml").limits
COUNT = 24


def _smooth(seed: int) -> np.ndarray:
    """Clouds that drift, which lossy codes keep."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in draw_frames(COUNT, 160, 120, seed)])


def _woven() -> np.ndarray:
    """One recording in the even rows and another in the odd ones."""
    frames = _smooth(0)
    frames[:, 1::2] = 255 - _smooth(1)[:, 1::2]
    return frames


INTERLACED: dict[str, tuple[str, dict[str, str]]] = {
    "fields.mp4": ("libx264", {"crf": "1"}),
    "fields.mpg": ("mpeg2video", {"qscale": "1"}),
}


def _interlaced(folder: Path, name: str) -> Path:
    codec, options = INTERLACED[name]
    return encode.encode(folder / name, _woven(), codec, options | encode.INTERLACED)


def _av1(folder: Path) -> Path:
    return encode.encode(folder / "a.webm", _smooth(2), "libsvtav1", {"preset": "10", "crf": "10"})


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Phantom clips of every container, interlaced ones and AV1."""
    folder = tmp_path_factory.mktemp("videos")
    wholes = [path for path in corpus.make_wholes(folder) if path.suffix != ".dcm"]
    return [*wholes, *(_interlaced(folder, name) for name in INTERLACED), _av1(folder)]


def _digest(path: Path) -> str:
    return hashlib.sha256(b"".join(frame.tobytes() for frame in encode.decoded(path))).hexdigest()


def _compare_with_opencv(path: Path) -> None:
    theirs, fps = encode.decoded_by_opencv(path)
    with encode.opened(path) as source:
        assert source.fps == fps
    ours = encode.decoded(path)
    assert len(ours) == len(theirs) > 1
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_phantom_clips_have_the_frames_that_opencv_decodes(videos: list[Path]) -> None:
    progressive = [path for path in videos if path.name not in {*INTERLACED, "a.webm"}]
    assert {path.suffix for path in progressive} == {".avi", ".gif", ".mkv", ".mov", ".mp4", ".mpeg", ".webm", ".wmv"}
    for path in progressive:
        _compare_with_opencv(path)


@pytest.mark.real
@pytest.mark.slow
def test_public_clips_have_the_frames_that_opencv_decodes(upstream: Path) -> None:
    clips = sorted((upstream / corpus.REAL).iterdir())
    assert len(clips) == 119
    for path in clips:
        _compare_with_opencv(path)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_clip_that_is_to_be_turned_is_turned_as_opencv_does(degrees: int, tmp_path: Path) -> None:
    path = encode.turn(write_video(tmp_path / "a.mp4", _smooth(0)), degrees)
    _compare_with_opencv(path)
    assert encode.decoded(path)[0].shape == ((120, 160, 3) if degrees == 180 else (160, 120, 3))


@pytest.mark.parametrize("name", INTERLACED)
def test_of_an_interlaced_clip_one_field_is_shown(name: str, tmp_path: Path) -> None:
    path = _interlaced(tmp_path, name)
    shown, wanted = np.stack(encode.decoded(path)).astype(int), _smooth(0)
    assert shown.shape == wanted.shape
    # The other field differs by 120 grey levels.
    assert np.abs(shown - wanted).mean() < 12
    examined = rules.examine_clip(path, [20], 64, LIMITS)
    assert "interlaced" in [finding.check for finding in examined.reported]
    assert examined.values["interlaced"] == COUNT


def test_a_field_is_interpolated_between_its_rows() -> None:
    frame = np.zeros((4, 1, 3), np.uint8)
    frame[:, 0, 0] = (10, 255, 20, 255)
    assert video.interpolate_field(frame)[:, 0, 0].tolist() == [10, 15, 20, 20]
    assert video.interpolate_field(frame[:3])[:, 0, 0].tolist() == [10, 15, 20]
    assert video.interpolate_field(frame[:1])[:, 0, 0].tolist() == [10]
    assert video.interpolate_field(frame[:2])[:, 0, 0].tolist() == [10, 10]


def test_av1_is_decoded(tmp_path: Path) -> None:
    assert np.abs(np.stack(encode.decoded(_av1(tmp_path))).astype(int) - _smooth(2)).mean() < 4


def test_a_hundred_times_in_any_order_the_same_bytes(videos: list[Path]) -> None:
    small = [path for path in videos if path.stat().st_size < 400_000]
    order = [small[at % len(small)] for at in np.random.default_rng(0).permutation(12 * len(small))]
    assert len(order) >= 100
    seen: dict[Path, set[str]] = {}
    for path in order:
        seen.setdefault(path, set()).add(_digest(path))
    assert all(len(digests) == 1 for digests in seen.values())


def _damaged(folder: Path, wholes: list[Path]) -> list[Path]:
    return [case.write(folder) for case in corpus.make_cases(wholes, 5, 34)]


def test_what_lay_in_memory_before_is_in_no_frame(videos: list[Path], tmp_path: Path) -> None:
    """glibc fills memory that is handed out with what MALLOC_PERTURB_ says."""
    paths = [*videos, *_damaged(tmp_path, videos)]
    code = (
        "import hashlib, pathlib, sys\n"
        "from lus.clips import video\n"
        "from tests.clips import encode\n"
        "for name in sys.argv[1:]:\n"
        "    try: frames = encode.decoded(pathlib.Path(name))\n"
        "    except video.CannotDecode as error: print(name, error)\n"
        "    else: print(name, len(frames), hashlib.sha256(b''.join(f.tobytes() for f in frames)).hexdigest())\n"
    )
    said = set()
    for fill in ("0", "85", "170"):
        paths = [paths[at] for at in np.random.default_rng(int(fill)).permutation(len(paths))]
        env = os.environ | {"MALLOC_PERTURB_": fill}
        command = [sys.executable, "-c", code, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, cwd=ROOT)
        assert done.stderr == ""
        said.add("\n".join(sorted(done.stdout.splitlines())))
    assert len(said) == 1


def _erase(content: bytes, frames: slice) -> bytes:
    """An AVI file of JPEG frames without the beginning of some of them."""
    left = bytearray(content)
    for place in [found.end() for found in re.finditer(rb"00dc....(?=\xff\xd8)", content, re.DOTALL)][frames]:
        left[place : place + 400] = bytes(400)
    return bytes(left)


def test_a_damaged_packet_is_passed_over_and_reported(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", draw_frames(COUNT, 160, 120, 0))
    whole, content = encode.decoded(path), path.read_bytes()
    path.write_bytes(_erase(content, slice(10, 11)))
    with encode.opened(path) as source:
        left = []
        while (got := source.read())[0]:
            left.append(got[1])
        assert source.notes == video.Notes(damaged=1, reason="Invalid data found when processing input")
    assert np.array_equal(left, whole[:10] + whole[11:])
    assert decode.inspect(path, LIMITS).frames == COUNT - 1
    examined = rules.examine_clip(path, [20], 64, LIMITS)
    assert examined.findings == []
    assert [finding.found for finding in examined.reported if finding.check == "damaged"] == ["1"]


def test_a_clip_with_many_damaged_packets_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", draw_frames(2 * COUNT, 160, 120, 0))
    path.write_bytes(_erase(path.read_bytes(), slice(5, 30, 4)))
    findings = rules.examine_clip(path, [20], 64, LIMITS).findings
    assert [finding.check for finding in findings][:2] == ["damaged", "damaged_share"]


def test_what_a_gif_does_not_draw_is_black(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((200, 200, 200, 255), (16, 16, 48, 48))
    picture.save(tmp_path / "a.gif", save_all=True, append_images=[picture.rotate(5)], disposal=2)
    frame = encode.decoded(tmp_path / "a.gif")[0]
    assert frame[0, 0].tolist() == [0, 0, 0]
    assert frame[32, 32].min() > 180


def test_a_title_in_another_encoding_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    encode.encode(path, _smooth(0), "mpeg4", title="Lunge ###")
    content = path.read_bytes()
    assert b"Lunge ###" in content
    path.write_bytes(content.replace(b"Lunge ###", b"Lunge \xe4\xff\xfe"))
    assert decode.inspect(path, LIMITS).frames == COUNT


def test_the_reason_of_ffmpeg_is_in_the_refusal(make_clip: Callable[..., Path]) -> None:
    path = make_clip("a.mp4")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(Unusable, match=r"nothing that can be decoded \(Invalid data found when processing input\)"):
        decode.inspect(path, LIMITS)
