"""Compiled kernels: outlines between the pixels, read from how deep each pixel lies in a particle.

An outline is a closed polygon of (row, column) in px, the centre of the micrograph's first pixel at (0, 0),
clockwise on the screen, with a corner on each crack between a pixel of the region and one outside it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.measurement.convex_hull import convex_hull, turn
from temwatch.analysis.measurement.outline import trace
from temwatch.analysis.refinement.level import OUTLINE
from temwatch.domain import Level

Polygon = NDArray[np.float64]

_CUT_SMOOTHINGS = 4
"""A cut between two particles follows the pixels; so often each of its corners moves to the mean of its
neighbours, with the ends of the cut held."""


@njit(cache=True, nogil=True)
def outline_between_pixels(mask: NDArray[np.bool_], level: Level, row: int, column: int) -> Polygon:
    """Outer outline of a region: a tight crop, its first pixel at (row, column) of the level of a micrograph.

    Where the region ends as the mask does, the outline lies where the level says; where it was cut from a
    clump, it lies between the pixels.
    """
    corners, _, _ = trace(mask)
    height, width = mask.shape
    polygon = np.empty((2 * (height + width), 2))
    is_cut = np.empty(len(polygon), np.bool_)
    count = 0
    for index in range(len(corners)):
        following = corners[(index + 1) % len(corners)]
        down, right = following - corners[index]
        steps = abs(down) + abs(right)
        down, right = down // steps, right // steps
        for step in range(steps):
            # the pixel right of the way belongs to the region, the one left of it does not
            at_row, at_column = corners[index] + step * np.array((down, right))
            if down > 0:
                in_row, in_column, out_row, out_column = at_row, at_column - 1, at_row, at_column
            elif down < 0:
                in_row, in_column, out_row, out_column = at_row - 1, at_column, at_row - 1, at_column - 1
            elif right > 0:
                in_row, in_column, out_row, out_column = at_row, at_column, at_row - 1, at_column
            else:
                in_row, in_column, out_row, out_column = at_row - 1, at_column - 1, at_row, at_column - 1
            inner = float(level[row + in_row, column + in_column])
            if inner < OUTLINE:
                inner = 255.0  # a hole that was filled, or what a method added
            outer = 0.0
            cut = False
            if 0 <= row + out_row < level.shape[0] and 0 <= column + out_column < level.shape[1]:
                outer = float(level[row + out_row, column + out_column])
                cut = outer > OUTLINE
                if cut:
                    inner, outer = 255.0, 0.0
            share = (inner - OUTLINE) / (inner - outer)
            if count == len(polygon):
                longer, more = np.empty((2 * count, 2)), np.empty(2 * count, np.bool_)
                longer[:count], more[:count] = polygon, is_cut
                polygon, is_cut = longer, more
            polygon[count, 0] = row + in_row + share * (out_row - in_row)
            polygon[count, 1] = column + in_column + share * (out_column - in_column)
            is_cut[count] = cut
            count += 1
    found = polygon[:count].copy()
    for _ in range(_CUT_SMOOTHINGS):
        before = found.copy()
        for index in range(count):
            if is_cut[index]:
                after = before[(index + 1) % count]
                found[index] = (before[index - 1] + 2 * before[index] + after) / 4
    return found


@njit(cache=True, nogil=True)
def hole_area(mask: NDArray[np.bool_]) -> float:
    """Number of pixels that the outer outline of a tight crop runs round without their being set."""
    corners, _, _ = trace(mask)
    doubled = 0
    for index in range(len(corners)):
        after = corners[(index + 1) % len(corners)]
        doubled += corners[index, 1] * after[0] - after[1] * corners[index, 0]
    return abs(doubled) / 2 - float(np.count_nonzero(mask))


@njit(cache=True, nogil=True)
def describe_polygon(polygon: Polygon) -> tuple[float, float, float, float, float, float, float, float]:
    """Area, centroid (row, column), perimeter, perimeter and area of the hull, smallest and largest Feret.

    A polygon with its corners on a smooth line is a little short of it: each side stands for an arc whose
    turn is half of those at its ends.
    """
    area, row, column, perimeter = _area_and_length(polygon)
    hull = polygon[convex_hull(polygon)]
    hull_area, _, _, hull_perimeter = _area_and_length(hull)
    if hull_perimeter > perimeter:
        hull_perimeter = perimeter
    smallest, largest = _feret(hull)
    return area, row, column, perimeter, hull_perimeter, max(hull_area, area), smallest, largest


@njit(cache=True, nogil=True)
def _area_and_length(polygon: Polygon) -> tuple[float, float, float, float]:
    count = len(polygon)
    base_row, base_column = polygon[0]
    doubled = first_row = first_column = length = 0.0
    for index in range(count):
        after = polygon[(index + 1) % count]
        row, column = polygon[index, 0] - base_row, polygon[index, 1] - base_column
        next_row, next_column = after[0] - base_row, after[1] - base_column
        cross = column * next_row - next_column * row
        doubled += cross
        first_row += cross * (row + next_row)
        first_column += cross * (column + next_column)
        length += math.hypot(next_row - row, next_column - column)
    if abs(doubled) < 1e-12:
        return 0.0, base_row, base_column, length
    row, column = base_row + first_row / (3 * doubled), base_column + first_column / (3 * doubled)
    turns = np.empty(count)
    for index in range(count):
        before, here, after = polygon[index - 1], polygon[index], polygon[(index + 1) % count]
        down, right = here[0] - before[0], here[1] - before[1]
        next_down, next_right = after[0] - here[0], after[1] - here[1]
        cross, along = right * next_down - down * next_right, down * next_down + right * next_right
        turns[index] = math.atan2(cross, along)
    area = abs(doubled) / 2
    extra = 0.0
    for index in range(count):
        after = polygon[(index + 1) % count]
        side = math.hypot(after[0] - polygon[index, 0], after[1] - polygon[index, 1])
        bend = (turns[index] + turns[(index + 1) % count]) / 2
        area += bend * side * side / 12
        extra += bend * bend * side / 24
    return area, row, column, length + extra


@njit(cache=True, nogil=True)
def _feret(hull: Polygon) -> tuple[float, float]:
    """Smallest and largest distance between parallel tangents, by rotating calipers."""
    count = len(hull)
    largest = 0.0
    for index in range(count):
        for other in range(index):
            away = (hull[index, 0] - hull[other, 0]) ** 2 + (hull[index, 1] - hull[other, 1]) ** 2
            largest = max(largest, away)
    if count < 3:
        return 0.0, math.sqrt(largest)
    smallest, opposite = math.inf, 1
    for index in range(count):
        after = (index + 1) % count
        while turn(hull, index, after, (opposite + 1) % count) > turn(hull, index, after, opposite):
            opposite = (opposite + 1) % count
        side = max(math.hypot(hull[after, 0] - hull[index, 0], hull[after, 1] - hull[index, 1]), 1e-12)
        smallest = min(smallest, turn(hull, index, after, opposite) / side)
    return smallest, math.sqrt(largest)


@njit(cache=True, nogil=True)
def simplified(polygon: Polygon, tolerance: float) -> Polygon:
    """A polygon without the corners that lie within `tolerance` px of a line between those that are kept."""
    count = len(polygon)
    kept = np.empty(count, np.int64)
    kept[0] = first = 0
    corners, last = 1, 1
    while last < count:
        # as far as a line from the last corner that is kept passes by all corners between
        while last + 1 <= count and _passes(polygon, first, last + 1, tolerance):
            last += 1
        if last >= count:
            break
        kept[corners] = first = last
        corners += 1
        last = first + 1
    return polygon[kept[:corners]]


@njit(cache=True, nogil=True)
def _passes(polygon: Polygon, first: int, last: int, tolerance: float) -> bool:
    start, end = polygon[first], polygon[last % len(polygon)]
    down, right = end[0] - start[0], end[1] - start[1]
    length = math.hypot(down, right)
    for index in range(first + 1, last):
        away_down, away_right = polygon[index, 0] - start[0], polygon[index, 1] - start[1]
        along = 0.0
        if length > 0:
            along = min(max((away_down * down + away_right * right) / length, 0.0), length)
            away_down -= along * down / length
            away_right -= along * right / length
        if math.hypot(away_down, away_right) > tolerance:
            return False
    return True
