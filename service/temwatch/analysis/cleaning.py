"""What happens to a mask before its regions are parted: speckles are removed and small holes closed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.domain import Mask, Region

_EIGHT = np.ones((3, 3), dtype=bool)


def smallest_area_px(diameter_nm: float, pixel_size_nm: float) -> int:
    """Area in px of a disc of `diameter_nm`, rounded up: what is strictly smaller is not a particle."""
    return math.ceil(math.pi / 4 * (diameter_nm / pixel_size_nm) ** 2)


def despeckle(mask: Mask, smallest_px: int) -> tuple[Mask, Mask]:
    """Part a mask into its 8-connected regions of at least `smallest_px` pixels, and the speckles."""
    labels, small = _small(mask, smallest_px, _EIGHT)
    speckles: Mask = small[labels]
    return mask & ~speckles, speckles


def close_holes(mask: Mask, smallest_px: int) -> Mask:
    """Fill holes of less than `smallest_px` pixels: 4-connected background that does not reach the border."""
    labels, small = _small(~mask, smallest_px, None)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        small[edge] = False
    closed: Mask = mask | small[labels]
    return closed


def regions(mask: Mask) -> list[Region]:
    """The 8-connected regions of a mask as tight crops, in reading order of their first pixels."""
    labels, _ = ndimage.label(mask, _EIGHT)
    return [
        Region(origin_px=(box[0].start, box[1].start), mask=labels[box] == number)
        for number, box in enumerate(ndimage.find_objects(labels), 1)
    ]


def touches_border(region: Region, shape: tuple[int, int]) -> bool:
    """Whether a region has a pixel in the first or last row or column of a micrograph of `shape`."""
    row, column = region.origin_px
    height, width = region.mask.shape
    return row == 0 or column == 0 or row + height >= shape[0] or column + width >= shape[1]


def _small(
    mask: Mask, smallest_px: int, structure: Mask | None
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Labels of the connected parts, and by label whether a part has less than `smallest_px` pixels."""
    labels, _ = ndimage.label(mask, structure)
    small = np.bincount(labels.ravel()) < smallest_px
    small[0] = False
    return labels, small
