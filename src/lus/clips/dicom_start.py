"""What a DICOM file begins with."""

from __future__ import annotations

import struct

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
"""Transfer syntaxes, little end first."""
PREAMBLE, MAGIC = 128, b"DICM"
META, IDENTIFYING = 0x0002, 0x0008
"""The groups of elements that come first: of the file itself, and of what is in it."""
TEXTS = (b"UL", b"UI", b"CS", b"DA", b"TM", b"OB", b"SH", b"LO")
"""Value representations of the first elements of a group."""
LONGEST = 1024
"""Bytes of a first element, where its form is seen by its length alone."""


def find_start(head: bytes) -> tuple[int, bool, str]:
    """Where the elements of a DICOM file begin.

    The preamble of 128 bytes and the letters after it (PS3.10, 7.1) are missing in files of old machines, and in such
    as were received from a network and kept as they came.

    Args:
        head: the first 140 bytes of the file, or all of a shorter one.

    Returns:
        The place of the first element; whether it is one of the file itself; and, where it is not, the transfer syntax:
        then it has to be seen from its form. Where it is no DICOM file, the syntax is empty and nothing is of the file.
    """
    if head[PREAMBLE : PREAMBLE + 4] == MAGIC:
        return PREAMBLE + 4, True, ""
    start = 4 if head.startswith(MAGIC) else 0
    first = head[start : start + 8]
    if len(first) < 8:
        return 0, False, ""
    group, element, length = struct.unpack("<HHL", first)
    explicit = first[4:6] in TEXTS
    if group == META and element <= 0x0002 and explicit:
        return start, True, ""
    if group == IDENTIFYING and element <= 0x0018:
        if explicit:
            return start, False, EXPLICIT
        if length <= LONGEST and length % 2 == 0:
            return start, False, IMPLICIT
    return 0, False, ""


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 140 of them where it has as many, is DICOM."""
    _, has_meta, syntax = find_start(head)
    return has_meta or bool(syntax)
