"""Everything that has come in the place of a usable clip or cohort, and what is said of it.

Each case makes its input and names the whole answer. `python -m tests.clips.bad_input` prints the table of
docs/bad-input.md from them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tests.clips import bad_files
from tests.clips.bad_files import Make
from tests.clips.dicom_files import region

USABLE = "usable"


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


SHORT = "the number of frames is {}, at least 20 is expected; record a longer clip"
NOTHING = "nothing that can be decoded ({}), a video file is expected; convert it, for example to .mp4"
ULTRASOUND = "take the picture of a lung-ultrasound clip alone"

CLIPS = (
    Case(
        "a file that is no video",
        bad_files.holding("notes.mp4", b"no video " * 50),
        "notes.mp4: " + NOTHING.format("Invalid data found when processing input"),
    ),
    Case(
        "an empty file",
        bad_files.holding("empty.avi", b""),
        "empty.avi: an empty file, a video file is expected; fetch it again",
    ),
    Case(
        "a clip cut off in the middle of a frame",
        bad_files.cut_off("half.avi", 0.75),
        USABLE,
        "the whole frames that are left are its frames",
    ),
    Case("the same, with too few frames left", bad_files.cut_off("third.avi", 0.3), "third.avi: " + SHORT.format(12)),
    Case(
        "an .mp4 cut off before its index",
        bad_files.cut_off("cut.mp4", 0.5),
        "cut.mp4: " + NOTHING.format("Invalid data found when processing input"),
    ),
    Case(
        "a video without frames",
        bad_files.without_frames,
        "hollow.avi: no frame that can be decoded, a video file is expected; fetch or convert it again",
    ),
    Case("fewer frames than the sequence", bad_files.speckle("short.avi", 12), "short.avi: " + SHORT.format(12)),
    Case(
        "a declared number of frames that is wrong",
        bad_files.declares_wrongly,
        USABLE,
        "frames are counted by decoding them to the end (20 of the public clips declare a wrong number)",
    ),
    Case(
        "a still image saved as a video",
        bad_files.drawn("still.avi", bad_files.still),
        "still.avi: the share of identical neighbouring frames is 0.9474, at most 0.5 is expected: export the "
        "clip, not a still image; the share of the picture that ever changes is 0.09274, at least 0.1 is expected: "
        + ULTRASOUND,
    ),
    Case(
        "a colour film",
        bad_files.drawn("film.avi", bad_files.colour),
        "film.avi: the colour saturation (0 to 1) is 0.479, at most 0.4 is expected; the share of coloured pixels "
        "beyond one tint for each grey is 0.9937, at most 0.1 is expected: " + ULTRASOUND,
    ),
    Case(
        "a screen recording with wide borders",
        bad_files.drawn("screen.avi", lambda: bad_files.bordered(0.4)),
        "screen.avi: the share of the picture within its borders is 0.1638, at least 0.3 is expected; cut the borders "
        "off",
    ),
    Case(
        "a splice of two recordings",
        bad_files.drawn("spliced.avi", bad_files.spliced),
        "spliced.avi: the number of cuts is 1, at most 0 is expected; send each part as a clip of its own",
    ),
    Case(
        "a foreign frame in a recording",
        bad_files.drawn("flash.avi", bad_files.flash),
        "flash.avi: the number of flashes is 1, at most 0 is expected; cut the foreign frames out",
    ),
    Case(
        "a recording that begins in the dark",
        bad_files.drawn("dark.avi", bad_files.blank_start),
        USABLE,
        "two or more blank frames at the beginning or the end are trimmed, and not counted; a remark says how many",
    ),
    Case(
        "a recording that shows nothing",
        bad_files.drawn("black.avi", lambda: bad_files.lit(0, 0)),
        "black.avi: 30 blank frames and no other, a frame that shows something is expected; take a clip with more gain",
    ),
    Case(
        "a recording with dark gaps",
        bad_files.drawn("gaps.avi", bad_files.blank_inside),
        "gaps.avi: the share of blank frames is 0.2, at most 0.1 is expected; cut them off",
    ),
    Case(
        "a clip with little gain",
        bad_files.drawn("dim.avi", lambda: bad_files.lit(0.16, 0)),
        "dim.avi: the contrast (0 to 1) is 0.01894, at least 0.03 is expected; take a clip with more gain, or "
        "export it brighter",
    ),
    Case(
        "a clip with too much gain",
        bad_files.drawn("glaring.avi", lambda: bad_files.lit(0.5, 170)),
        "glaring.avi: the mean brightness (0 to 1) is 0.7978, at most 0.75 is expected; take a clip with less gain, or "
        "export it darker",
    ),
    Case(
        "a picture out of focus",
        bad_files.drawn("blurred.avi", bad_files.blurred),
        "blurred.avi: the sharpness is 0.04793, at least 0.08 is expected; export it at its full quality",
    ),
    Case(
        "frames 16,384 pixels wide",
        bad_files.huge,
        "huge.avi: the number of pixels of a frame (16384 x 2048) is 33554432, at most 4200000 is expected; make its "
        "frames smaller",
        "refused by what the file declares, before a frame is decoded",
    ),
    Case(
        "too many frames",
        bad_files.speckle("long.avi", 60),
        "long.avi: the number of frames is at least 31, at most 30 is expected; cut the clip",
        "shown with a limit of 30; decoding stops at the limit",
        (("max_frames", 30),),
    ),
    Case(
        "too many pixels in all frames together",
        bad_files.speckle("bomb.avi", 60),
        "bomb.avi: the number of pixels of all frames together is at least 518400, at most 500000 is expected; cut the "
        "clip",
        "shown with a limit of 500,000; decoding stops at the limit",
        (("max_clip_pixels", 500_000),),
    ),
    Case(
        "a file that may not be read",
        bad_files.locked,
        "locked.avi: a file that this user may not read, a readable video file is expected; change its permissions",
    ),
    Case(
        "a dangling link",
        bad_files.dangling,
        "dangling.avi: a link to a file that is not there, a video file is expected; put the file where its name says",
    ),
    Case(
        "a folder named like a clip",
        bad_files.a_folder,
        "folder.avi: not a file, a video file is expected; name a file",
    ),
    Case(
        "a name that is not UTF-8",
        bad_files.named(os.fsdecode(b"\xff.avi")),
        "\\xff.avi: a name that is not UTF-8, a name in UTF-8 is expected; rename it",
    ),
    Case(
        "a playlist that points to another file",
        bad_files.playlist,
        "list.mp4: a playlist, which is not read, a video file is expected; convert it, for example to .mp4",
        "no other file is opened",
    ),
    Case(
        "an ultrasound DICOM file",
        bad_files.dicom("clip.dcm", SequenceOfUltrasoundRegions=[region(20, 0, 139, 119)], BurnedInAnnotation="YES"),
        USABLE,
        "its frames are cut to its region of tissue; the rest of the picture goes nowhere",
    ),
    Case("a DICOM file that was cut off", bad_files.dicom("part.dcm", 40, 0.6), USABLE, "as other clips"),
    Case(
        "a DICOM file that declares a wrong number of frames",
        bad_files.dicom("count.dcm", NumberOfFrames=900),
        USABLE,
        "as other clips",
    ),
    Case("a DICOM file with one picture", bad_files.dicom("one.dcm", 1), "one.dcm: " + SHORT.format(1)),
    Case(
        "a DICOM file that is no ultrasound",
        bad_files.dicom("ct.dcm", Modality="CT"),
        "ct.dcm: a DICOM file of another modality, ultrasound (US) is expected; take an ultrasound clip",
    ),
    Case(
        "a DICOM file with burnt-in text, and no region to cut it to",
        bad_files.dicom("text.dcm", BurnedInAnnotation="YES"),
        "text.dcm: text burnt into the picture and no ultrasound region to cut it to, a DICOM file with its ultrasound "
        "regions, or without burnt-in text is expected; export it anonymised",
        "by what the file declares of itself",
    ),
    Case(
        "a DICOM file whose region is not in the picture",
        bad_files.dicom("away.dcm", SequenceOfUltrasoundRegions=[region(300, 0, 500, 100)]),
        "away.dcm: an ultrasound region that is empty or outside of the picture, one within 160 x 120 pixels is "
        "expected; export it again",
    ),
    Case(
        "a DICOM file of spectral Doppler",
        bad_files.dicom("doppler.dcm", SequenceOfUltrasoundRegions=[region(0, 0, 159, 119, form=3, kind=3)]),
        "doppler.dcm: ultrasound regions of which none shows tissue in two dimensions, a B-mode clip is expected; take "
        "a B-mode clip",
    ),
    Case(
        "a deflated DICOM file",
        bad_files.deflated,
        "deflated.dcm: the transfer syntax Deflated Explicit VR Little Endian, an uncompressed, RLE, JPEG, JPEG-LS, "
        "JPEG 2000 or MPEG one is expected; export it in another",
        "nothing is inflated",
    ),
    Case(
        "a DICOM file whose frames are of another size than it declares",
        bad_files.other_code,
        "code.dcm: a frame that cannot be decoded, a frame as the header declares it is expected; fetch or export it "
        "again",
        "refused before a decoder sees them",
    ),
    Case(
        "a DICOM file without pixels",
        bad_files.dicom("hollow.dcm", PixelData=None),
        "hollow.dcm: a DICOM file without pixels, an ultrasound clip is expected; fetch or export it again",
    ),
    *(
        Case(f"a name with {what}", bad_files.named(name), USABLE)
        for what, name in {
            "spaces, `+`, brackets": "Cov-Atlas-+(43) [a].avi",
            "an upper-case ending": "CLIP.AVI",
            "no ending": "clip",
            "letters of any script": "léčba-肺-легкое.avi",
            "a colon or per cent": "a:b%03d.avi",
        }.items()
    ),
)


LABELS = ("covid-19", "healthy")
TABLE = "FOLDER/clips.csv"
COHORTS = (
    Case(
        "a path that leaves the cohort's folder",
        bad_files.table("../a.avi,healthy,p1"),
        f"{TABLE}, line 3: ../a.avi leaves the cohort's folder; move the clip",
    ),
    Case(
        "a label that is not among those expected",
        bad_files.table("a.avi,helthy,p1"),
        f"{TABLE}, line 3: the label helthy was found, covid-19, healthy expected; mend it or cohort.labels in "
        "params.yaml",
        "where cohort.labels names the labels",
    ),
    Case("a missing patient", bad_files.table("a.avi,healthy,"), f"{TABLE}, line 3: patient is empty; fill it in"),
    Case(
        "a missing column",
        bad_files.table("path,label", "a.avi,healthy"),
        f"{TABLE}: has no column patient ('path', 'label' found); expected path, label, patient in its first line",
    ),
    Case(
        "a column twice",
        bad_files.table("path,label,patient,label", "a.avi,healthy,p1,other"),
        f"{TABLE}: has the column label more than once; keep one of each",
    ),
    Case(
        "a table of heads alone",
        bad_files.table("path,label,patient"),
        f"{TABLE}: lists no clip below its heads; write a line for each clip",
    ),
    Case(
        "a row with too many fields",
        bad_files.table("a.avi,healthy,p1", "b.avi,healthy,p2,and,more"),
        f"{TABLE}, line 4: 5 fields found, 3 expected; mend the line",
    ),
    Case(
        "a clip listed twice",
        bad_files.table("a.avi,healthy,p1", "a.avi,healthy,p1"),
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
