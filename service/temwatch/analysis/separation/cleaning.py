"""What happens to a mask before its clumps are separated: speckles are removed and small holes closed."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from temwatch.analysis import connected_components
from temwatch.analysis.connected_components import crop_components, draw_components, find_components
from temwatch.domain import Mask, Region

NOISE_PX = 2
"""A hole of fewer pixels is noise of the segmentation even between particles."""


def find_speckles(mask: Mask, min_area_px: int) -> Mask:
    """The 8-connected regions of less than `min_area_px` pixels, as a mask of the same shape (y, x)."""
    components = find_components(mask, corners=True)
    return draw_components(components, components.area < min_area_px, mask.shape)


def find_small_holes(mask: Mask, min_area_px: int) -> Mask:
    """The holes of less than `min_area_px` pixels: 4-connected background that does not reach the border."""
    return np.asarray(connected_components.small_holes(mask, min_area_px))


def close_small_holes(mask: Mask, min_area_px: int) -> tuple[Mask, Mask]:
    """A mask without its small holes; and those of them that are more than noise, which may be gaps."""
    holes = find_small_holes(mask, min_area_px)
    return mask | holes, holes & ~find_speckles(holes, NOISE_PX)


def find_regions(mask: Mask) -> list[Region]:
    """The 8-connected regions of a mask as tight crops, in reading order of their first pixels."""
    components = find_components(mask, corners=True)
    boxes = components.box.tolist()
    return [
        Region(origin_px=(top, left), mask=crop)
        for (top, left, _, _), crop in zip(boxes, crop_components(components), strict=True)
    ]


def beyond_field(recorded: Mask | None) -> Mask | None:
    """What was not recorded, and the pixels beside it; None where all was."""
    return None if recorded is None or recorded.all() else ndimage.binary_dilation(~recorded, np.ones((3, 3)))


def touches_border(region: Region, shape: tuple[int, int], beyond: Mask | None = None) -> bool:
    """Whether a region has a pixel in the first or last row or column of a micrograph of `shape` (y, x).

    Or in `beyond`: what was not recorded, and the pixels beside it.
    """
    row, column = region.origin_px
    height, width = region.mask.shape
    if row == 0 or column == 0 or row + height >= shape[0] or column + width >= shape[1]:
        return True
    if beyond is None:
        return False
    return bool((region.mask & beyond[row : row + height, column : column + width]).any())
