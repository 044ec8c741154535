"""Compiled kernels of the edge network: one row per point of closed contours, one contour after the other."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.refinement.contours import Floats


def blocks(begin: NDArray[np.int64], points: int) -> list[int]:
    """First contour of each block of whole contours with at most about so many points, and their number."""
    contours = len(begin) - 1
    starts = [0]
    while starts[-1] < contours:
        end = int(np.searchsorted(begin, begin[starts[-1]] + points, side="right")) - 1
        starts.append(min(max(end, starts[-1] + 1), contours))
    return starts


@njit(cache=True, nogil=True)
def side_by_side(rows: Floats, begin: NDArray[np.int64], taps: int, dilation: int) -> Floats:
    """Each point's row between those of its neighbours, `dilation` points apart, (n, taps x channels)."""
    width = rows.shape[1]
    found = np.empty((len(rows), taps * width), np.float32)
    for contour in range(len(begin) - 1):
        first, end = begin[contour], begin[contour + 1]
        for index in range(first, end):
            for tap in range(taps):
                other = index + (tap - taps // 2) * dilation
                if other < first:
                    other += end - first
                elif other >= end:
                    other -= end - first
                for channel in range(width):
                    found[index, tap * width + channel] = rows[other, channel]
    return found


@njit(cache=True, nogil=True)
def rectify(rows: Floats, bias: Floats) -> None:
    """Add a bias to each row, and replace what is negative by 0."""
    for index in range(len(rows)):
        for channel in range(rows.shape[1]):
            rows[index, channel] = max(rows[index, channel] + bias[channel], np.float32(0))


@njit(cache=True, nogil=True)
def means_of_rows(rows: Floats, begin: NDArray[np.int64], means: Floats) -> None:
    """Fill in the mean row of each contour."""
    means[:] = 0
    for contour in range(len(begin) - 1):
        for index in range(begin[contour], begin[contour + 1]):
            for channel in range(rows.shape[1]):
                means[contour, channel] += rows[index, channel]
        means[contour] /= begin[contour + 1] - begin[contour]
