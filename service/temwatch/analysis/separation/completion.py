"""Compiled kernels of the contour method: from groups of arcs to the pixels of particles."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.connected_components import crop_component, label_runs, largest_values, pack_crops
from temwatch.analysis.measurement.outline import visible_fraction
from temwatch.analysis.separation.arcs import Arcs
from temwatch.analysis.separation.contour_parameters import PARAMETERS
from temwatch.analysis.separation.distance import squared_distances
from temwatch.analysis.separation.ellipse_fitting import (
    Floats,
    Integers,
    fill_polygon,
    fit_ellipse,
    total_sums,
)
from temwatch.analysis.separation.grouping import points_of_group
from temwatch.analysis.separation.hulls import direction, hidden_gap, is_seen, measure_hull, wrap_angle
from temwatch.analysis.separation.likelihood import most_likely_ellipse, stretch

HULL_NOISE_PX = PARAMETERS.hull_noise_px
HULL_ROUGHNESS = PARAMETERS.hull_roughness
SHAPE_NOISE_PX = PARAMETERS.shape_noise_px
SHAPE_ECCENTRICITY = PARAMETERS.shape_eccentricity
MAX_ASPECT_RATIO = PARAMETERS.max_aspect_ratio
STRAIGHT_HIDDEN_SHARE = PARAMETERS.straight_hidden_share
ELLIPSE_MISFIT = PARAMETERS.ellipse_misfit
MOSTLY_HIDDEN_SHARE = PARAMETERS.mostly_hidden_share
ROUND_ECCENTRICITY = PARAMETERS.round_eccentricity
ROUND_MISFIT = PARAMETERS.round_misfit
MIN_ELLIPSE_WITHIN = PARAMETERS.min_ellipse_within
CURVE_POINTS = PARAMETERS.curve_points
ELLIPSE_POINTS = PARAMETERS.ellipse_points
MIN_NEW_AREA = PARAMETERS.min_new_area
FRAGMENT_AREAS = PARAMETERS.fragment_areas
FRAGMENT_SEEN_SHARE = PARAMETERS.fragment_seen_share
SPECK_DEVIATIONS = PARAMETERS.speck_deviations
LEFT_OVER_RADII = PARAMETERS.left_over_radii
LEFT_OVER_PX = PARAMETERS.left_over_px


@njit(cache=True, nogil=True)
def complete_particles(
    mask: NDArray[np.bool_], arcs: Arcs, group: Integers, prior: Floats
) -> tuple[NDArray[np.bool_], Integers]:
    """Pixels of the particles that groups of arcs belong to.

    Parameters
    ----------
    mask
        The clump with a margin of background.
    arcs, group
        Its arcs, and the number of the group of each.
    prior
        See `grouping.group_arcs`.

    Returns
    -------
    pixels
        The particles' crops, one after the other.
    parts
        (n, 5) where in `pixels` a crop begins; its top, left, height and width.
    """
    shares = np.ones(len(group), np.float64)
    shapes = [np.empty((0, 2), np.float64) for _ in range(2 * len(group))]
    for number in range(len(group)):
        members = group == number
        if members.any():
            points, along = points_of_group(arcs.points, arcs.along, arcs.starts, members)
            if len(points) >= 5:
                shares[number], shapes[2 * number], shapes[2 * number + 1] = _shape(
                    points, along, arcs, members, mask, prior
                )
    covered = np.full(mask.shape, -1, np.int64)
    crops = [(0, 0, np.zeros((0, 0), np.bool_)) for _ in range(0)]
    for number in np.argsort(shares, kind="mergesort"):
        if len(shapes[2 * number]) == 0:
            continue
        top, left, crop = _painted(shapes[2 * number], shapes[2 * number + 1], mask)
        area = new = 0
        for row in range(crop.shape[0]):
            for column in range(crop.shape[1]):
                if crop[row, column]:
                    area += 1
                    new += covered[top + row, left + column] < 0
        if area and new >= MIN_NEW_AREA * area:
            for row in range(crop.shape[0]):
                for column in range(crop.shape[1]):
                    if crop[row, column] and covered[top + row, left + column] < 0:
                        covered[top + row, left + column] = len(crops)
            crops.append((top, left, crop))
    return _packed(_with_left_overs(mask, covered, _without_fragments(mask, covered, crops)))


@njit(cache=True, nogil=True)
def _without_fragments(
    mask: NDArray[np.bool_], covered: Integers, crops: list[tuple[int, int, NDArray[np.bool_]]]
) -> list[tuple[int, int, NDArray[np.bool_]]]:
    """Leave out what is much smaller than the clump's other particles, and mostly guessed."""
    areas = np.array([np.count_nonzero(crop) for _, _, crop in crops])
    least = FRAGMENT_AREAS * np.median(areas) if len(areas) else 0.0
    kept = [(0, 0, np.zeros((0, 0), np.bool_)) for _ in range(0)]
    renamed = np.full(len(crops) + 1, -1, np.int64)
    for index, (top, left, crop) in enumerate(crops):
        if areas[index] >= least or visible_fraction(crop, mask, top, left) >= FRAGMENT_SEEN_SHARE:
            renamed[index] = len(kept)
            kept.append((top, left, crop))
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            covered[row, column] = renamed[covered[row, column]]
    return kept


@njit(cache=True, nogil=True)
def _shape(
    points: Floats,
    along: Floats,
    arcs: Arcs,
    members: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    prior: Floats,
) -> tuple[float, Floats, Floats]:
    """Hidden share of a particle's outline, its hull, and a polygon beyond that (or none)."""
    hull, hidden, perimeter, area, _, _, _ = measure_hull(points, along)
    polygon = points[hull]
    least = prior[0] - SPECK_DEVIATIONS * prior[1]
    share = hidden / perimeter if perimeter > 0 else 1.0
    if share <= STRAIGHT_HIDDEN_SHARE:
        return share, polygon, points[:0]
    if prior[3] < math.inf:
        ellipse = most_likely_ellipse(arcs, members, prior)
        if ellipse[2] < least:
            return share, points[:0], points[:0]
        return share, _around(ellipse, points, along), points[:0]
    if share < MOSTLY_HIDDEN_SHARE and math.log(max(area, 1.0) / math.pi) / 2 < least:
        return share, points[:0], points[:0]
    tolerance = HULL_NOISE_PX + HULL_ROUGHNESS * math.sqrt(area / math.pi)
    sums = total_sums(arcs.sums, members)
    for attempt in range(2 if share >= MOSTLY_HIDDEN_SHARE else 1):
        ellipse = fit_ellipse(sums, SHAPE_NOISE_PX, ROUND_ECCENTRICITY if attempt else SHAPE_ECCENTRICITY)
        misfit = ROUND_MISFIT if attempt else ELLIPSE_MISFIT
        if 0 < ellipse[2] < MAX_ASPECT_RATIO * ellipse[3] and ellipse[5] <= misfit * tolerance:
            curve = _ellipse(ellipse, arcs.centre)
            if _area_within(curve, mask) >= MIN_ELLIPSE_WITHIN * math.pi * ellipse[2] * ellipse[3]:
                return share, polygon, curve
    return share, polygon, _continued(points, along, hull)


@njit(cache=True, nogil=True)
def _ellipse(ellipse: Floats, centre: Floats) -> Floats:
    curve = np.empty((80, 2), np.float64)
    for index in range(80):
        angle = 2 * math.pi * index / 80
        x, y = ellipse[2] * math.cos(angle), ellipse[3] * math.sin(angle)
        curve[index, 0] = centre[0] + ellipse[0] + x * math.sin(ellipse[4]) + y * math.cos(ellipse[4])
        curve[index, 1] = centre[1] + ellipse[1] + x * math.cos(ellipse[4]) - y * math.sin(ellipse[4])
    return curve


@njit(cache=True, nogil=True)
def _around(ellipse: Floats, points: Floats, along: Floats) -> Floats:
    """Polygon around an ellipse's centre: arcs where they are seen, the ellipse where they are not."""
    size = math.exp(ellipse[2])
    a, b, d = stretch(ellipse[3], ellipse[4])
    total = len(points)
    polygon = np.empty((total + ELLIPSE_POINTS, 2), np.float64)
    angles = np.empty(total + ELLIPSE_POINTS, np.float64)
    for index in range(total):
        y, x = (points[index, 0] - ellipse[0]) / size, (points[index, 1] - ellipse[1]) / size
        angles[index] = math.atan2(a * y - b * x, d * x - b * y)
        polygon[index] = points[index]
    sector_seen = np.zeros(ELLIPSE_POINTS, np.bool_)
    for index in range(total - 1):
        step = math.hypot(points[index + 1, 0] - points[index, 0], points[index + 1, 1] - points[index, 1])
        if is_seen(along, index, index + 1, step):
            turn = wrap_angle(angles[index + 1] - angles[index])
            parts = int(abs(turn) / (2 * math.pi) * ELLIPSE_POINTS) + 1
            for part in range(parts + 1):
                angle = wrap_angle(angles[index] + turn * part / parts)
                sector_seen[int((angle + math.pi) / (2 * math.pi) * ELLIPSE_POINTS) % ELLIPSE_POINTS] = True
    for sector in range(ELLIPSE_POINTS):
        if not sector_seen[sector]:
            angle = (sector + 0.5) / ELLIPSE_POINTS * 2 * math.pi - math.pi
            x, y = size * math.cos(angle), size * math.sin(angle)
            polygon[total, 0], polygon[total, 1] = ellipse[0] + b * x + d * y, ellipse[1] + a * x + b * y
            angles[total] = angle
            total += 1
    return polygon[np.argsort(angles[:total], kind="mergesort")]


@njit(cache=True, nogil=True)
def _continued(points: Floats, along: Floats, hull: Integers) -> Floats:
    """Polygon of a hull whose hidden edges go on in the directions in which the arcs end.

    Each is a cubic Bezier curve that would be the arc of a circle if both ends turned by the same angle.
    """
    size = len(hull)
    polygon = np.empty((size * (CURVE_POINTS + 2), 2), np.float64)
    count = 0
    for index in range(size):
        a, b = hull[index], hull[(index + 1) % size]
        polygon[count] = points[a]
        count += 1
        down, right = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        length = math.hypot(down, right)
        if is_seen(along, a, b, length):
            continue
        a, b = hidden_gap(points, along, a, b)
        down, right = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        length = math.hypot(down, right)
        polygon[count] = points[a]
        count += 1
        if length < 3:
            continue
        way = math.atan2(down, right)
        leaving = min(max(wrap_angle(way - direction(points, along, a, -1)), 0.0), math.pi / 2)
        arriving = min(max(wrap_angle(direction(points, along, b, 1) - way), 0.0), math.pi / 2)
        turn = max(leaving + arriving, 1e-3)
        handle = length * (4 / 3) * math.tan(turn / 4) / (2 * math.sin(turn / 2))
        for step in range(1, CURVE_POINTS):
            u = step / CURVE_POINTS
            w0, w1, w2, w3 = (1 - u) ** 3, 3 * u * (1 - u) ** 2, 3 * u * u * (1 - u), u**3
            polygon[count, 0] = (
                w0 * points[a, 0]
                + w1 * (points[a, 0] + handle * math.sin(way - leaving))
                + w2 * (points[b, 0] - handle * math.sin(way + arriving))
                + w3 * points[b, 0]
            )
            polygon[count, 1] = (
                w0 * points[a, 1]
                + w1 * (points[a, 1] + handle * math.cos(way - leaving))
                + w2 * (points[b, 1] - handle * math.cos(way + arriving))
                + w3 * points[b, 1]
            )
            count += 1
        polygon[count] = points[b]
        count += 1
    return polygon[:count]


@njit(cache=True, nogil=True)
def _box(a: Floats, b: Floats, mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of two polygons, and so much around them as left overs may add."""
    top, left = a[:, 0].min(), a[:, 1].min()
    bottom, right = a[:, 0].max(), a[:, 1].max()
    if len(b):
        top, left = min(top, b[:, 0].min()), min(left, b[:, 1].min())
        bottom, right = max(bottom, b[:, 0].max()), max(right, b[:, 1].max())
    margin = LEFT_OVER_PX + 1
    return (
        max(math.floor(top - margin), 0),
        max(math.floor(left - margin), 0),
        min(math.ceil(bottom + margin), mask.shape[0]),
        min(math.ceil(right + margin), mask.shape[1]),
    )


@njit(cache=True, nogil=True)
def _painted(a: Floats, b: Floats, mask: NDArray[np.bool_]) -> tuple[int, int, NDArray[np.bool_]]:
    """What of a clump lies in either of two polygons: top and left of a crop, and its pixels."""
    top, left, bottom, right = _box(a, b, mask)
    crop = np.zeros((bottom - top, right - left), np.bool_)
    view = mask[top:bottom, left:right]
    fill_polygon(a, top, left, view, crop)
    if len(b):
        fill_polygon(b, top, left, view, crop)
    return top, left, crop


@njit(cache=True, nogil=True)
def _area_within(polygon: Floats, mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(_painted(polygon, polygon[:0], mask)[2]))


@njit(cache=True, nogil=True)
def _with_left_overs(
    mask: NDArray[np.bool_], covered: Integers, crops: list[tuple[int, int, NDArray[np.bool_]]]
) -> list[tuple[int, int, NDArray[np.bool_]]]:
    """The particles, and those that are made of what none of them explains."""
    radii = np.array([math.sqrt(np.count_nonzero(crop) / math.pi) for _, _, crop in crops])
    least = max(LEFT_OVER_RADII * np.median(radii), LEFT_OVER_PX) if len(radii) else LEFT_OVER_PX
    left = mask & (covered < 0)
    depth = squared_distances(left)
    runs, number, area, box = label_runs(left, 1)
    deepest = largest_values(runs, number, len(area), depth)
    for part in range(len(area)):
        if deepest[part] > least * least:
            crops.append((box[part, 0], box[part, 1], crop_component(runs, number, box, part)))
    rest = [(0, 0) for _ in range(0)]
    for run in range(len(runs)):
        if deepest[number[run]] <= least * least:
            for column in range(runs[run, 1], runs[run, 2]):
                rest.append((runs[run, 0], column))
    for _ in range(int(LEFT_OVER_PX)):
        given = [(0, 0, np.int64(0)) for _ in range(0)]
        for row, column in rest:
            if covered[row, column] < 0:
                # the margin of background lets every pixel of the clump have neighbours
                owner = max(
                    covered[row - 1, column],
                    covered[row + 1, column],
                    covered[row, column - 1],
                    covered[row, column + 1],
                )
                if owner >= 0:
                    given.append((row, column, owner))
        for row, column, owner in given:
            covered[row, column] = owner
            top, first, crop = crops[owner]
            crop[row - top, column - first] = True
    return crops


@njit(cache=True, nogil=True)
def _packed(
    crops: list[tuple[int, int, NDArray[np.bool_]]],
) -> tuple[NDArray[np.bool_], Integers]:
    """The largest connected part of each crop, tight."""
    parts = np.empty((len(crops), 5), np.int64)
    tight = [np.zeros((0, 0), np.bool_) for _ in range(0)]
    for top, left, crop in crops:
        runs, number, area, box = label_runs(crop, 1)
        if len(area) == 0:
            continue
        largest = int(np.argmax(area))
        piece = crop_component(runs, number, box, largest)
        part = parts[len(tight)]
        part[1], part[2] = top + box[largest, 0], left + box[largest, 1]
        part[3], part[4] = piece.shape
        tight.append(piece)
    pixels, begins = pack_crops(tight)
    parts[: len(tight), 0] = begins[:-1]
    return pixels, parts[: len(tight)]
