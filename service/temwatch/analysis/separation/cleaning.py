"""What happens to a mask before its regions are parted: speckles are removed and small holes closed."""

from __future__ import annotations

import math

import numpy as np

from temwatch.analysis import connected_components
from temwatch.analysis.connected_components import connected_parts, crops, painted
from temwatch.domain import Mask, Region

NOISE_PX = 2
"""A hole of fewer pixels is noise of the segmentation even between particles."""


def smallest_area_px(diameter_nm: float, pixel_size_nm: float) -> int:
    """Area in px of a disc of `diameter_nm`, rounded up: what is strictly smaller is not a particle."""
    return math.ceil(math.pi / 4 * (diameter_nm / pixel_size_nm) ** 2)


def speckles(mask: Mask, smallest_px: int) -> Mask:
    """The 8-connected regions of less than `smallest_px` pixels."""
    parts = connected_parts(mask, corners=True)
    return painted(parts, parts.area < smallest_px, mask.shape)


def small_holes(mask: Mask, smallest_px: int) -> Mask:
    """The holes of less than `smallest_px` pixels: 4-connected background that does not reach the border."""
    return np.asarray(connected_components.small_holes(mask, smallest_px))


def closed(mask: Mask, smallest_px: int) -> tuple[Mask, Mask]:
    """A mask without its small holes; and those of them that are more than noise, which may be gaps."""
    holes = small_holes(mask, smallest_px)
    return mask | holes, holes & ~speckles(holes, NOISE_PX)


def regions(mask: Mask) -> list[Region]:
    """The 8-connected regions of a mask as tight crops, in reading order of their first pixels."""
    parts = connected_parts(mask, corners=True)
    return [
        Region(origin_px=(top, left), mask=crop)
        for (top, left, _, _), crop in zip(parts.box.tolist(), crops(parts), strict=True)
    ]


def touches_border(region: Region, shape: tuple[int, int]) -> bool:
    """Whether a region has a pixel in the first or last row or column of a micrograph of `shape`."""
    row, column = region.origin_px
    height, width = region.mask.shape
    return row == 0 or column == 0 or row + height >= shape[0] or column + width >= shape[1]
