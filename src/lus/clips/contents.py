"""What a file holds, by its first bytes: to say of a file that is no clip, or is not read, what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lus.clips import dicom_start

HEAD = 352
"""First bytes of a file that are looked at."""


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        name: in words, as in "a PNG picture".
        is_read: whether clips of this kind are read.
    """

    name: str
    is_read: bool = False


TEXT, UNKNOWN, EMPTY = Content("text"), Content("of no known kind"), Content("an empty file")
DICOM = Content("a DICOM file", is_read=True)
PICTURES = {
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    b"heic": "a HEIC picture",
    b"mif1": "a HEIC picture",
}
"""Kinds of what is written in MP4's form and is no video."""
SIGNATURES: tuple[tuple[int, bytes, Content], ...] = (
    (0, b"FLV\x01", Content("a Flash video (FLV)")),
    (0, b"OggS", Content("an Ogg file (Theora)")),
    (0, b".RMF", Content("a RealMedia video")),
    (0, b"\x89PNG\r\n\x1a\n", Content("a PNG picture")),
    (0, b"\xff\xd8\xff", Content("a JPEG picture")),
    (0, b"II*\0", Content("a TIFF picture")),
    (0, b"MM\0*", Content("a TIFF picture")),
    (8, b"WEBP", Content("a WebP picture")),
    (8, b"WAVE", Content("a sound (WAV)")),
    (0, b"%PDF", Content("a PDF document")),
    (0, b"PK\x03\x04", Content("a ZIP archive or an Office document")),
    (0, b"\x1f\x8b", Content("a gzip archive")),
    (0, b"7z\xbc\xaf", Content("a 7z archive")),
    (0, b"Rar!", Content("a RAR archive")),
    (0, b"\x89HDF", Content("an HDF5 file")),
    (0, b"NRRD", Content("a NRRD volume")),
    (344, b"n+1\0", Content("a NIfTI volume")),
    (0, b"#EXTM3U", Content("a playlist")),
    (0, b"GIF8", Content("a GIF", is_read=True)),
    (8, b"AVI ", Content("an AVI video", is_read=True)),
    (4, b"ftyp", Content("an MP4 or MOV video", is_read=True)),
    (4, b"moov", Content("an MP4 or MOV video", is_read=True)),
    (0, b"\x1aE\xdf\xa3", Content("a Matroska or WebM video", is_read=True)),
    (0, b"\0\0\x01\xba", Content("an MPEG video", is_read=True)),
    (0, b"\0\0\x01\xb3", Content("an MPEG video", is_read=True)),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Content("a Windows Media video", is_read=True)),
)
"""Place, bytes and what they mean."""


def describe(head: bytes) -> Content:
    """What a file holds that begins with these bytes, `HEAD` of them where it has as many."""
    if not head:
        return EMPTY
    if dicom_start.is_dicom(head):
        return DICOM
    if head[4:8] == b"ftyp" and head[8:12] in PICTURES:
        return Content(PICTURES[head[8:12]])
    for place, signature, content in SIGNATURES:
        if head.startswith(signature, place):
            moving = {b"\x89PNG": b"acTL", b"RIFF": b"ANIM"}.get(head[:4])
            if moving and moving in head and not content.is_read:
                return Content({b"acTL": "an animated PNG (APNG)", b"ANIM": "an animated WebP picture"}[moving])
            return content
    return TEXT if _is_text(head) else UNKNOWN


def _is_text(head: bytes) -> bool:
    # The last letter may be cut in two.
    return b"\0" not in head and "\ufffd" not in head.decode("utf-8", "replace")[:-3]


def describe_file(path: Path) -> Content:
    """What a file holds; one that cannot be read is of no known kind."""
    try:
        if not path.is_file():
            return Content("no file")
        with path.open("rb") as file:
            return describe(file.read(HEAD))
    except OSError:
        return UNKNOWN
