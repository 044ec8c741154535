"""Compiled kernels: the convex hull of points, rows of (row, column), and the test that it is made of."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Points = NDArray[np.float64]


@njit(cache=True, nogil=True)
def convex_hull(points: Points) -> NDArray[np.int64]:
    """Indices of the hull's vertices, clockwise on the screen (Andrew's monotone chain).

    The first is the leftmost point, of several the topmost; points on a side are none.
    """
    count = len(points)
    order = np.argsort(points[:, 0], kind="mergesort")
    order = order[np.argsort(points[order, 1], kind="mergesort")]
    chain = np.empty(2 * count + 1, np.int64)
    size = 0
    for index in order:
        while size >= 2 and turn(points, chain[size - 2], chain[size - 1], index) <= 0:
            size -= 1
        chain[size] = index
        size += 1
    base = size + 1
    for step in range(count - 2, -1, -1):
        index = order[step]
        while size >= base and turn(points, chain[size - 2], chain[size - 1], index) <= 0:
            size -= 1
        chain[size] = index
        size += 1
    return chain[: max(size - 1, 1)]


@njit(cache=True, nogil=True)
def turn(points: Points, a: int, b: int, c: int) -> float:
    """Positive where the way between the points a, b, c turns right on the screen."""
    value: float = (points[b, 1] - points[a, 1]) * (points[c, 0] - points[a, 0]) - (
        points[b, 0] - points[a, 0]
    ) * (points[c, 1] - points[a, 1])
    return value
