"""How deep each pixel lies in a particle: outlines between the pixels, as a picture."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.refinement.contours import Floats
from temwatch.domain import Level

REACH_PX = 1.5
"""Distance from the outline at which a pixel counts as wholly inside or outside."""
OUTLINE = 127.5
"""The level of the outline itself."""
_STEP_OF_LEVEL = 4
"""Steps of a twentieth of a pixel, which are stored in half the bytes."""
_STEPS_PER_PX = OUTLINE / REACH_PX / _STEP_OF_LEVEL
_FAR = 32
"""Steps from the outline to what is wholly inside or outside."""


@njit(cache=True, nogil=True)
def draw_level(points: Floats, begin: NDArray[np.int64], shape: tuple[int, int]) -> Level:
    """Depth of each pixel of `shape` (y, x) from closed polygons with the particle on their right.

    Returns
    -------
    uint8, (y, x)
        0 outside, 255 inside, `OUTLINE` on the outline, linear in the distance from it up to `REACH_PX`.
        Where an outline crosses itself, what it runs round the wrong way lies outside.
    """
    height, width = shape
    turns = _turns(points, begin, height, width)
    steps = np.full((height, width), np.uint8(_FAR))
    for contour in range(len(begin) - 1):
        first, end = begin[contour], begin[contour + 1]
        for index in range(first, end):
            after = index + 1 if index + 1 < end else first
            _draw_segment(steps, points[index, 0], points[index, 1], points[after, 0], points[after, 1])
    for row in range(height):
        inside = 0
        for column in range(width):
            inside += turns[row, column]
            step = steps[row, column]
            if step == _FAR:
                steps[row, column] = 255 if inside > 0 else 0
            else:
                # a pixel centre on the outline belongs to the side that the winding says
                side = _FAR + step if inside > 0 else _FAR - 1 - step
                steps[row, column] = _STEP_OF_LEVEL * side + _STEP_OF_LEVEL // 2
    return steps


@njit(cache=True, nogil=True)
def _turns(points: Floats, begin: NDArray[np.int64], height: int, width: int) -> NDArray[np.int16]:
    """Sides of the polygons that pass left of each pixel's centre and right of the one before, with sign.

    Up to a pixel they add up to how much more often the polygons run round its centre with it on the right
    than on the left.
    """
    turns = np.zeros((height, width + 1), np.int16)
    for contour in range(len(begin) - 1):
        first, end = begin[contour], begin[contour + 1]
        for index in range(first, end):
            after = index + 1 if index + 1 < end else first
            row, column = points[index]
            next_row, next_column = points[after]
            if row == next_row:
                continue
            sign = -1 if next_row > row else 1  # upwards, the particle begins right of the line
            low, high = min(row, next_row), max(row, next_row)
            slope = (next_column - column) / (next_row - row)
            for line in range(max(math.ceil(low), 0), min(math.ceil(high), height)):
                at = math.ceil(column + slope * (line - row))
                turns[line, min(max(at, 0), width)] += sign
    return turns


@njit(cache=True, nogil=True)
def _draw_segment(
    steps: NDArray[np.uint8], row: float, column: float, next_row: float, next_column: float
) -> None:
    """Lower the distance, in steps of the level, of the pixels near one side of a polygon."""
    height, width = steps.shape
    top = max(math.ceil(min(row, next_row) - REACH_PX), 0)
    bottom = min(math.floor(max(row, next_row) + REACH_PX), height - 1)
    left = max(math.ceil(min(column, next_column) - REACH_PX), 0)
    right = min(math.floor(max(column, next_column) + REACH_PX), width - 1)
    down, across = next_row - row, next_column - column
    inverse = 1 / max(down * down + across * across, 1e-12)
    for at_row in range(top, bottom + 1):
        for at_column in range(left, right + 1):
            share = ((at_row - row) * down + (at_column - column) * across) * inverse
            share = min(max(share, 0.0), 1.0)
            below, beside = at_row - row - share * down, at_column - column - share * across
            squared = below * below + beside * beside
            if squared < REACH_PX**2:
                step = int(math.sqrt(squared) * _STEPS_PER_PX)
                if step < steps[at_row, at_column]:
                    steps[at_row, at_column] = step
