"""Compiled kernels of the contour method: ellipses through arcs, and filled polygons."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@njit(cache=True, nogil=True)
def conic_sums(points: Floats, centre: Floats) -> Floats:
    """Sums over points that a conic is fitted from, about `centre`; those of several arcs add up."""
    sums = np.zeros((6, 6), np.float64)
    row = np.empty(6, np.float64)
    for index in range(len(points)):
        y, x = points[index, 0] - centre[0], points[index, 1] - centre[1]
        row[0] = x * x + y * y
        row[1] = x * x - y * y
        row[2] = 2 * x * y
        row[3] = x
        row[4] = y
        row[5] = 1.0
        for i in range(6):
            for j in range(6):
                sums[i, j] += row[i] * row[j]
    return sums


@njit(cache=True, nogil=True)
def total_sums(sums: Floats, members: NDArray[np.bool_]) -> Floats:
    """Sums that an ellipse through the chosen arcs is fitted from."""
    total = np.zeros((6, 6), np.float64)
    for arc in range(len(members)):
        if members[arc]:
            total += sums[arc]
    return total


@njit(cache=True, nogil=True)
def fit_ellipse(sums: Floats, noise_px: float, eccentricity: float) -> Floats:
    """Ellipse from sums, drawn towards a circle where the points leave its shape open.

    x^2 + y^2 + p (x^2 - y^2) + 2 q x y + d x + e y + f = 0 by least squares, with p and q expected around 0
    with a standard deviation of `eccentricity` and points off by `noise_px`.

    Returns
    -------
    row, column, semi-major, semi-minor axis, angle of the major axis from the columns' direction, and rms
    distance of the points; semi-major axis 0 where no ellipse fits.
    """
    nothing = np.zeros(6, np.float64)
    count = sums[5, 5]
    normal = sums[1:, 1:].copy()
    right = -sums[1:, 0].copy()
    spread = sums[0, 5] / count - (sums[3, 5] ** 2 + sums[4, 5] ** 2) / count**2
    if spread <= 0:
        return nothing
    radius_squared = spread
    solution: Floats = np.zeros(5, np.float64)
    for _ in range(3):
        ridge = (2 * noise_px) ** 2 * radius_squared / eccentricity**2
        trial = normal.copy()
        trial[0, 0] += ridge
        trial[1, 1] += ridge
        for index in range(5):
            trial[index, index] *= 1 + 1e-12
        if abs(np.linalg.det(trial / count)) < 1e-12:
            return nothing
        solution = np.linalg.solve(trial, right).astype(np.float64)
        p, q, d, e, f = solution
        shape = 1 - p * p - q * q
        if shape <= 0.02:
            return nothing
        # centre: gradient zero
        x = (-(1 - p) * d + q * e) / (2 * shape)
        y = (-(1 + p) * e + q * d) / (2 * shape)
        level = -(f + 0.5 * (d * x + e * y))
        if level <= 0:
            return nothing
        radius_squared = level / math.sqrt(shape)
    size = math.hypot(p, q)
    major, minor = math.sqrt(level / (1 - size)), math.sqrt(level / (1 + size))
    # p > 0: x is shorter
    angle = 0.5 * math.atan2(-q, -p)
    full = np.empty(6, np.float64)
    full[0] = 1.0
    full[1:] = solution
    square = 0.0
    for i in range(6):
        for j in range(6):
            square += full[i] * full[j] * sums[i, j]
    result = np.empty(6, np.float64)
    result[0], result[1], result[2], result[3], result[4] = y, x, major, minor, angle
    # the conic's value at a point is about twice its distance times half of the gradient's length
    result[5] = math.sqrt(max(square, 0.0) / count) / (2 * math.sqrt(level))
    return result


@njit(cache=True, nogil=True)
def fill_polygon(
    polygon: Floats, top: int, left: int, mask: NDArray[np.bool_], region: NDArray[np.bool_]
) -> None:
    """Set in `region` the pixels of `mask`, crops at (top, left), whose centres lie inside a polygon."""
    count = len(polygon)
    crossings = np.empty(count, np.float64)
    first = max(0, math.floor(polygon[:, 0].min()) - top)
    last = min(mask.shape[0] - 1, math.ceil(polygon[:, 0].max()) - top)
    for row in range(first, last + 1):
        y = top + row + 0.5
        number = 0
        for index in range(count):
            after = index + 1 if index + 1 < count else 0
            y0, y1 = polygon[index, 0], polygon[after, 0]
            if (y0 <= y) != (y1 <= y):
                way = (y - y0) / (y1 - y0)
                crossings[number] = polygon[index, 1] + way * (polygon[after, 1] - polygon[index, 1])
                number += 1
        crossings[:number].sort()
        for pair in range(number // 2):
            begin = max(0, math.ceil(crossings[2 * pair] - left - 0.5))
            end = min(mask.shape[1], math.floor(crossings[2 * pair + 1] - left - 0.5) + 1)
            for column in range(begin, end):
                if mask[row, column]:
                    region[row, column] = True
