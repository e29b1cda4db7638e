"""How the pixels of a DICOM file lie in it, whatever its header says, and what its values are shown as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

HALF_COLOUR = "YBR_FULL_422"
"""Two neighbouring pixels share their colour: two bytes a pixel."""


class Contradiction(Exception):
    """The length of the pixels fits no number of frames.

    Attributes:
        found: in the file, in words.
        expected: by what the header claims.
    """

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}, {expected}")
        self.found, self.expected = found, expected


def find_layout(options: dict[str, Any], length: int, frames: int) -> dict[str, Any]:
    """How frames that are not compressed lie: the options of pydicom's decoders for it.

    Writers of YBR_FULL_422 store rows of an odd width with a pixel more, as the standard wants (PS3.3, C.7.6.3.1.2), or
    without, and some store three bytes a pixel as in YBR_FULL. The length of all pixels tells which it is. Where the
    declared number of frames fits none of them, the header's own layout counts, if the length is a multiple of its
    frame.

    Args:
        options: as the header says.
        length: of the pixels in bytes, as their element declares it; it is even, so that it may have a byte more.
        frames: as the header declares them; they are counted, and may be wrong.

    Raises:
        Contradiction: the length is that of no whole number of frames.
    """
    layouts = [options]
    if options["photometric_interpretation"] == HALF_COLOUR:
        columns = options["columns"]
        padded = options | {"columns": columns + columns % 2}
        layouts = [padded, *([options] if columns % 2 else []), options | {"photometric_interpretation": "YBR_FULL"}]
    for layout in layouts:
        if length - frames * frame_length(layout) in (0, frames * frame_length(layout) % 2):
            return layout
    one = frame_length(layouts[0])
    # What has less than one frame has none, or is refused for what its header says of the size.
    if length % one > 1 and length > one:
        kind = f"{options['photometric_interpretation']}, {options['columns']} x {options['rows']}"
        expected = f"a multiple of the {one} bytes of a frame ({kind}, as the header says)"
        raise Contradiction(f"{length} bytes of pixels", expected)
    return layouts[0]


def frame_length(options: dict[str, Any]) -> int:
    """Bytes of a frame that is not compressed."""
    half = options["photometric_interpretation"] == HALF_COLOUR
    samples = 2 if half else options["samples_per_pixel"]
    return int(options["columns"] * options["rows"] * samples * options["bits_allocated"] // 8)


def show_levels(elements: Dataset, options: dict[str, Any]) -> NDArray[np.uint8]:
    """What each stored value is shown as: (2 ** bits,) grey levels, or (2 ** bits, 3) BGR of a palette."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing

    count = 1 << options["bits_stored"]
    values = np.arange(count)
    if options["pixel_representation"]:
        values[count // 2 :] -= count
    if options["photometric_interpretation"] == "PALETTE COLOR":
        depth = int(elements.RedPaletteColorLookupTableDescriptor[2])
        colours = apply_color_lut(values, elements)[:, 2::-1]
        # Some palettes declare 16 bits and hold values of 8.
        return np.asarray(colours >> (depth - 8 if colours.max() > 255 else 0), np.uint8)
    grey = options["samples_per_pixel"] == 1
    low, high, shown = float(values.min()), float(values.max()), values.astype(float)
    if grey and elements.get("WindowWidth") is not None:
        shown = apply_windowing(apply_modality_lut(values, elements), elements)
        low, high = apply_windowing(np.array([-1e12, 1e12]), elements)
    shown = (shown - low) * 255 / (high - low)
    inverted = options["photometric_interpretation"] == "MONOCHROME1"
    return np.clip(np.rint(255 - shown if inverted else shown), 0, 255).astype(np.uint8)
