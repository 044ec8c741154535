"""Closed contours of a mask: every outline and every hole, smooth, with points and normals at equal steps.

Coordinates are (row, column) with the centre of the first pixel at (0, 0). Contours run with the particle on
their right, so that normals point out of it, also at the rim of a hole.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.measurement.outline import LEFT, RIGHT, STEP, is_set

Floats = NDArray[np.float32]

SAMPLES_PER_RADIUS = 16.0
"""A contour is looked at in steps of its radius over this, at least a pixel: large particles have wide
fringes and need no finer answer."""
LARGEST_STEP_PX = 12.0
POINT_SPACING = 1.5
"""Distance of two points, in steps."""
FEWEST_POINTS = 12
SHORTEST_PX = 8
"""Cracks around a single pixel and its neighbour: too little to look for an edge."""


class Contours(NamedTuple):
    """Closed contours, one after the other.

    Attributes
    ----------
    points, normals
        float32, (n, 2): row and column in px, and the unit vector that points out of the particle.
    begin
        int64, (contours + 1,): the first point of each contour, and n.
    step_px, radius_px
        float32, (contours,): the step in which it is looked at, and twice its area over its length.
    is_fixed
        bool, (contours,): too short to be moved.
    """

    points: Floats
    normals: Floats
    begin: NDArray[np.int64]
    step_px: Floats
    radius_px: Floats
    is_fixed: NDArray[np.bool_]


def find_contours(mask: NDArray[np.bool_]) -> Contours:
    """All contours of a mask (y, x); pixels that touch at a corner belong together."""
    mask = np.ascontiguousarray(mask)
    is_left_end = mask.copy()
    is_left_end[:, 1:] &= ~mask[:, :-1]
    return Contours(*_contours(mask, np.flatnonzero(is_left_end)))


@njit(cache=True, nogil=True)
def _loop(
    mask: NDArray[np.bool_], seen: NDArray[np.bool_], row: int, column: int, cracks: NDArray[np.int64]
) -> int:
    """Follow the crack left of a pixel all around; the number of cracks, -1 without room for them."""
    at_row, at_column, heading = row + 1, column, 3
    count = 0
    while True:
        if count == len(cracks):
            return -1
        cracks[count, 0], cracks[count, 1] = at_row, at_column
        count += 1
        at_row += STEP[heading, 0]
        at_column += STEP[heading, 1]
        if heading == 3:
            seen[at_row, at_column] = True
        if is_set(mask, at_row + LEFT[heading, 0], at_column + LEFT[heading, 1]):
            heading = (heading + 3) % 4
        elif not is_set(mask, at_row + RIGHT[heading, 0], at_column + RIGHT[heading, 1]):
            heading = (heading + 1) % 4
        if at_row == row + 1 and at_column == column and heading == 3:
            return count


@njit(cache=True, nogil=True)
def _smoothed(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A closed line of points (n, 2) after a Gaussian of `sigma` points."""
    count = len(values)
    reach = min(math.ceil(3 * sigma), count // 2)
    weights = np.empty(2 * reach + 1)
    for index in range(2 * reach + 1):
        weights[index] = math.exp(-0.5 * ((index - reach) / sigma) ** 2)
    weights /= weights.sum()
    wrapped = np.empty((count + 2 * reach, 2))
    wrapped[reach : reach + count] = values
    wrapped[:reach] = values[count - reach :]
    wrapped[reach + count :] = values[:reach]
    smooth = np.empty((count, 2))
    for index in range(count):
        row = column = 0.0
        for offset in range(2 * reach + 1):
            row += weights[offset] * wrapped[index + offset, 0]
            column += weights[offset] * wrapped[index + offset, 1]
        smooth[index, 0], smooth[index, 1] = row, column
    return smooth


@njit(cache=True, nogil=True)
def _resampled(line: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """A closed line (n, 2) with points at equal steps of about `spacing`."""
    count = len(line)
    length = np.zeros(count + 1)
    for index in range(count):
        after = index + 1 if index + 1 < count else 0
        row, column = line[after, 0] - line[index, 0], line[after, 1] - line[index, 1]
        length[index + 1] = length[index] + math.sqrt(row * row + column * column)
    points = max(FEWEST_POINTS, round(length[count] / spacing))
    found = np.empty((points, 2))
    index = 0
    for number in range(points):
        place = length[count] * number / points
        while length[index + 1] < place:
            index += 1
        share = (place - length[index]) / max(length[index + 1] - length[index], 1e-12)
        after = index + 1 if index + 1 < count else 0
        for axis in range(2):
            found[number, axis] = line[index, axis] + share * (line[after, axis] - line[index, axis])
    return found


@njit(cache=True, nogil=True)
def normals_of(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit normals, to the left of the way, of a closed line (n, 2)."""
    count = len(line)
    normals = np.empty((count, 2))
    for index in range(count):
        before, after = index - 1 if index else count - 1, index + 1 if index + 1 < count else 0
        row, column = line[after, 0] - line[before, 0], line[after, 1] - line[before, 1]
        norm = max(math.sqrt(row * row + column * column), 1e-12)
        normals[index, 0], normals[index, 1] = -column / norm, row / norm
    return normals


@njit(cache=True, nogil=True)
def _contours(
    mask: NDArray[np.bool_], left_ends: NDArray[np.int64]
) -> tuple[Floats, Floats, NDArray[np.int64], Floats, Floats, NDArray[np.bool_]]:
    """The fields of `Contours`; `left_ends` are the flat indices of pixels that are set, the one left not."""
    height, width = mask.shape
    seen = np.zeros((height + 1, width + 1), np.bool_)
    cracks = np.empty((4096, 2), np.int64)
    points, normals = np.empty((4096, 2), np.float32), np.empty((4096, 2), np.float32)
    begin = np.zeros(257, np.int64)
    step, radius, fixed = np.empty(256, np.float32), np.empty(256, np.float32), np.empty(256, np.bool_)
    loops = 0
    for place in left_ends:
        row, column = place // width, place % width
        if seen[row, column]:
            continue
        count = _loop(mask, seen, row, column, cracks)
        while count < 0:
            cracks = np.empty((4 * len(cracks), 2), np.int64)
            count = _loop(mask, seen, row, column, cracks)
        line = np.empty((count, 2))
        doubled_area = 0.0
        for index in range(count):
            following = (index + 1) % count
            line[index, 0] = (cracks[index, 0] + cracks[following, 0]) / 2 - 0.5
            line[index, 1] = (cracks[index, 1] + cracks[following, 1]) / 2 - 0.5
            doubled_area += cracks[index, 1] * cracks[following, 0] - cracks[following, 1] * cracks[index, 0]
        # the way along cracks is 4 / pi times as long as the outline
        size = abs(doubled_area) / (count * math.pi / 4)
        scale = min(max(size / SAMPLES_PER_RADIUS, 1.0), LARGEST_STEP_PX)
        is_fixed = count < SHORTEST_PX
        if not is_fixed:
            line = _smoothed(line, scale)
        line = _resampled(line, POINT_SPACING * scale)
        outwards = normals_of(_smoothed(line, 1.0))
        first = begin[loops]
        while first + len(line) > len(points):
            points, normals = _longer(points), _longer(normals)
        points[first : first + len(line)] = line
        normals[first : first + len(line)] = outwards
        if loops + 2 > len(begin) - 1:
            begin = np.concatenate((begin, np.zeros(len(begin), np.int64)))
            step, radius = np.concatenate((step, step)), np.concatenate((radius, radius))
            fixed = np.concatenate((fixed, fixed))
        step[loops], radius[loops], fixed[loops] = scale, size, is_fixed
        loops += 1
        begin[loops] = first + len(line)
    end = begin[loops]
    return points[:end], normals[:end], begin[: loops + 1], step[:loops], radius[:loops], fixed[:loops]


@njit(cache=True, nogil=True)
def _longer(values: Floats) -> Floats:
    longer = np.empty((2 * len(values), 2), np.float32)
    longer[: len(values)] = values
    return longer


def moved(contours: Contours, distance_px: Floats) -> Contours:
    """The contours with each point moved along its normal, outwards where the distance is positive."""
    points, normals = _moved(contours.points, contours.normals, contours.begin, distance_px)
    return contours._replace(points=points, normals=normals)


@njit(cache=True, nogil=True)
def _moved(
    points: Floats, normals: Floats, begin: NDArray[np.int64], distance: Floats
) -> tuple[Floats, Floats]:
    new_points, new_normals = np.empty_like(points), np.empty_like(normals)
    for contour in range(len(begin) - 1):
        first, end = begin[contour], begin[contour + 1]
        line = np.empty((end - first, 2))
        for index in range(first, end):
            for axis in range(2):
                line[index - first, axis] = points[index, axis] + distance[index] * normals[index, axis]
        new_points[first:end] = line
        new_normals[first:end] = normals_of(_smoothed(line, 1.0))
    return new_points, new_normals


def subdivided(contours: Contours) -> tuple[Floats, NDArray[np.int64]]:
    """Points and beginnings of the contours with one more point between any two, on a smooth line.

    The corners of a small disc's contour alone would bound an area two percent too small.
    """
    return _subdivided(contours.points, contours.begin), 2 * contours.begin


@njit(cache=True, nogil=True)
def _subdivided(points: Floats, begin: NDArray[np.int64]) -> Floats:
    finer = np.empty((2 * len(points), 2), np.float32)
    for contour in range(len(begin) - 1):
        first, count = begin[contour], begin[contour + 1] - begin[contour]
        for index in range(count):
            here, after = points[first + index], points[first + (index + 1) % count]
            before, beyond = points[first + (index - 1) % count], points[first + (index + 2) % count]
            finer[2 * (first + index)] = here
            # Catmull and Rom's cubic half way
            finer[2 * (first + index) + 1] = (9 * (here + after) - before - beyond) / 16
    return finer
