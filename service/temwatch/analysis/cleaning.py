"""What is cleared before particles are parted and measured: speckles, small holes, and regions by label."""

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


def close_holes(mask: Mask, smallest_px: int) -> Mask:
    """Fill the holes (4-connected background that does not reach the border) below `smallest_px` pixels."""
    if smallest_px <= 1 or not mask.any():
        return mask
    labels, count = ndimage.label(~mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    small = areas < smallest_px
    small[0] = False
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        small[edge] = False
    closed: Mask = mask | small[labels]
    return closed


def regions(mask: Mask) -> list[Region]:
    """The 8-connected regions of a mask in reading order of their first pixel, as tight crops."""
    labels, count = ndimage.label(mask, _EIGHT)
    return _crops(labels, range(1, count + 1))


def despeckle(mask: Mask, smallest_px: int) -> tuple[Mask, list[Region], list[Region]]:
    """Tell regions from speckles.

    Returns
    -------
    removed
        The speckles: regions of less than `smallest_px` pixels.
    kept, speckles
        The regions of both kinds.
    """
    labels, count = ndimage.label(mask, _EIGHT)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    small = areas < smallest_px
    small[0] = False
    numbers = np.arange(1, count + 1)
    crops = _crops(labels, numbers)
    kept = [crop for number, crop in zip(numbers, crops, strict=True) if not small[number]]
    speckles = [crop for number, crop in zip(numbers, crops, strict=True) if small[number]]
    removed: Mask = small[labels]
    return removed, kept, speckles


def _crops(labels: NDArray[np.int32], numbers: object) -> list[Region]:
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        rows, columns = box
        found.append(Region(origin_px=(rows.start, columns.start), mask=labels[box] == number))
    return found


def touches_border(region: Region, shape: tuple[int, int]) -> bool:
    """Whether a region has a pixel in the first or last row or column of a micrograph of `shape`."""
    row, column = region.origin_px
    height, width = region.mask.shape
    return row == 0 or column == 0 or row + height >= shape[0] or column + width >= shape[1]
