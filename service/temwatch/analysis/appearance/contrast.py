"""Contrast of particles: how much darker they are than what lies around them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.appearance.picture import PARAMETERS as PICTURE
from temwatch.analysis.segmentation import neighbours
from temwatch.domain import Mask, Region
from temwatch.kept_picture import KeptPicture

FRINGE_PX = 3
"""px; so near to a particle its bright fringe counts neither as particle nor as surroundings."""
FEWEST_PX = 30
"""Where less of the surroundings lies around a particle, it is looked for twice as far away."""


def contrasts(regions: Sequence[Region], mask: Mask, picture: KeptPicture) -> NDArray[np.float64]:
    """Contrast of each region: 1 less its brightness over that of its surroundings.

    Both are medians. The surroundings are the background between `FRINGE_PX` and `PictureParameters.reach_px`
    from the mask that lies within that reach of the region's bounding box; in the middle of a clump they are
    further away. Of bright particles, 1 less the brightness of the surroundings over that of the region.

    Parameters
    ----------
    regions : sequence of Region
        Single particles, which may overlap.
    mask : bool, (y, x)
        All that is particle.
    picture : KeptPicture
        Of the same micrograph.

    Returns
    -------
    float64, (regions,)
        Between 0 and 1; NaN where no background was kept or the zero of the brightness makes no sense.
    """
    background = np.where(neighbours.grown(mask, FRINGE_PX), np.uint8(0), picture.codes)
    return np.array([_contrast(region, background, picture) for region in regions], float)


def _contrast(region: Region, background: NDArray[np.uint8], picture: KeptPicture) -> float:
    row, column = region.origin_px
    height, width = region.mask.shape
    inside = median_code(np.ascontiguousarray(region.mask), picture.codes, row, column)
    around = surroundings(background, (row, column, height, width), PICTURE.reach_px, FEWEST_PX)
    if inside == 0 or around == 0:
        return math.nan
    dark, bright = (picture.offset + picture.step * code for code in (inside, around))
    largest = max(abs(dark), abs(bright))
    return min(max((bright - dark) / largest, 0.0), 1.0) if largest > 0 else math.nan


@njit(cache=True, nogil=True)
def median_code(mask: NDArray[np.bool_], codes: NDArray[np.uint8], row: int, column: int) -> float:
    """Median of the codes other than 0 on a crop whose first pixel lies at (row, column); 0 without any."""
    counts = np.zeros(256, np.int64)
    for down in range(mask.shape[0]):
        for right in range(mask.shape[1]):
            if mask[down, right]:
                counts[codes[row + down, column + right]] += 1
    return _median(counts)


@njit(cache=True, nogil=True)
def surroundings(
    background: NDArray[np.uint8], box: tuple[int, int, int, int], reach: int, fewest: int
) -> float:
    """Median of the codes other than 0 around a box (row, column, height, width); 0 without any.

    The reach in px is doubled until there are so many.
    """
    row, column, height, width = box
    counts = np.zeros(256, np.int64)
    while True:
        top, left = max(row - reach, 0), max(column - reach, 0)
        bottom = min(row + height + reach, background.shape[0])
        right = min(column + width + reach, background.shape[1])
        counts[:] = 0
        for at_row in range(top, bottom):
            for at_column in range(left, right):
                counts[background[at_row, at_column]] += 1
        whole = (bottom - top, right - left) == background.shape
        if counts[1:].sum() >= fewest or whole:
            return _median(counts)
        reach *= 2


@njit(cache=True, nogil=True)
def _median(counts: NDArray[np.int64]) -> float:
    """Median of the codes other than 0, between codes by how the counts lie; 0 where there are none."""
    total = counts[1:].sum()
    seen = 0
    for code in range(1, 256):
        if 2 * (seen + counts[code]) >= total and counts[code] > 0:
            return float(code - 0.5 + (total / 2 - seen) / counts[code])
        seen += counts[code]
    return 0.0
