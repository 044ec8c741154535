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
_TILE_PX = 64
"""px; the codes of tiles of this edge are counted once for all particles."""

Background = tuple[NDArray[np.uint8], NDArray[np.uint16]]
"""Codes (y, x), 0 where no background was kept; and how often each is in each tile, (rows, columns, 256),
with the number of all but 0 in the place of 0."""


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
    background = find_background(np.where(neighbours.grown(mask, FRINGE_PX), np.uint8(0), picture.codes))
    return np.array([_contrast(region, background, picture) for region in regions], float)


def find_background(codes: NDArray[np.uint8]) -> Background:
    """Codes with their counts by tile."""
    return codes, _count_tiles(codes)


def _contrast(region: Region, background: Background, picture: KeptPicture) -> float:
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
def surroundings(background: Background, box: tuple[int, int, int, int], reach: int, fewest: int) -> float:
    """Median of the codes other than 0 around a box (row, column, height, width); 0 without any.

    The reach in px is doubled until there are so many. In the middle of a clump over the whole field that is
    the whole picture, for each of its particles: only tiles that hold background are looked into then, and
    the pixels only of those that the window cuts.
    """
    codes, tiles = background
    row, column, height, width = box
    counts = np.zeros(256, np.int64)
    while True:
        top, left = max(row - reach, 0), max(column - reach, 0)
        bottom = min(row + height + reach, codes.shape[0])
        right = min(column + width + reach, codes.shape[1])
        counts[:] = 0
        for tile_row in range(top // _TILE_PX, (bottom - 1) // _TILE_PX + 1):
            for tile_column in range(left // _TILE_PX, (right - 1) // _TILE_PX + 1):
                if tiles[tile_row, tile_column, 0]:
                    _add_tile(background, (tile_row, tile_column), (top, left, bottom, right), counts)
        whole = (bottom - top, right - left) == codes.shape
        if counts[1:].sum() >= fewest or whole:
            return _median(counts)
        reach *= 2


@njit(cache=True, nogil=True)
def _add_tile(
    background: Background,
    tile: tuple[int, int],
    window: tuple[int, int, int, int],
    counts: NDArray[np.int64],
) -> None:
    """Count the codes of a tile that lie in a window (top, left, bottom, right)."""
    codes, tiles = background
    top, left = tile[0] * _TILE_PX, tile[1] * _TILE_PX
    bottom, right = min(top + _TILE_PX, codes.shape[0]), min(left + _TILE_PX, codes.shape[1])
    if window[0] <= top and window[1] <= left and bottom <= window[2] and right <= window[3]:
        for code in range(1, 256):
            counts[code] += tiles[tile[0], tile[1], code]
        return
    for row in range(max(top, window[0]), min(bottom, window[2])):
        for column in range(max(left, window[1]), min(right, window[3])):
            counts[codes[row, column]] += 1


@njit(cache=True, nogil=True)
def _count_tiles(codes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """How often each code is in each tile; see `Background`."""
    rows, columns = -(-codes.shape[0] // _TILE_PX), -(-codes.shape[1] // _TILE_PX)
    tiles = np.zeros((rows, columns, 256), np.uint16)
    for row in range(codes.shape[0]):
        for column in range(codes.shape[1]):
            code = codes[row, column]
            if code:
                tiles[row // _TILE_PX, column // _TILE_PX, code] += 1
                tiles[row // _TILE_PX, column // _TILE_PX, 0] += 1
    return tiles


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
