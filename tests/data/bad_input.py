"""Everything that has come in the place of a usable clip or cohort, and what is said of it.

Each case makes its input and names the whole answer. `python -m tests.data.bad_input` prints the table of
docs/bad-input.md from them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.conftest import draw_frames, write_video
from tests.data import dicom_files

USABLE = "usable"
Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Case:
    """Something that comes in.

    Attributes:
        what: in words, as in the table.
        make: makes it in a folder and returns its path.
        answer: the whole message, FOLDER in the place of the folder's path; or `USABLE`.
        note: what follows, where the message does not say it.
        limits: changes of the limits, where the default ones would need a huge file.
    """

    what: str
    make: Make
    answer: str
    note: str = ""
    limits: tuple[tuple[str, float], ...] = ()


def _speckle(name: str, count: int = 24) -> Make:
    return lambda folder: write_video(folder / name, draw_frames(count, 160, 120, 0))


def _frames(name: str, draw: Callable[[], np.ndarray]) -> Make:
    return lambda folder: write_video(folder / name, draw())


def _content(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _cut(name: str, share: float) -> Make:
    def make(folder: Path) -> Path:
        path = _speckle(name, 40)(folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return make


def _without_frames(folder: Path) -> Path:
    """The header of an AVI file, and an empty list of frames."""
    path = _speckle("hollow.avi")(folder)
    content = path.read_bytes()
    start = content.index(b"movi")
    header = bytearray(content[: start + 4])
    header[start - 4 : start] = struct.pack("<I", 4)
    header[4:8] = struct.pack("<I", len(header) - 8)
    path.write_bytes(bytes(header))
    return path


def declare_frames(path: Path, count: int) -> None:
    """Make an AVI file declare a number of frames, in both of its headers."""
    content = bytearray(path.read_bytes())
    for place in (content.index(b"avih") + 8 + 16, content.index(b"strh") + 8 + 32):
        content[place : place + 4] = struct.pack("<I", count)
    path.write_bytes(bytes(content))


def _declares_wrongly(folder: Path) -> Path:
    path = _speckle("liar.avi")(folder)
    declare_frames(path, 900)
    return path


def _still() -> np.ndarray:
    return np.repeat(draw_frames(1, 160, 120, 5), 24, axis=0)


def _colour() -> np.ndarray:
    """Patches of all hues that drift, as in a film of the world."""
    hue = cv2.resize(np.random.default_rng(3).integers(0, 180, (6, 8), np.uint8), (184, 120))
    texture = draw_frames(24, 160, 120, 0)[..., 0]
    hsv = [
        np.dstack([hue[:, t : t + 160], np.full((120, 160), 120, np.uint8), 90 + texture[t] // 2]) for t in range(24)
    ]
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_HSV2BGR) for frame in hsv])


def _bordered(share: float) -> np.ndarray:
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


def _spliced() -> np.ndarray:
    return np.concatenate([_drift(1, 14), _drift(2, 14)])


def _flash() -> np.ndarray:
    frames = draw_frames(24, 160, 120, 0)
    frames[11] = 255
    return frames


def _blank_start() -> np.ndarray:
    frames = draw_frames(30, 160, 120, 0)
    frames[:6] = 0
    return frames


def _blurred() -> np.ndarray:
    return np.stack([cv2.GaussianBlur(cv2.resize(frame, (640, 480)), (0, 0), 20) for frame in _drift(4, 24)])


def _huge(folder: Path) -> Path:
    """Two frames of 16384 x 2048 pixels, in a few hundred kilobytes."""
    return write_video(folder / "huge.avi", np.zeros((2, 2048, 16384, 3), np.uint8))


def _dangling(folder: Path) -> Path:
    (folder / "dangling.avi").symlink_to(folder / "gone.avi")
    return folder / "dangling.avi"


def _locked(folder: Path) -> Path:
    path = _speckle("locked.avi")(folder)
    path.chmod(0)
    return path


def _folder(folder: Path) -> Path:
    (folder / "folder.avi").mkdir()
    return folder / "folder.avi"


def _named(name: str) -> Make:
    def make(folder: Path) -> Path:
        return _speckle("a.avi")(folder).rename(folder / name)

    return make


def _playlist(folder: Path) -> Path:
    _speckle("secret.mp4")(folder)
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n"
    return _content("list.mp4", text.encode())(folder)


def _dicom(name: str, count: int = 24, share: float = 1.0, **elements: object) -> Make:
    """An ultrasound DICOM file, a share of it."""

    def make(folder: Path) -> Path:
        path = dicom_files.save(dicom_files.dataset(draw_frames(count, 160, 120, 0), **elements), folder / name)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return make


def _other_code(folder: Path) -> Path:
    """JPEG frames of another size than the header declares."""
    frames = draw_frames(24, 160, 120, 0)
    return dicom_files.save(dicom_files.baseline(dicom_files.dataset(frames), frames[:, :60]), folder / "code.dcm")


def _deflated(folder: Path) -> Path:
    made = dicom_files.dataset(draw_frames(24, 160, 120, 0))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return dicom_files.save(made, folder / "deflated.dcm")


SHORT = "the number of frames is {}, at least 20 is expected; record a longer clip"
ULTRASOUND = "take the picture of a lung-ultrasound clip alone"

CLIPS = (
    Case(
        "a file that is no video",
        _content("notes.mp4", b"no video " * 50),
        "notes.mp4: nothing that can be decoded, a video file is expected; convert it, for example to .mp4",
    ),
    Case(
        "an empty file",
        _content("empty.avi", b""),
        "empty.avi: an empty file, a video file is expected; fetch it again",
    ),
    Case(
        "a clip cut off in the middle of a frame",
        _cut("half.avi", 0.75),
        USABLE,
        "the whole frames that are left are its frames",
    ),
    Case("the same, with too few frames left", _cut("third.avi", 0.3), "third.avi: " + SHORT.format(12)),
    Case(
        "an .mp4 cut off before its index",
        _cut("cut.mp4", 0.5),
        "cut.mp4: nothing that can be decoded, a video file is expected; convert it, for example to .mp4",
    ),
    Case(
        "a video without frames",
        _without_frames,
        "hollow.avi: no frame that can be decoded, a video file is expected; fetch or convert it again",
    ),
    Case("fewer frames than the sequence", _speckle("short.avi", 12), "short.avi: " + SHORT.format(12)),
    Case(
        "a declared number of frames that is wrong",
        _declares_wrongly,
        USABLE,
        "frames are counted by decoding them to the end (20 of the public clips declare a wrong number)",
    ),
    Case(
        "a still image saved as a video",
        _frames("still.avi", _still),
        "still.avi: the share of identical neighbouring frames is 0.9474, at most 0.5 is expected; the share of the "
        "picture that ever changes is 0.09274, at least 0.1 is expected; export the clip, not a still image, "
        + ULTRASOUND,
    ),
    Case(
        "a colour film",
        _frames("film.avi", _colour),
        "film.avi: the colour saturation (0 to 1) is 0.479, at most 0.4 is expected; the share of coloured pixels "
        "beyond one tint for each grey is 0.9937, at most 0.1 is expected; " + ULTRASOUND,
    ),
    Case(
        "a screen recording with wide borders",
        _frames("screen.avi", lambda: _bordered(0.4)),
        "screen.avi: the share of the picture within its borders is 0.1638, at least 0.3 is expected; cut the borders "
        "off",
    ),
    Case(
        "a splice of two recordings",
        _frames("spliced.avi", _spliced),
        "spliced.avi: the number of cuts is 1, at most 0 is expected; send each part as a clip of its own",
    ),
    Case(
        "a foreign frame in a recording",
        _frames("flash.avi", _flash),
        "flash.avi: the number of flashes is 1, at most 0 is expected; cut the foreign frames out",
    ),
    Case(
        "a recording that begins in the dark",
        _frames("dark.avi", _blank_start),
        "dark.avi: the share of blank frames is 0.2, at most 0.1 is expected; cut them off",
    ),
    Case(
        "a picture out of focus",
        _frames("blurred.avi", _blurred),
        "blurred.avi: the sharpness is 0.04793, at least 0.08 is expected; export it at its full quality",
    ),
    Case(
        "frames 16,384 pixels wide",
        _huge,
        "huge.avi: the number of pixels of a frame (16384 x 2048) is 33554432, at most 4200000 is expected; make its "
        "frames smaller",
        "refused by what the file declares, before a frame is decoded",
    ),
    Case(
        "too many frames",
        _speckle("long.avi", 60),
        "long.avi: the number of frames is at least 31, at most 30 is expected; cut the clip",
        "shown with a limit of 30; decoding stops at the limit",
        (("max_frames", 30),),
    ),
    Case(
        "too many pixels in all frames together",
        _speckle("bomb.avi", 60),
        "bomb.avi: the number of pixels of all frames together is at least 518400, at most 500000 is expected; cut the "
        "clip",
        "shown with a limit of 500,000; decoding stops at the limit",
        (("max_clip_pixels", 500_000),),
    ),
    Case(
        "a file that may not be read",
        _locked,
        "locked.avi: a file that this user may not read, a readable video file is expected; change its permissions",
    ),
    Case(
        "a dangling link",
        _dangling,
        "dangling.avi: a link to a file that is not there, a video file is expected; put the file where its name says",
    ),
    Case("a folder named like a clip", _folder, "folder.avi: not a file, a video file is expected; name a file"),
    Case(
        "a name that is not UTF-8",
        _named(os.fsdecode(b"\xff.avi")),
        "\\xff.avi: a name that is not UTF-8, a name in UTF-8 is expected; rename it",
    ),
    Case(
        "a playlist that points to another file",
        _playlist,
        "list.mp4: nothing that can be decoded, a video file is expected; convert it, for example to .mp4",
        "no other file is opened",
    ),
    Case(
        "an ultrasound DICOM file",
        _dicom("clip.dcm", SequenceOfUltrasoundRegions=[dicom_files.region(20, 0, 139, 119)], BurnedInAnnotation="YES"),
        USABLE,
        "its frames are cut to its region of tissue; the rest of the picture goes nowhere",
    ),
    Case("a DICOM file that was cut off", _dicom("part.dcm", 40, 0.6), USABLE, "as other clips"),
    Case(
        "a DICOM file that declares a wrong number of frames",
        _dicom("count.dcm", NumberOfFrames=900),
        USABLE,
        "as other clips",
    ),
    Case("a DICOM file with one picture", _dicom("one.dcm", 1), "one.dcm: " + SHORT.format(1)),
    Case(
        "a DICOM file that is no ultrasound",
        _dicom("ct.dcm", Modality="CT"),
        "ct.dcm: a DICOM file of another modality, ultrasound (US) is expected; take an ultrasound clip",
    ),
    Case(
        "a DICOM file with burnt-in text, and no region to cut it to",
        _dicom("text.dcm", BurnedInAnnotation="YES"),
        "text.dcm: text burnt into the picture and no ultrasound region to cut it to, a DICOM file with its ultrasound "
        "regions, or without burnt-in text is expected; export it anonymised",
        "by what the file declares of itself",
    ),
    Case(
        "a DICOM file whose region is not in the picture",
        _dicom("away.dcm", SequenceOfUltrasoundRegions=[dicom_files.region(300, 0, 500, 100)]),
        "away.dcm: an ultrasound region that is empty or outside of the picture, one within 160 x 120 pixels is "
        "expected; export it again",
    ),
    Case(
        "a DICOM file of spectral Doppler",
        _dicom("doppler.dcm", SequenceOfUltrasoundRegions=[dicom_files.region(0, 0, 159, 119, form=3, kind=3)]),
        "doppler.dcm: ultrasound regions of which none shows tissue in two dimensions, a B-mode clip is expected; take "
        "a B-mode clip",
    ),
    Case(
        "a deflated DICOM file",
        _deflated,
        "deflated.dcm: the transfer syntax Deflated Explicit VR Little Endian, an uncompressed, RLE, JPEG, JPEG-LS, "
        "JPEG 2000 or MPEG one is expected; export it in another",
        "nothing is inflated",
    ),
    Case(
        "a DICOM file whose frames are of another size than it declares",
        _other_code,
        "code.dcm: a frame that cannot be decoded, a frame as the header declares it is expected; fetch or export it "
        "again",
        "refused before a decoder sees them",
    ),
    Case(
        "a DICOM file without pixels",
        _dicom("hollow.dcm", PixelData=None),
        "hollow.dcm: a DICOM file without pixels, an ultrasound clip is expected; fetch or export it again",
    ),
    *(
        Case(f"a name with {what}", _named(name), USABLE)
        for what, name in {
            "spaces, `+`, brackets": "Cov-Atlas-+(43) [a].avi",
            "an upper-case ending": "CLIP.AVI",
            "no ending": "clip",
            "letters of any script": "léčba-肺-легкое.avi",
            "a colon or per cent": "a:b%03d.avi",
        }.items()
    ),
)


def _table(*lines: str) -> Make:
    def make(folder: Path) -> Path:
        rows = lines if lines[0].startswith("path") else ("path,label,patient", "ok.avi,healthy,p0", *lines)
        (folder / "clips.csv").write_text("\n".join(rows) + "\n")
        return folder

    return make


LABELS = ("covid-19", "healthy")
TABLE = "FOLDER/clips.csv"
COHORTS = (
    Case(
        "a path that leaves the cohort's folder",
        _table("../a.avi,healthy,p1"),
        f"{TABLE}, line 3: ../a.avi leaves the cohort's folder; move the clip",
    ),
    Case(
        "a label that is not among those expected",
        _table("a.avi,helthy,p1"),
        f"{TABLE}, line 3: the label helthy was found, covid-19, healthy expected; mend it or cohort.labels in "
        "params.yaml",
        "where cohort.labels names the labels",
    ),
    Case("a missing patient", _table("a.avi,healthy,"), f"{TABLE}, line 3: patient is empty; fill it in"),
    Case(
        "a missing column",
        _table("path,label", "a.avi,healthy"),
        f"{TABLE}: has no column patient; expected path, label, patient in its first line",
    ),
    Case(
        "a row with too many fields",
        _table("a.avi,healthy,p1", "b.avi,healthy,p2,and,more"),
        f"{TABLE}, line 4: 5 fields found, 3 expected; mend the line",
    ),
    Case(
        "a clip listed twice",
        _table("a.avi,healthy,p1", "a.avi,healthy,p1"),
        f"{TABLE}, line 4: a.avi stands in line 3 already; remove one",
    ),
)


def render() -> str:
    """The table of docs/bad-input.md."""
    lines = ["| what comes in | what is said | |", "|---|---|---|"]
    for case in (*CLIPS, *COHORTS):
        answer = case.answer if case.answer == USABLE else f"`{case.answer}`"
        lines.append(f"| {case.what} | {answer} | {case.note} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")
