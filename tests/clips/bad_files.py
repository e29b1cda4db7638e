"""Files that come in the place of a usable clip or cohort: each is made in a folder, and its path returned."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.clips import dicom_files
from tests.conftest import draw_frames, write_video

Make = Callable[[Path], Path]


def speckle(name: str, count: int = 24) -> Make:
    return lambda folder: write_video(folder / name, draw_frames(count, 160, 120, 0))


def drawn(name: str, draw: Callable[[], np.ndarray]) -> Make:
    return lambda folder: write_video(folder / name, draw())


def holding(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def cut_off(name: str, share: float) -> Make:
    def make(folder: Path) -> Path:
        path = speckle(name, 40)(folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return make


def without_frames(folder: Path) -> Path:
    """The header of an AVI file, and an empty list of frames."""
    path = speckle("hollow.avi")(folder)
    content = path.read_bytes()
    start = content.index(b"movi")
    header = bytearray(content[: start + 4])
    header[start - 4 : start] = struct.pack("<I", 4)
    header[4:8] = struct.pack("<I", len(header) - 8)
    path.write_bytes(bytes(header))
    return path


def declares_wrongly(folder: Path) -> Path:
    """An AVI file that declares 900 frames, in both of its headers."""
    path = speckle("liar.avi")(folder)
    content = bytearray(path.read_bytes())
    for place in (content.index(b"avih") + 8 + 16, content.index(b"strh") + 8 + 32):
        content[place : place + 4] = struct.pack("<I", 900)
    path.write_bytes(bytes(content))
    return path


def still() -> np.ndarray:
    return np.repeat(draw_frames(1, 160, 120, 5), 24, axis=0)


def colour() -> np.ndarray:
    """Patches of all hues that drift, as in a film of the world."""
    hue = cv2.resize(np.random.default_rng(3).integers(0, 180, (6, 8), np.uint8), (184, 120))
    texture = draw_frames(24, 160, 120, 0)[..., 0]
    hsv = [
        np.dstack([hue[:, t : t + 160], np.full((120, 160), 120, np.uint8), 90 + texture[t] // 2]) for t in range(24)
    ]
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_HSV2BGR) for frame in hsv])


def bordered(share: float) -> np.ndarray:
    """Speckle in the middle of a still grey desktop."""
    frames = np.full((24, 240, 320, 3), 90, np.uint8)
    frames[:, ::16] = 140
    height, width = int(240 * share), int(320 * share)
    top, left = (240 - height) // 2, (320 - width) // 2
    frames[:, top : top + height, left : left + width] = draw_frames(24, width, height, 0)
    return frames


def _drift(seed: int, count: int) -> np.ndarray:
    """Clouds that drift slowly: (count, 120, 160, 3)."""
    cloud = cv2.resize(np.random.default_rng(seed).integers(0, 255, (8, 14), np.uint8), (160 + count, 120))
    speckle = draw_frames(count, 160, 120, seed)[..., 0] // 8
    frames = [cv2.add(cloud[:, t : t + 160], speckle[t]) for t in range(count)]
    return np.repeat(np.stack(frames)[..., None], 3, axis=-1)


def spliced() -> np.ndarray:
    return np.concatenate([_drift(1, 14), _drift(2, 14)])


def flash() -> np.ndarray:
    frames = draw_frames(24, 160, 120, 0)
    frames[11] = 255
    return frames


def blank_start() -> np.ndarray:
    frames = draw_frames(30, 160, 120, 0)
    frames[:6] = 0
    return frames


def blank_inside() -> np.ndarray:
    frames = draw_frames(40, 160, 120, 0)
    frames[10:18] = 0
    return frames


def lit(gain: float, offset: float) -> np.ndarray:
    """A clip with its grey levels multiplied and raised."""
    return np.clip(draw_frames(30, 160, 120, 0) * gain + offset, 0, 255).astype(np.uint8)


def blurred() -> np.ndarray:
    return np.stack([cv2.GaussianBlur(cv2.resize(frame, (640, 480)), (0, 0), 20) for frame in _drift(4, 24)])


def huge(folder: Path) -> Path:
    """Two frames of 16384 x 2048 pixels, in a few hundred kilobytes."""
    return write_video(folder / "huge.avi", np.zeros((2, 2048, 16384, 3), np.uint8))


def dangling(folder: Path) -> Path:
    (folder / "dangling.avi").symlink_to(folder / "gone.avi")
    return folder / "dangling.avi"


def locked(folder: Path) -> Path:
    path = speckle("locked.avi")(folder)
    path.chmod(0)
    return path


def a_folder(folder: Path) -> Path:
    (folder / "folder.avi").mkdir()
    return folder / "folder.avi"


def named(name: str) -> Make:
    def make(folder: Path) -> Path:
        return speckle("a.avi")(folder).rename(folder / name)

    return make


def playlist(folder: Path) -> Path:
    speckle("secret.mp4")(folder)
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n"
    return holding("list.mp4", text.encode())(folder)


def dicom(name: str, count: int = 24, share: float = 1.0, **elements: object) -> Make:
    """An ultrasound DICOM file, a share of it."""

    def make(folder: Path) -> Path:
        path = dicom_files.save(dicom_files.dataset(draw_frames(count, 160, 120, 0), **elements), folder / name)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return make


def other_code(folder: Path) -> Path:
    """JPEG frames of another size than the header declares."""
    frames = draw_frames(24, 160, 120, 0)
    return dicom_files.save(dicom_files.baseline(dicom_files.dataset(frames), frames[:, :60]), folder / "code.dcm")


def deflated(folder: Path) -> Path:
    made = dicom_files.dataset(draw_frames(24, 160, 120, 0))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return dicom_files.save(made, folder / "deflated.dcm")


def table(*lines: str) -> Make:
    def make(folder: Path) -> Path:
        rows = lines if lines[0].startswith("path") else ("path,label,patient", "ok.avi,healthy,p0", *lines)
        (folder / "clips.csv").write_text("\n".join(rows) + "\n")
        return folder

    return make
