"""DICOM: an ultrasound multi-frame file -> its frames, cut to the region that shows tissue."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.clips import dicom_header, dicom_pixels
from lus.clips.dicom_header import RLE, UNCOMPRESSED, Header, damaged_dicom, hide_values
from lus.common import quiet
from lus.common.arrays import Frames


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Open a DICOM file: its header is read and nothing is decoded.

    Raises:
        Unusable: as `dicom_header.read` says.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    # The JPEG decoders within GDCM write what they think of each frame to the terminal.
    with quiet.silence_stderr(), warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        yield Recording(path, file, dicom_header.read(path, file))


class Recording:
    """The frames of a DICOM file, one after the other.

    Attributes:
        width, height: pixels of a whole frame, as the header declares them.
        fps: frames a second as the header declares them; 0 where it declares none.
        is_video: whether they are one stream for a video decoder, `unwrapped`, and cannot be read here.
    """

    def __init__(self, path: Path, file: BinaryIO, header: Header) -> None:
        """Decode nothing yet.

        Args:
            path: of the file, for refusals.
            file: opened.
            header: what it says of itself.
        """
        self._path, self._file, self._header = path, file, header
        self.width, self.height, self.fps, self.is_video = header.width, header.height, header.fps, header.is_video
        self._last = b""
        self._frames = self._uncompressed() if header.syntax in UNCOMPRESSED else self._compressed()

    def _uncompressed(self) -> Iterator[bytes]:
        header, size = self._header, self._header.frame_length
        for start in range(header.start, header.end - size + 1, size):
            # In words of two bytes a frame may begin and end in the middle of one.
            odd = (start - header.start) % 2 if header.swapped else 0
            self._file.seek(start - odd)
            stored = self._file.read(odd + size + (odd + size) % 2 if header.swapped else size)
            yield dicom_pixels.swap(stored)[odd : odd + size] if header.swapped else stored

    def _compressed(self) -> Iterator[bytes]:
        apart = self._header.syntax == RLE
        for extents in dicom_pixels.split_frames(self._file, self._header.start, self._header.end, apart=apart):
            yield b"".join(dicom_pixels.read(self._file, extent) for extent in extents)

    def read(self) -> tuple[bool, Frames]:
        """The next frame, cut: (True, (height, width, 3) uint8 BGR); or False where there is no further whole one.

        Raises:
            Unusable: the frame is there and cannot be decoded.
        """
        encoded = next(self._frames, None)
        if encoded is None:
            return False, np.empty((0, 0, 3), np.uint8)
        return True, self._show(encoded)

    def grab(self) -> bool:
        """Go past the next frame, decoding it where that may fail: whether there was one.

        Raises:
            Unusable: the frame is there and cannot be decoded.
        """
        encoded = next(self._frames, None)
        self._last = encoded if encoded is not None else self._last
        if encoded is not None and self._header.syntax not in UNCOMPRESSED:
            self._decode(encoded)
        return encoded is not None

    def last(self) -> Frames:
        """The frame that was grabbed last, as `read` gives it."""
        return self._show(self._last)

    def _show(self, encoded: bytes) -> Frames:
        pixels, interpretation = self._decode(encoded)
        return self.cut(_colours(pixels, self._header.levels, interpretation))

    def _decode(self, encoded: bytes) -> tuple[NDArray[Any], str]:
        """(height, width) or (height, width, 3) stored values, and what they mean."""
        from pydicom.encaps import encapsulate
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID

        header, plugin, interpretation = self._header, "", ""
        options = header.options | ({"pixel_vr": "OB"} if header.syntax in UNCOMPRESSED and header.swapped else {})
        with hide_values(self._path, "a frame that cannot be decoded", "a frame as the header declares it"):
            if header.syntax not in UNCOMPRESSED:
                # One decoder for each syntax: the service has no other, and decoders need not agree on each grey level.
                plugin = "pydicom" if header.syntax == RLE else "gdcm"
                if plugin == "gdcm":
                    dicom_pixels.check_frame_header(encoded, header.syntax, self.width, self.height, options)
                    interpretation = dicom_pixels.find_colours(encoded, options)
                encoded = encapsulate([encoded], has_bot=False)
            decoder = get_decoder(UID(header.syntax))
            pixels, shown = decoder.as_array(encoded, index=0, raw=True, decoding_plugin=plugin, **options)
        # Rows of an odd width may be stored with a pixel more.
        return pixels[:, : self.width], interpretation or str(shown["photometric_interpretation"])

    def cut(self, frame: Frames) -> Frames:
        """A whole frame (height, width, 3) -> the region that is shown.

        Raises:
            Unusable: the frame has another size than the header declares, so that the region says nothing of it.
        """
        height, width = frame.shape[:2]
        if (width, height) != (self.width, self.height):
            declared = f"{self.width} x {self.height} as the header declares"
            raise damaged_dicom(self._path, f"a frame of {width} x {height} pixels", declared)
        box = self._header.box
        return frame[box.top : box.bottom, box.left : box.right]

    @contextmanager
    def unwrapped(self) -> Iterator[str]:
        """The video stream as a file for FFmpeg, which has no name and is gone with this process at the latest."""
        with tempfile.TemporaryFile() as stream:
            for extent in dicom_pixels.split_fragments(self._file, self._header.start, self._header.end):
                self._file.seek(extent.start)
                shutil.copyfileobj(dicom_pixels.FilePart(self._file, extent.length), stream)
            stream.seek(0)
            yield f"/dev/fd/{stream.fileno()}"


def _colours(pixels: NDArray[Any], levels: NDArray[np.uint8], interpretation: str) -> Frames:
    """Stored values -> (height, width, 3) BGR."""
    if pixels.dtype != np.uint8 or not np.array_equal(levels, np.arange(256)):
        pixels = levels[pixels.astype(np.int32) & (len(levels) - 1)]
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    if levels.ndim > 1:
        return np.asarray(pixels, np.uint8)
    if interpretation.startswith("YBR_FULL"):
        # OpenCV wants red before blue.
        return np.asarray(cv2.cvtColor(pixels[..., [0, 2, 1]], cv2.COLOR_YCrCb2BGR), np.uint8)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
