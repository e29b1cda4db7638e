from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lus.clips import contents, decode
from lus.common import params_file
from lus.common.errors import Unusable
from tests.clips import encode
from tests.conftest import ROOT, draw_frames

LIMITS = params_file.load_params(ROOT / "params.yaml").limits
FRAMES = draw_frames(24, 160, 120, 0)


def _moving_picture(path: Path) -> Path:
    pictures = [Image.fromarray(frame) for frame in FRAMES[:3]]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    return path


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (".flv", "a Flash video (FLV)"),
        (".ogv", "an Ogg file (Theora)"),
        (".png", "an animated PNG (APNG)"),
        (".webp", "an animated WebP picture"),
    ],
)
def test_a_container_that_is_not_read_is_named_in_the_refusal(ending: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    if ending in {".png", ".webp"}:
        _moving_picture(path)
    elif ending == ".flv":
        encode.encode(path, FRAMES, "flv")
    else:
        path.write_bytes(b"OggS\0\x02" + bytes(22) + b"\x80theora" + bytes(200))
    clip = path.rename(tmp_path / "clip.mp4")
    with pytest.raises(Unusable) as caught:
        decode.inspect(clip, LIMITS)
    assert str(caught.value) == (
        f"clip.mp4: {said}, which is not read, a video file is expected; convert it, for example to .mp4"
    )


def test_what_is_read_is_known_as_such(tmp_path: Path) -> None:
    for ending, codec in (
        (".avi", "mjpeg"),
        (".mp4", "mpeg4"),
        (".mkv", "mpeg4"),
        (".mpg", "mpeg2video"),
        (".wmv", "wmv2"),
    ):
        layout = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        path = encode.encode(tmp_path / f"a{ending}", FRAMES, codec, layout=layout)
        assert contents.describe_file(path).is_read, ending
        assert decode.inspect(path, LIMITS).frames == len(FRAMES)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "an empty file"),
        ("Notizen über die Lunge".encode(), "text"),
        (b"\x80\x81\0\xff" * 30, "of no known kind"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC picture"),
        (b"%PDF-1.7", "a PDF document"),
        (bytes(344) + b"n+1\0", "a NIfTI volume"),
    ],
)
def test_other_files_are_named(head: bytes, said: str) -> None:
    assert contents.describe(head).name == said
    assert not contents.describe(head).is_read
