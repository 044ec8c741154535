"""Distance to the background within a clump's crop, and what counts as background there."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.domain import Mask, Region

FAR = 1 << 40
"""Squared distance where the crop holds no background at all."""


def add_margin(clump: Region, shape: tuple[int, int]) -> tuple[Mask, int, int]:
    """The clump with a margin of background, and the row and column of its first pixel.

    There is no margin where the clump meets the border of the micrograph: beyond it nothing is known.
    """
    row, column = clump.origin_px
    height, width = clump.mask.shape
    top, left = int(row > 0), int(column > 0)
    bottom, right = int(row + height < shape[0]), int(column + width < shape[1])
    canvas = np.zeros((top + height + bottom, left + width + right), dtype=bool)
    canvas[top : top + height, left : left + width] = clump.mask
    return canvas, row - top, column - left


@njit(cache=True, nogil=True)
def squared_distances(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Squared distance in px from every pixel's centre to that of the nearest pixel that is not set.

    Beyond the crop nothing is known: it counts neither as set nor as not set. Columns first, then the lower
    envelope of the parabolas of each row (Meijster, Roerdink and Hesselink, 2000).
    """
    height, width = mask.shape
    squared = np.empty((height, width), np.int64)
    for column in range(width):
        run = FAR
        for row in range(height):
            run = 0 if not mask[row, column] else min(run + 1, FAR)
            squared[row, column] = run
        run = FAR
        for row in range(height - 1, -1, -1):
            run = 0 if not mask[row, column] else min(run + 1, FAR)
            near = min(run, squared[row, column])
            squared[row, column] = near * near if near < (1 << 20) else FAR
    apex = np.empty(width, np.int64)
    begins = np.empty(width, np.int64)
    line = np.empty(width, np.int64)
    for row in range(height):
        count = 0
        for column in range(width):
            here = squared[row, column]
            line[column] = here
            if here >= FAR:
                continue
            begin = 0
            while count:
                last = apex[count - 1]
                # first column at which the new parabola lies below the last one
                begin = (column * column - last * last + here - line[last]) // (2 * (column - last)) + 1
                if begin > begins[count - 1]:
                    break
                count -= 1
                begin = 0
            if begin < width:
                apex[count] = column
                begins[count] = begin
                count += 1
        if not count:
            continue
        last = count - 1
        for column in range(width - 1, -1, -1):
            while column < begins[last]:
                last -= 1
            squared[row, column] = (column - apex[last]) ** 2 + line[apex[last]]
    return squared
