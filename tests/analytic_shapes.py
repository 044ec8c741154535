"""Analytic shapes drawn as masks: a pixel belongs where its centre lies in the shape."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ellipe

Pixels = NDArray[np.bool_]


def _grid(reach: float, centre: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = int(reach) + 3
    y, x = np.mgrid[-n : n + 1, -n : n + 1].astype(float)
    return y - centre[0], x - centre[1]


def cropped(mask: Pixels) -> Pixels:
    """Tight crop."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def ellipse(a: float, b: float, angle: float = 0.0, centre: tuple[float, float] = (0, 0)) -> Pixels:
    """Half axes `a`, `b` px, turned by `angle` rad."""
    y, x = _grid(max(a, b), centre)
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return cropped((u / a) ** 2 + (v / b) ** 2 <= 1)


def disc(radius: float, centre: tuple[float, float] = (0, 0)) -> Pixels:
    return ellipse(radius, radius, 0.0, centre)


def polygon(corners: NDArray[np.float64], centre: tuple[float, float] = (0, 0)) -> Pixels:
    """Convex polygon of (x, y) corners, counted so that the inside is on the left."""
    y, x = _grid(float(np.abs(corners).max()), centre)
    inside = np.ones(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) >= 0
    return cropped(inside)


def rectangle(a: float, b: float, angle: float = 0.0, centre: tuple[float, float] = (0, 0)) -> Pixels:
    """Sides `a`, `b` px, turned by `angle` rad."""
    corners = np.array([(-a, -b), (a, -b), (a, b), (-a, b)]) / 2
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    return polygon(corners @ turn, centre)


def regular_polygon(
    sides: int, radius: float, angle: float = 0.0, centre: tuple[float, float] = (0, 0)
) -> Pixels:
    """Corners at `radius` px from the centre."""
    turns = angle + 2 * np.pi * np.arange(sides) / sides
    return polygon(radius * np.stack([np.cos(turns), np.sin(turns)], axis=1), centre)


def ellipse_perimeter(a: float, b: float) -> float:
    return float(4 * max(a, b) * ellipe(1 - (min(a, b) / max(a, b)) ** 2))


def on_canvas(shape: tuple[int, int], *placed: tuple[Pixels, int, int]) -> Pixels:
    """Masks at (row, column) of their top left pixels, put together."""
    canvas = np.zeros(shape, dtype=bool)
    for mask, row, column in placed:
        canvas[row : row + mask.shape[0], column : column + mask.shape[1]] |= mask
    return canvas
