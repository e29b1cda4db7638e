"""Videos as other encoders write them, which OpenCV cannot: interlaced, AV1, turned."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np

from lus.clips import video
from lus.common import quiet

INTERLACED = {"flags": "+ilme+ildct"}
"""Of FFmpeg's encoders: frames are coded as two fields."""


def encode(
    path: Path,
    frames: np.ndarray,
    codec: str,
    options: Mapping[str, str] | None = None,
    layout: str = "yuv420p",
    title: str = "",
) -> Path:
    """Write frames (count, height, width, 3) BGR in any code that FFmpeg has.

    Args:
        path: its ending names the container.
        frames: to be written.
        codec: FFmpeg's name of the encoder.
        options: of the encoder.
        layout: FFmpeg's name of the pixels' format.
        title: of the file.
    """
    # The encoder of AV1 writes what it is to the terminal.
    with quiet.silence_stderr(), av.open(os.fspath(path), "w") as container:
        stream = container.add_stream(codec, rate=20, options=dict(options or {}))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], layout
        if title:
            container.metadata["title"] = title
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "bgr24")))
        container.mux(stream.encode())
    return path


def turn(path: Path, degrees: int) -> Path:
    """Write into an .mp4 file that it is to be shown turned clockwise."""
    content = bytearray(path.read_bytes())
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    place = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    content[place : place + 36] = struct.pack(
        ">9i", cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30
    )
    path.write_bytes(content)
    return path


@contextmanager
def opened(path: Path) -> Iterator[video.Video]:
    """The clip as the project decodes it."""
    with video.open_video(os.fspath(path.absolute()), video.FORMATS) as source:
        yield source


def decoded(path: Path) -> list[np.ndarray]:
    """All frames as the project decodes them: (height, width, 3) BGR each."""
    frames = []
    with opened(path) as source:
        while (got := source.read())[0]:
            frames.append(got[1])
    return frames


def decoded_by_opencv(path: Path) -> tuple[list[np.ndarray], float]:
    """All frames as OpenCV decodes them, and its frames a second."""
    capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    frames = []
    while (got := capture.read())[0]:
        frames.append(got[1].copy())
    return frames, capture.get(cv2.CAP_PROP_FPS)
