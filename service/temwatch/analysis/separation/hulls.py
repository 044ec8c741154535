"""Compiled kernels of the contour method: how arcs lie on their convex hull, and what of it is hidden.

A hull's edge runs along an arc; where it does not, the outline of the particle is hidden in the clump.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.measurement.convex_hull import convex_hull, turn
from temwatch.analysis.separation.contour_parameters import PARAMETERS
from temwatch.analysis.separation.ellipse_fitting import Floats, Integers

STRAIGHT_RATIO = PARAMETERS.straight_ratio
STRAIGHT_SLACK_PX = PARAMETERS.straight_slack_px
ON_EDGE_PX = PARAMETERS.on_edge_px
DIRECTION_REACH_PX = PARAMETERS.direction_reach_px


@njit(cache=True, nogil=True)
def measure_hull(points: Floats, along: Floats) -> tuple[Integers, float, float, float, float, float, float]:
    """How well arcs fit on one convex shape.

    Parameters
    ----------
    points, along
        (n, 2) points of the arcs, and (n, 3) for each the outline it lies on, how far along in px, and that
        outline's length in px.

    Returns
    -------
    hull
        Indices of its vertices, clockwise.
    hidden, perimeter
        Length in px of the hull's edges that no arc runs along, and of all.
    area
        Of the hull, px^2.
    depth
        Largest distance in px of a point from the hull's outline.
    """
    hull = convex_hull(points)
    size = len(hull)
    hidden = perimeter = doubled = uneven = inwards = 0.0
    on_hull = np.zeros(len(points), np.bool_)
    for index in range(size):
        a, b = hull[index], hull[(index + 1) % size]
        on_hull[a] = True
        length = math.hypot(points[b, 0] - points[a, 0], points[b, 1] - points[a, 1])
        perimeter += length
        doubled += points[a, 1] * points[b, 0] - points[b, 1] * points[a, 0]
        if not is_seen(along, a, b, length):
            a, b = hidden_gap(points, along, a, b)
            length = math.hypot(points[b, 0] - points[a, 0], points[b, 1] - points[a, 1])
            hidden += length
            # the ends of arcs that meet at a neck bend into it: over a short way they say nothing
            if length > DIRECTION_REACH_PX:
                way = math.atan2(points[b, 0] - points[a, 0], points[b, 1] - points[a, 1])
                leaving = wrap_angle(way - direction(points, along, a, -1))
                arriving = wrap_angle(direction(points, along, b, 1) - way)
                uneven += abs(leaving - arriving) / (2 * math.pi)
                inwards = max(inwards, -leaving, -arriving)
    depth = 0.0
    for point in range(len(points)):
        if on_hull[point]:
            continue
        nearest = math.inf
        for index in range(size):
            a, b = hull[index], hull[(index + 1) % size]
            length = math.hypot(points[b, 0] - points[a, 0], points[b, 1] - points[a, 1])
            if length > 0:
                nearest = min(nearest, turn(points, a, b, point) / length)
        if nearest < math.inf:
            depth = max(depth, nearest)
    return hull, hidden, perimeter, abs(doubled) / 2, depth, uneven, inwards


@njit(cache=True, nogil=True)
def wrap_angle(angle: float) -> float:
    """The angle in rad, between -pi and pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


@njit(cache=True, nogil=True)
def direction(points: Floats, along: Floats, point: int, step: int) -> float:
    """Direction in which an arc reaches its end at a point (step -1), or leaves its begin (step 1)."""
    other = point
    for _ in range(6):
        index = other + step
        if not 0 <= index < len(points) or along[index, 0] != along[point, 0]:
            break
        way = ((along[index, 1] - along[point, 1]) * step) % along[point, 2]
        if way > DIRECTION_REACH_PX:
            break
        other = index
    down, right = (points[other, 0] - points[point, 0]) * step, (points[other, 1] - points[point, 1]) * step
    return math.atan2(down, right)


@njit(cache=True, nogil=True)
def is_seen(along: Floats, a: int, b: int, length: float) -> bool:
    """Whether the outline goes from one point to the other about as straight as the edge does."""
    if along[a, 0] != along[b, 0]:
        return False
    way = (along[b, 1] - along[a, 1]) % along[a, 2]
    return bool(way <= STRAIGHT_RATIO * length + STRAIGHT_SLACK_PX)


@njit(cache=True, nogil=True)
def hidden_gap(points: Floats, along: Floats, a: int, b: int) -> tuple[int, int]:
    """What of a hull's edge is hidden: an arc may run along its begin, and another one along its end."""
    down, right = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
    length = math.hypot(down, right)
    first, last = a, b
    while first + 1 < len(points) and _runs_on(points, along, first, first + 1, a, down, right, length):
        first += 1
    while last > 0 and _runs_on(points, along, last - 1, last, a, down, right, length):
        last -= 1
    before = (points[first, 0] - points[a, 0]) * down + (points[first, 1] - points[a, 1]) * right
    after = (points[last, 0] - points[a, 0]) * down + (points[last, 1] - points[a, 1]) * right
    return (first, last) if before <= after else (last, last)


@njit(cache=True, nogil=True)
def _runs_on(
    points: Floats, along: Floats, here: int, there: int, a: int, down: float, right: float, length: float
) -> bool:
    """Whether two points that follow each other on an outline both lie on the edge that begins at `a`."""
    step = math.hypot(points[there, 0] - points[here, 0], points[there, 1] - points[here, 1])
    if length == 0 or not is_seen(along, here, there, step):
        return False
    for point in (here, there):
        across = (points[point, 1] - points[a, 1]) * down - (points[point, 0] - points[a, 0]) * right
        if abs(across) > ON_EDGE_PX * length:
            return False
    return True


@njit(cache=True, nogil=True)
def length_outside(
    points: Floats, hull: Integers, along: Floats, mask: NDArray[np.bool_], margin_px: float
) -> float:
    """Length in px of the hull's hidden edges that lie outside the clump by more than a margin."""
    outside = 0.0
    size = len(hull)
    for index in range(size):
        a, b = hull[index], hull[(index + 1) % size]
        length = math.hypot(points[b, 0] - points[a, 0], points[b, 1] - points[a, 1])
        if is_seen(along, a, b, length):
            continue
        a, b = hidden_gap(points, along, a, b)
        down, right = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        length = math.hypot(down, right)
        if length == 0:
            continue
        steps = max(1, math.ceil(length))
        for step in range(steps):
            # the hull lies to the right of its edge
            row = math.floor(points[a, 0] + down * (step + 0.5) / steps + right / length * margin_px)
            column = math.floor(points[a, 1] + right * (step + 0.5) / steps - down / length * margin_px)
            if not (0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and mask[row, column]):
                outside += length / steps
    return outside


@njit(cache=True, nogil=True)
def points_inside(outline: Floats, points: Floats, hull: Integers, depth_px: float) -> int:
    """Number of points of the clump's outline that lie inside a hull by more than `depth_px`.

    Beside an outline is background, and within a particle there is none.
    """
    size = len(hull)
    top = bottom = points[hull[0], 0]
    left = right = points[hull[0], 1]
    for index in hull:
        top, bottom = min(top, points[index, 0]), max(bottom, points[index, 0])
        left, right = min(left, points[index, 1]), max(right, points[index, 1])
    count = 0
    for point in range(len(outline)):
        row, column = outline[point]
        if not (top + depth_px < row < bottom - depth_px and left + depth_px < column < right - depth_px):
            continue
        within = True
        for index in range(size):
            a, b = hull[index], hull[(index + 1) % size]
            down, across = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
            away = across * (row - points[a, 0]) - down * (column - points[a, 1])
            if away <= depth_px * math.sqrt(down * down + across * across):
                within = False
                break
        count += within
    return count
