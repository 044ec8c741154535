"""Compiled kernels of the contour method: which arcs belong to one particle.

The best pair is joined first. `likelihood` decides which is best where the micrograph's particles are known
and ellipses describe them. Otherwise particles are assumed to be convex: arcs of one particle then lie on the
outline of one convex shape, their hull. Where the hull runs along no arc, the outline is hidden inside the
clump.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.separation.arcs import Arcs
from temwatch.analysis.separation.contour_parameters import PARAMETERS
from temwatch.analysis.separation.distance import squared_distances
from temwatch.analysis.separation.ellipse_fitting import Floats, Integers, fit_ellipse, total_sums
from temwatch.analysis.separation.hulls import length_outside, measure_hull, points_inside
from temwatch.analysis.separation.likelihood import group_cost, largest_extent

HULL_NOISE_PX = PARAMETERS.hull_noise_px
HULL_ROUGHNESS = PARAMETERS.hull_roughness
HULL_SLACK = PARAMETERS.hull_slack
MAX_INWARD_TURN_RAD = PARAMETERS.max_inward_turn_rad
SHAPE_NOISE_PX = PARAMETERS.shape_noise_px
SHAPE_ECCENTRICITY = PARAMETERS.shape_eccentricity
MAX_HIDDEN_SHARE = PARAMETERS.max_hidden_share
MAX_ASPECT_RATIO = PARAMETERS.max_aspect_ratio
MAX_OUTSIDE_PX = PARAMETERS.max_outside_px
MAX_OUTSIDE_SHARE = PARAMETERS.max_outside_share
MAX_POINTS_INSIDE = PARAMETERS.max_points_inside
MAX_MISFIT = PARAMETERS.max_misfit
MISFIT_WEIGHT = PARAMETERS.misfit_weight
UNEVEN_WEIGHT = PARAMETERS.uneven_weight
JOIN_GAIN = PARAMETERS.join_gain
FACETTED_ROUGHNESS = PARAMETERS.facetted_roughness
GIANT_AREAS = PARAMETERS.giant_areas
GIANT_DEVIATIONS = PARAMETERS.giant_deviations
GIANT_HIDDEN_SHARE = PARAMETERS.giant_hidden_share

NOT_MEASURED = math.inf
"""Depth of a single arc in its hull before it is measured."""


@njit(cache=True, nogil=True)
def group_arcs(arcs: Arcs, mask: NDArray[np.bool_], prior: Floats) -> Integers:
    """Join arcs that are the outline of one particle, best first: (m,) number of the group of each.

    Parameters
    ----------
    arcs, mask
        Arcs of a clump, and the clump with a margin of background.
    prior
        What is expected of its particles, from `ParticlePrior.in_clump`. Where they are no ellipses, hulls
        decide.
    """
    count = len(arcs.starts) - 1
    group = np.arange(count)
    away = squared_distances(~mask)
    cost = np.empty(count, np.float64)
    depth = np.zeros(count, np.float64)
    for arc in range(count):
        cost[arc], depth[arc] = _single_cost(arcs, group == arc, prior, mask, away)
    gain = np.full((count, count), -1.0)
    best = np.full(count, -1.0)
    partner = np.zeros(count, np.int64)
    for a in range(count):
        for b in range(a + 1, count):
            gain[a, b] = _gain(a, b, group, arcs, prior, mask, away, cost, depth)
        _rank(a, gain, best, partner)
    while True:
        first = int(np.argmax(best)) if count else 0
        if count == 0 or best[first] <= 0:
            return group if prior[3] < math.inf else _without_giants(arcs, group, prior)
        second = partner[first]
        for arc in range(count):
            if group[arc] == second:
                group[arc] = first
        gain[second, :] = -1.0
        gain[:, second] = -1.0
        cost[first], depth[first] = _single_cost(arcs, group == first, prior, mask, away)
        for other in range(count):
            if group[other] == other and other != first:
                a, b = min(first, other), max(first, other)
                gain[a, b] = _gain(a, b, group, arcs, prior, mask, away, cost, depth)
        for a in range(count):
            if a in (first, second) or partner[a] in (first, second):
                _rank(a, gain, best, partner)
            elif a < first and gain[a, first] > best[a]:
                best[a], partner[a] = gain[a, first], first


@njit(cache=True, nogil=True)
def largest_hidden_share(arcs: Arcs, group: Integers) -> float:
    """Largest share of its hull's outline that is hidden of any group."""
    most = 0.0
    for number in range(len(group)):
        members = group == number
        if members.any():
            points, along = points_of_group(arcs.points, arcs.along, arcs.starts, members)
            if len(points) >= 3:
                _, hidden, perimeter, _, _, _, _ = measure_hull(points, along)
                most = max(most, hidden / perimeter)
    return most


@njit(cache=True, nogil=True)
def _single_cost(
    arcs: Arcs, members: NDArray[np.bool_], prior: Floats, mask: NDArray[np.bool_], away: Integers
) -> tuple[float, float]:
    """Cost of a group, and its depth in its hull where hulls decide."""
    if prior[3] < math.inf:
        likely = group_cost(arcs, members, prior, mask, away, math.inf)
        return likely, (
            _evidence(arcs, members, mask, NOT_MEASURED)[1] if prior[3] > FACETTED_ROUGHNESS else 0.0
        )
    cost, depth, _ = _evidence(arcs, members, mask, NOT_MEASURED)
    return cost, depth


@njit(cache=True, nogil=True)
def _rank(a: int, gain: Floats, best: Floats, partner: Integers) -> None:
    """Find again what a group is best joined with."""
    best[a] = -1.0
    for b in range(a + 1, len(best)):
        if gain[a, b] > best[a]:
            best[a] = gain[a, b]
            partner[a] = b


@njit(cache=True, nogil=True)
def _is_filled_between(arcs: Arcs, a: int, b: int, away: Integers) -> bool:
    """Whether the clump holds what lies between the middles of two arcs: a convex particle does."""
    first, second = arcs.middles[a], arcs.middles[b]
    down, right = second[0] - first[0], second[1] - first[1]
    length = math.hypot(down, right)
    margin = 2 * HULL_SLACK * (HULL_NOISE_PX + HULL_ROUGHNESS * max(arcs.radius, length / 2)) + 1
    steps = max(1, math.ceil(length))
    for step in range(steps):
        row = int(first[0] + down * (step + 0.5) / steps)
        column = int(first[1] + right * (step + 0.5) / steps)
        if away[row, column] > margin * margin:
            return False
    return True


@njit(cache=True, nogil=True)
def _without_giants(arcs: Arcs, group: Integers, prior: Floats) -> Integers:
    """Take apart again what became much larger than other particles, and is mostly guessed."""
    count = len(group)
    areas = np.zeros(count, np.float64)
    hidden_share = np.zeros(count, np.float64)
    for number in range(count):
        members = group == number
        if members.any():
            points, along = points_of_group(arcs.points, arcs.along, arcs.starts, members)
            if len(points) >= 3:
                _, hidden, perimeter, areas[number], _, _, _ = measure_hull(points, along)
                hidden_share[number] = hidden / perimeter
    limit = GIANT_AREAS * np.median(areas[areas > 0]) if (areas > 0).any() else 0.0
    limit = min(limit, math.pi * math.exp(2 * (prior[0] + GIANT_DEVIATIONS * prior[1])))
    result = group.copy()
    for number in range(count):
        if areas[number] > limit and hidden_share[number] > GIANT_HIDDEN_SHARE:
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
    prior: Floats,
    mask: NDArray[np.bool_],
    away: Integers,
    cost: Floats,
    depth: Floats,
) -> float:
    """What is won by taking two groups for one particle; not above 0 where they cannot be."""
    if prior[3] < math.inf:
        apart = arcs.middles[a] - arcs.middles[b]
        if math.hypot(apart[0], apart[1]) > largest_extent(prior) or not _is_filled_between(arcs, a, b, away):
            return -1.0
        both = cost[a] + cost[b]
        joined = (group == a) | (group == b)
        gain = float(both - group_cost(arcs, joined, prior, mask, away, both))
        # an ellipse is only a likeness of facetted particles, their hull is not
        if gain <= 0 or prior[3] <= FACETTED_ROUGHNESS:
            return gain
        _, _, fits = _evidence(arcs, joined, mask, max(depth[a], depth[b]))
        return gain if fits else -1.0
    if not _is_filled_between(arcs, a, b, away):
        return -1.0
    together, _, fits = _evidence(arcs, (group == a) | (group == b), mask, max(depth[a], depth[b]))
    if not fits:
        return -1.0
    return float(JOIN_GAIN * (cost[a] + cost[b]) - together)


@njit(cache=True, nogil=True)
def points_of_group(
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
    chosen, places = points_of_group(arcs.points, arcs.along, arcs.starts, members)
    if len(chosen) < 3:
        return 1.0, 0.0, False
    hull, hidden, perimeter, area, depth, uneven, inwards = measure_hull(chosen, places)
    radius = math.sqrt(area / math.pi)
    tolerance = HULL_NOISE_PX + HULL_ROUGHNESS * radius
    if known_depth != NOT_MEASURED:
        if inwards > MAX_INWARD_TURN_RAD or depth > known_depth + HULL_SLACK * tolerance:
            return 1.0, depth, False
        if (
            length_outside(chosen, hull, places, mask, HULL_SLACK * tolerance)
            > MAX_OUTSIDE_PX + MAX_OUTSIDE_SHARE * hidden
        ):
            return 1.0, depth, False
        if points_inside(arcs.outline, chosen, hull, HULL_SLACK * tolerance) > MAX_POINTS_INSIDE:
            return 1.0, depth, False
    ellipse = fit_ellipse(total_sums(arcs.sums, members), SHAPE_NOISE_PX, SHAPE_ECCENTRICITY)
    misfit = ellipse[5] / tolerance if ellipse[2] > 0 else MAX_MISFIT
    share = hidden / perimeter if perimeter > 0 else 1.0
    cost = share + MISFIT_WEIGHT * min(misfit, MAX_MISFIT) ** 2 + UNEVEN_WEIGHT * uneven
    if known_depth == NOT_MEASURED:
        return cost, depth, True
    # where little is seen, only an ellipse makes it likely that the arcs belong together
    is_ellipse = ellipse[2] > 0 and misfit <= 1 and ellipse[2] <= MAX_ASPECT_RATIO * ellipse[3]
    return cost, depth, is_ellipse or share <= MAX_HIDDEN_SHARE
