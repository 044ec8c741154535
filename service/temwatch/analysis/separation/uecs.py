"""Ultimate erosion for convex sets (Park, Huang, Ji, Ding, IEEE TPAMI 35 (2013) 669), repaired.

A clump is eroded until its parts are convex; each part, a marker, is dilated back within the clump. Parts
grow independently of each other, so that an overlap belongs to both particles.

What differs from the published procedure, each measured on masks with known truth:

- Erosion is by discs of r = 1, 2, 3 ... px, taken from one exact distance transform, so that nothing depends
  on the orientation.
- A marker that vanishes before it is convex, or is small, is kept (`vanishing_markers = "keep"`).
- Beyond the border of the micrograph nothing is known, and nothing is eroded from there.
- A part counts only when it stands out of its surroundings by more than the diagonal of a pixel: what is
  shallower is roughness of the outline.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.outline import convexity
from temwatch.analysis.separation.distance import squared_distances
from temwatch.config import SeparationSettings
from temwatch.domain import Reason, Region, Rejection

MARKER_CONVEXITY = 0.985
"""Erosion ends here: convex but for the pixel grid. Two particles that overlap by more than half are one
region of convexity 0.95 and more long after the clump was known to be one by the threshold of 0.95."""
ROUGHNESS_PX = math.sqrt(2)
"""Depth below which a part is roughness of the outline: the diagonal of a pixel."""
BOUNDARY_PX = 0.5
"""Erosion by r px counts from pixel centre to pixel centre; the outline lies half a pixel further out."""
NEW_AREA = 0.1
"""A part that lies in larger parts but for this share of its area explains nothing."""


def separate(
    clump: Region, *, shape: tuple[int, int], smallest_px: int, settings: SeparationSettings
) -> tuple[list[Region], list[Rejection]]:
    """Part a clump; see `Separator`."""
    canvas, row, column = _canvas(clump, shape)
    parts: list[Region] = []
    rejections: list[Rejection] = []
    least_px = max(settings.min_marker_px, smallest_px)
    pools, markers = _markers(canvas, squared_distances(canvas), MARKER_CONVEXITY, ROUGHNESS_PX)
    if len(markers) == 1:
        return [clump], []
    for start, stop, radius, vanished in markers.tolist():
        pixels = pools[radius % 2, start:stop]
        if settings.vanishing_markers == "drop" and (vanished or len(pixels) < least_px):
            top, left, mask = _crop(pixels)
            marker = Region(origin_px=(row + top, column + left), mask=mask, separated=True)
            rejections.append(Rejection(region=marker, reason=Reason.NOT_SEPARABLE))
            continue
        top, left, mask = _regrown(canvas, pixels, radius + BOUNDARY_PX)
        part = Region(origin_px=(row + top, column + left), mask=mask, separated=True)
        if convexity(mask) < settings.convexity_threshold:
            rejections.append(Rejection(region=part, reason=Reason.NOT_SEPARABLE))
        else:
            parts.append(part)
    return _explaining(parts, clump), rejections


def _canvas(clump: Region, shape: tuple[int, int]) -> tuple[NDArray[np.bool_], int, int]:
    """The clump with a margin of background, except where it meets the border of the micrograph."""
    row, column = clump.origin_px
    height, width = clump.mask.shape
    top, left = int(row > 0), int(column > 0)
    margins = ((top, int(row + height < shape[0])), (left, int(column + width < shape[1])))
    return np.pad(clump.mask, margins), row - top, column - left


def _explaining(parts: list[Region], clump: Region) -> list[Region]:
    """The parts that are not already covered by larger ones, in their order."""
    covered = np.zeros(clump.mask.shape, dtype=bool)
    kept = set()
    areas = [np.count_nonzero(part.mask) for part in parts]
    for index in sorted(range(len(parts)), key=lambda index: -areas[index]):
        part = parts[index]
        row, column = part.origin_px[0] - clump.origin_px[0], part.origin_px[1] - clump.origin_px[1]
        view = covered[row : row + part.mask.shape[0], column : column + part.mask.shape[1]]
        if np.count_nonzero(part.mask & ~view) >= NEW_AREA * areas[index]:
            view |= part.mask
            kept.add(index)
    return [part for index, part in enumerate(parts) if index in kept]


@njit(cache=True, nogil=True)
def _markers(
    canvas: NDArray[np.bool_], squared: NDArray[np.int64], threshold: float, roughness_px: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Erode until every part is convex.

    Returns
    -------
    pools
        (2, n, 2) rows and columns of pixels.
    markers
        (m, 4) start and stop in pool `radius % 2`, radius in px of the erosion, and whether it vanished.
    """
    height, width = canvas.shape
    total = int(np.count_nonzero(canvas))
    # the pixels of a part lie in one pool, those that the next erosion leaves of it in the same range of
    # the other
    pools = np.empty((2, total, 2), np.int32)
    owner = np.zeros((height, width), np.int32)
    count = 0
    for row in range(height):
        for column in range(width):
            if canvas[row, column]:
                pools[0, count] = row, column
                owner[row, column] = 1
                count += 1
    names = 1
    waiting: list[tuple[int, int, int, int]] = [(0, total, 0, names)]
    markers = np.empty((16, 4), np.int64)
    count = 0
    while waiting:
        start, stop, radius, name = waiting.pop()
        convex = convexity(_crop(pools[radius % 2, start:stop])[2]) >= threshold
        ahead = len(waiting)
        if not convex:
            remains = pools[(radius + 1) % 2]
            limit = (radius + 1) ** 2
            end, pieces = start, 0
            only = (0, 0, 0, 0)
            for index in range(start, stop):
                row, column = pools[radius % 2, index]
                if owner[row, column] != name or squared[row, column] <= limit:
                    continue
                names += 1
                pieces += 1
                first, last, peak = end, end + 1, 0
                remains[first] = row, column
                owner[row, column] = names
                while end < last:
                    row, column = remains[end]
                    end += 1
                    peak = max(peak, squared[row, column])
                    for near in range(max(row - 1, 0), min(row + 2, height)):
                        for beside in range(max(column - 1, 0), min(column + 2, width)):
                            if owner[near, beside] == name and squared[near, beside] > limit:
                                owner[near, beside] = names
                                remains[last] = near, beside
                                last += 1
                only = (first, last, radius + 1, names)
                if math.sqrt(peak) > radius + roughness_px:
                    waiting.append(only)
            if pieces == 1 and len(waiting) == ahead:
                waiting.append(only)
        if len(waiting) == ahead:
            if count == len(markers):
                larger = np.empty((2 * count, 4), np.int64)
                larger[:count] = markers
                markers = larger
            markers[count] = start, stop, radius, int(not convex)
            count += 1
    return pools, markers[:count]


@njit(cache=True, nogil=True)
def _crop(pixels: NDArray[np.int32]) -> tuple[int, int, NDArray[np.bool_]]:
    top, left = pixels[0]
    bottom, right = pixels[0]
    for index in range(1, len(pixels)):
        row, column = pixels[index]
        top, bottom = min(top, row), max(bottom, row)
        left, right = min(left, column), max(right, column)
    mask = np.zeros((bottom - top + 1, right - left + 1), np.bool_)
    for index in range(len(pixels)):
        mask[pixels[index, 0] - top, pixels[index, 1] - left] = True
    return top, left, mask


@njit(cache=True, nogil=True)
def _regrown(
    canvas: NDArray[np.bool_], marker: NDArray[np.int32], radius: float
) -> tuple[int, int, NDArray[np.bool_]]:
    """What of the canvas lies within `radius` px of the marker and is connected with it, a tight crop."""
    top, left, mask = _crop(marker)
    margin = math.ceil(radius)
    first_row, first_column = max(top - margin, 0), max(left - margin, 0)
    last_row = min(top + mask.shape[0] + margin, canvas.shape[0])
    last_column = min(left + mask.shape[1] + margin, canvas.shape[1])
    away = np.ones((last_row - first_row, last_column - first_column), np.bool_)
    for index in range(len(marker)):
        away[marker[index, 0] - first_row, marker[index, 1] - first_column] = False
    squared = squared_distances(away)
    height, width = away.shape
    reached = ~away
    pixels = np.empty((height * width, 2), np.int32)
    count = len(marker)
    for index in range(count):
        pixels[index, 0] = marker[index, 0] - first_row
        pixels[index, 1] = marker[index, 1] - first_column
    index = 0
    while index < count:
        row, column = pixels[index]
        index += 1
        for near in range(max(row - 1, 0), min(row + 2, height)):
            for beside in range(max(column - 1, 0), min(column + 2, width)):
                if (
                    not reached[near, beside]
                    and canvas[first_row + near, first_column + beside]
                    and squared[near, beside] <= radius * radius
                ):
                    reached[near, beside] = True
                    pixels[count] = near, beside
                    count += 1
    top, left, mask = _crop(pixels[:count])
    return first_row + top, first_column + left, mask
