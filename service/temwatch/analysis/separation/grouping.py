"""Compiled kernels of the contour method: which arcs belong to one particle.

Particles are taken for convex. Arcs of one particle then lie on the outline of one convex shape, their hull,
and where they do not, the outline goes on hidden inside the clump. Of all pairs the best is joined first.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.separation.arcs import Arcs, Floats, Integers
from temwatch.analysis.separation.distance import squared_distances
from temwatch.analysis.separation.fitting import convex_hull, fitted_ellipse, turns

NOISE_PX = 0.6
"""How far off a point of an outline on the pixel grid is: half a pixel, and a little by the segmentation."""
ROUGHNESS = 0.02
"""The same for the roughness of a particle's outline, over its radius."""
SLACK = 1.5
"""Points may be off by this many of the above before arcs are taken for those of different particles."""
INWARDS = 0.35
"""Turn in rad by which a hidden part may bend inwards where an arc ends."""
SHAPE_NOISE_PX = 1.0
ECCENTRICITY = 0.3
"""Ellipses are expected around the circle with this standard deviation of (a^2 - b^2) / (a^2 + b^2), and
their shape is drawn there as if their points were off by SHAPE_NOISE_PX."""
MOST_HIDDEN = 0.6
"""Where more of the outline is hidden, only an ellipse that fits joins arcs ..."""
MOST_ELONGATED = 2.2
"""... and only one that is no longer than this over its width."""
OUTSIDE_PX = 2.0
OUTSIDE_SHARE = 0.03
OUTSIDE_POINTS = 2
"""A hidden outline may leave the clump by so many px and this share of its length, and hold so many points of
the clump's outline, every third: that is noise."""
MOST_MISFIT = 1.5
"""A shape that is off by this many tolerances is no ellipse; how far off says nothing then."""
MISFIT_WEIGHT = 0.15
UNEVEN_WEIGHT = 1.0
"""What a hidden part of the outline costs is its share of the outline. In the same unit: an ellipse that is
off by the tolerance; and a hidden part that bends by a full turn at one of its ends and not at the other."""
JOINED = 0.8
"""Two groups are joined where that costs less than this share of what both cost."""
UNKNOWN = math.inf
"""Depth of a single arc in its hull before it is measured."""
GIANT = 3.0
GIANT_HIDDEN = 0.3
"""A joined particle that is larger than this over the median of its clump, and hidden by more than this."""
STRAIGHT = 1.1
ON_EDGE_PX = 1.5
"""Points this close to an edge lie on it."""
SPACING_PX = 3.0
"""An edge of the hull that is as long as the outline between its ends, but for these, runs along it."""
REACH_PX = 12.0
"""Length over which the direction of an arc's end is taken."""


@njit(cache=True, nogil=True)
def hull_of(points: Floats, along: Floats) -> tuple[Integers, float, float, float, float, float, float]:
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
        if not seen(along, a, b, length):
            a, b = gap(points, along, a, b)
            length = math.hypot(points[b, 0] - points[a, 0], points[b, 1] - points[a, 1])
            hidden += length
            # the ends of arcs that meet at a neck bend into it: over a short way they say nothing
            if length > REACH_PX:
                way = math.atan2(points[b, 0] - points[a, 0], points[b, 1] - points[a, 1])
                leaving = wrapped(way - direction(points, along, a, -1))
                arriving = wrapped(direction(points, along, b, 1) - way)
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
                nearest = min(nearest, turns(points, a, b, point) / length)
        if nearest < math.inf:
            depth = max(depth, nearest)
    return hull, hidden, perimeter, abs(doubled) / 2, depth, uneven, inwards


@njit(cache=True, nogil=True)
def wrapped(angle: float) -> float:
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
        if way > REACH_PX:
            break
        other = index
    down, right = (points[other, 0] - points[point, 0]) * step, (points[other, 1] - points[point, 1]) * step
    return math.atan2(down, right)


@njit(cache=True, nogil=True)
def seen(along: Floats, a: int, b: int, length: float) -> bool:
    """Whether the outline goes from one point to the other about as straight as the edge does."""
    if along[a, 0] != along[b, 0]:
        return False
    way = (along[b, 1] - along[a, 1]) % along[a, 2]
    return bool(way <= STRAIGHT * length + SPACING_PX)


@njit(cache=True, nogil=True)
def gap(points: Floats, along: Floats, a: int, b: int) -> tuple[int, int]:
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
    if length == 0 or not seen(along, here, there, step):
        return False
    for point in (here, there):
        across = (points[point, 1] - points[a, 1]) * down - (points[point, 0] - points[a, 0]) * right
        if abs(across) > ON_EDGE_PX * length:
            return False
    return True


@njit(cache=True, nogil=True)
def outside_length(
    points: Floats, hull: Integers, along: Floats, mask: NDArray[np.bool_], margin_px: float
) -> float:
    """Length in px of the hull's hidden edges that lie outside the clump by more than a margin."""
    outside = 0.0
    size = len(hull)
    for index in range(size):
        a, b = hull[index], hull[(index + 1) % size]
        length = math.hypot(points[b, 0] - points[a, 0], points[b, 1] - points[a, 1])
        if seen(along, a, b, length):
            continue
        a, b = gap(points, along, a, b)
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
def grouped(arcs: Arcs, mask: NDArray[np.bool_]) -> Integers:
    """Join arcs that lie on one convex shape, best first: (m,) number of the group that each belongs to."""
    count = len(arcs.starts) - 1
    group = np.arange(count)
    cost = np.empty(count, np.float64)
    depth = np.empty(count, np.float64)
    for arc in range(count):
        cost[arc], depth[arc], _ = _evidence(arcs, group == arc, mask, UNKNOWN)
    away = squared_distances(~mask)
    gain = np.full((count, count), -1.0)
    best = np.full(count, -1.0)
    partner = np.zeros(count, np.int64)
    for a in range(count):
        for b in range(a + 1, count):
            gain[a, b] = _gain(a, b, group, arcs, mask, away, cost, depth)
        _rank(a, gain, best, partner)
    while True:
        first = int(np.argmax(best)) if count else 0
        if count == 0 or best[first] <= 0:
            return _without_giants(arcs, group)
        second = partner[first]
        for arc in range(count):
            if group[arc] == second:
                group[arc] = first
        gain[second, :] = -1.0
        gain[:, second] = -1.0
        cost[first], depth[first], _ = _evidence(arcs, group == first, mask, UNKNOWN)
        for other in range(count):
            if group[other] == other and other != first:
                a, b = min(first, other), max(first, other)
                gain[a, b] = _gain(a, b, group, arcs, mask, away, cost, depth)
        for a in range(count):
            if a in (first, second) or partner[a] in (first, second):
                _rank(a, gain, best, partner)
            elif a < first and gain[a, first] > best[a]:
                best[a], partner[a] = gain[a, first], first


@njit(cache=True, nogil=True)
def _rank(a: int, gain: Floats, best: Floats, partner: Integers) -> None:
    """Find again what a group is best joined with."""
    best[a] = -1.0
    for b in range(a + 1, len(best)):
        if gain[a, b] > best[a]:
            best[a] = gain[a, b]
            partner[a] = b


@njit(cache=True, nogil=True)
def _is_between(arcs: Arcs, a: int, b: int, away: Integers) -> bool:
    """Whether the clump holds what lies between the middles of two arcs: a convex particle does."""
    first, second = arcs.middles[a], arcs.middles[b]
    down, right = second[0] - first[0], second[1] - first[1]
    length = math.hypot(down, right)
    margin = 2 * SLACK * (NOISE_PX + ROUGHNESS * max(arcs.radius, length / 2)) + 1
    steps = max(1, math.ceil(length))
    for step in range(steps):
        row = int(first[0] + down * (step + 0.5) / steps)
        column = int(first[1] + right * (step + 0.5) / steps)
        if away[row, column] > margin * margin:
            return False
    return True


@njit(cache=True, nogil=True)
def _without_giants(arcs: Arcs, group: Integers) -> Integers:
    """Take apart again what became much larger than the clump's other particles, and is mostly guessed."""
    count = len(group)
    areas = np.zeros(count, np.float64)
    hidden_share = np.zeros(count, np.float64)
    for number in range(count):
        members = group == number
        if members.any():
            points, along = members_of(arcs.points, arcs.along, arcs.starts, members)
            if len(points) >= 3:
                _, hidden, perimeter, areas[number], _, _, _ = hull_of(points, along)
                hidden_share[number] = hidden / perimeter
    limit = GIANT * np.median(areas[areas > 0]) if (areas > 0).any() else 0.0
    result = group.copy()
    for number in range(count):
        if areas[number] > limit and hidden_share[number] > GIANT_HIDDEN:
            for arc in range(count):
                if group[arc] == number:
                    result[arc] = arc
    return result


@njit(cache=True, nogil=True)
def _gain(
    a: int,
    b: int,
    group: Integers,
    arcs: Arcs,
    mask: NDArray[np.bool_],
    away: Integers,
    cost: Floats,
    depth: Floats,
) -> float:
    """What is won by taking two groups for one particle; not above 0 where they cannot be."""
    if not _is_between(arcs, a, b, away):
        return -1.0
    together, _, fits = _evidence(arcs, (group == a) | (group == b), mask, max(depth[a], depth[b]))
    if not fits:
        return -1.0
    return float(JOINED * (cost[a] + cost[b]) - together)


@njit(cache=True, nogil=True)
def members_of(
    points: Floats, along: Floats, starts: Integers, members: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Points of the chosen arcs one after the other, and where on the outlines they lie."""
    total = 0
    for arc in range(len(members)):
        if members[arc]:
            total += starts[arc + 1] - starts[arc]
    chosen = np.empty((total, 2), np.float64)
    places = np.empty((total, 3), np.float64)
    at = 0
    for arc in range(len(members)):
        if members[arc]:
            length = starts[arc + 1] - starts[arc]
            chosen[at : at + length] = points[starts[arc] : starts[arc + 1]]
            places[at : at + length] = along[starts[arc] : starts[arc + 1]]
            at += length
    return chosen, places


@njit(cache=True, nogil=True)
def _evidence(
    arcs: Arcs, members: NDArray[np.bool_], mask: NDArray[np.bool_], known_depth: float
) -> tuple[float, float, bool]:
    """Cost of taking arcs for one particle, their depth in their hull, and whether they fit together."""
    chosen, places = members_of(arcs.points, arcs.along, arcs.starts, members)
    if len(chosen) < 3:
        return 1.0, 0.0, False
    hull, hidden, perimeter, area, depth, uneven, inwards = hull_of(chosen, places)
    radius = math.sqrt(area / math.pi)
    tolerance = NOISE_PX + ROUGHNESS * radius
    if known_depth != UNKNOWN:
        if inwards > INWARDS or depth > known_depth + SLACK * tolerance:
            return 1.0, depth, False
        if (
            outside_length(chosen, hull, places, mask, SLACK * tolerance)
            > OUTSIDE_PX + OUTSIDE_SHARE * hidden
        ):
            return 1.0, depth, False
        if _inside(arcs.outline, chosen, hull, SLACK * tolerance) > OUTSIDE_POINTS:
            return 1.0, depth, False
    sums = np.zeros((6, 6), np.float64)
    for arc in range(len(members)):
        if members[arc]:
            sums += arcs.sums[arc]
    ellipse = fitted_ellipse(sums, SHAPE_NOISE_PX, ECCENTRICITY)
    misfit = ellipse[5] / tolerance if ellipse[2] > 0 else MOST_MISFIT
    share = hidden / perimeter if perimeter > 0 else 1.0
    cost = share + MISFIT_WEIGHT * min(misfit, MOST_MISFIT) ** 2 + UNEVEN_WEIGHT * uneven
    if known_depth == UNKNOWN:
        return cost, depth, True
    # where little is seen, only an ellipse makes it likely that the arcs belong together
    is_ellipse = ellipse[2] > 0 and misfit <= 1 and ellipse[2] <= MOST_ELONGATED * ellipse[3]
    return cost, depth, is_ellipse or share <= MOST_HIDDEN


@njit(cache=True, nogil=True)
def _inside(outline: Floats, points: Floats, hull: Integers, depth_px: float) -> int:
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
