"""Compiled kernels of the contour method: the outlines of a clump and the arcs between their concave points.

Points are (row, column) in px with the corner of the crop's first pixel at (0, 0), its centre at (0.5, 0.5).
Every outline runs with the clump on its right, clockwise on the screen, the outlines of holes too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.connected_components import crop_component, label_runs
from temwatch.analysis.measurement.outline import trace
from temwatch.analysis.separation.contour_parameters import PARAMETERS
from temwatch.analysis.separation.ellipse_fitting import Floats, Integers, conic_sums

CONCAVE_TURN_RAD = PARAMETERS.concave_turn_rad
SMOOTHING_PX = PARAMETERS.smoothing_px
SMOOTHING_RADII = PARAMETERS.smoothing_radii
MAX_SMOOTHING_PX = PARAMETERS.max_smoothing_px
CAVITY_PX = PARAMETERS.cavity_px
ARC_SAMPLES = PARAMETERS.arc_samples
OUTLINE_STRIDE = PARAMETERS.outline_stride


class Arcs(NamedTuple):
    """The arcs of a clump.

    Attributes
    ----------
    points, along
        (n, 2) points of all arcs one after the other, and (n, 3) for each the outline it lies on, how far
        along in px, and that outline's length in px.
    starts
        (m + 1,) where each arc begins in `points`.
    sums
        (m, 6, 6) `conic_sums` of each about `centre`.
    centre
        (2,).
    outline
        (k, 2) points of all outlines.
    middles
        (m, 2) the point in the middle of each arc.
    radius
        Median inscribed radius of the clump.
    """

    points: Floats
    along: Floats
    starts: Integers
    sums: Floats
    centre: Floats
    outline: Floats
    middles: Floats
    radius: float


@njit(cache=True, nogil=True)
def find_arcs(mask: NDArray[np.bool_], squared: Integers) -> Arcs:
    """Cut the outlines of a clump at their concave points.

    Parameters
    ----------
    mask, squared
        The clump with a margin of background, and its `squared_distances`.
    """
    points, loops = outlines(mask)
    radius = _inscribed_radius(squared)
    coarse = gaussian(min(max(SMOOTHING_PX, SMOOTHING_RADII * radius), MAX_SMOOTHING_PX))
    fine = gaussian(SMOOTHING_PX)
    centre = np.empty(2, np.float64)
    centre[0], centre[1] = points[:, 0].mean(), points[:, 1].mean()
    found = [(points[:0], points[:0], np.zeros((6, 6), np.float64)) for _ in range(0)]
    for loop in range(len(loops) - 1):
        closed = points[loops[loop] : loops[loop + 1]]
        count = len(closed)
        if count < 8:
            continue
        cuts = _concave_points(smooth_closed(closed, coarse), CONCAVE_TURN_RAD)
        if len(cuts) == 0 and loop > 0:
            continue
        way = _lengths(smooth_closed(closed, fine))
        for index in range(max(len(cuts), 1)):
            first = cuts[index] if len(cuts) else 0
            last = cuts[(index + 1) % len(cuts)] if len(cuts) else count - 1
            length = last - first + 1 if last > first else last + count - first + 1
            arc = np.empty((length, 2), np.float64)
            along = np.empty((length, 3), np.float64)
            for step in range(length):
                place = (first + step) % count
                arc[step] = closed[place]
                along[step, 0], along[step, 1], along[step, 2] = loop, way[place], way[count]
            if length < 3 or _is_cavity(arc, loop > 0):
                continue
            found.append((_smooth_open(arc, fine), along, conic_sums(arc, centre)))
    return _packed(found, centre, points[::OUTLINE_STRIDE].copy(), radius)


@njit(cache=True, nogil=True)
def _packed(
    found: list[tuple[Floats, Floats, Floats]], centre: Floats, outline: Floats, radius: float
) -> Arcs:
    total = 0
    for arc, _, _ in found:
        total += min(len(arc), ARC_SAMPLES)
    points = np.empty((total, 2), np.float64)
    along = np.empty((total, 3), np.float64)
    starts = np.zeros(len(found) + 1, np.int64)
    sums = np.empty((len(found), 6, 6), np.float64)
    middles = np.empty((len(found), 2), np.float64)
    at = 0
    for index, (arc, places, conic) in enumerate(found):
        count = min(len(arc), ARC_SAMPLES)
        for sample in range(count):
            chosen = sample * (len(arc) - 1) // (count - 1)
            points[at] = arc[chosen]
            along[at] = places[chosen]
            at += 1
        starts[index + 1] = at
        sums[index] = conic
        middles[index] = arc[len(arc) // 2]
    return Arcs(points, along, starts, sums, centre, outline, middles, radius)


@njit(cache=True, nogil=True)
def _inscribed_radius(squared: Integers) -> float:
    """Radius of discs inscribed at peaks of the distance transform; half of their area is in larger ones."""
    height, width = squared.shape
    peaks = [0.0 for _ in range(0)]
    for row in range(height):
        for column in range(width):
            here = squared[row, column]
            if here > 4 and _is_highest(squared, row, column, 1):
                radius = math.sqrt(here)
                if _is_highest(squared, row, column, max(3, int(radius / 2))):
                    peaks.append(radius)
    if not len(peaks):
        return 1.0
    radii = np.sort(np.array(peaks))
    # by area: a long ridge has many peaks
    covered = np.cumsum(radii**2)
    return float(radii[np.searchsorted(covered, covered[-1] / 2)])


@njit(cache=True, nogil=True)
def _is_highest(squared: Integers, row: int, column: int, reach: int) -> bool:
    for near in range(max(row - reach, 0), min(row + reach + 1, squared.shape[0])):
        for beside in range(max(column - reach, 0), min(column + reach + 1, squared.shape[1])):
            if squared[near, beside] > squared[row, column]:
                return False
    return True


@njit(cache=True, nogil=True)
def _lengths(curve: Floats) -> Floats:
    """(n + 1,) length of a closed curve up to each of its points, and of the whole."""
    count = len(curve)
    way = np.zeros(count + 1, np.float64)
    for index in range(count):
        after = (index + 1) % count
        way[index + 1] = way[index] + math.hypot(
            curve[after, 0] - curve[index, 0], curve[after, 1] - curve[index, 1]
        )
    return way


@njit(cache=True, nogil=True)
def _is_cavity(arc: Floats, of_hole: bool) -> bool:
    """Whether an arc bends inwards, away from its chord to the right."""
    down, right = arc[-1, 0] - arc[0, 0], arc[-1, 1] - arc[0, 1]
    chord = math.hypot(down, right)
    if chord == 0:
        return of_hole
    total = 0.0
    for index in range(len(arc)):
        total += down * (arc[index, 1] - arc[0, 1]) - right * (arc[index, 0] - arc[0, 0])
    return total / chord / len(arc) < -CAVITY_PX


@njit(cache=True, nogil=True)
def outlines(mask: NDArray[np.bool_]) -> tuple[Floats, Integers]:
    """Midpoints of the cracks around a clump and around its holes; `mask` has a margin of background.

    Returns
    -------
    points
        (n, 2).
    starts
        (m + 1,) where each closed outline begins in `points`.
    """
    total = 0
    pieces = [np.empty((0, 2), np.float64) for _ in range(0)]
    corners, _, _ = trace(mask)
    piece = midpoints(corners)
    pieces.append(piece)
    total += len(piece)
    runs, number, area, box = label_runs(~mask, 0)
    for part in range(len(area)):
        if box[part, 0] == 0 or area[part] < 3:
            continue
        corners, _, _ = trace(crop_component(runs, number, box, part))
        piece = midpoints(corners)[::-1].copy()
        piece[:, 0] += box[part, 0]
        piece[:, 1] += box[part, 1]
        pieces.append(piece)
        total += len(piece)
    points = np.empty((total, 2), np.float64)
    starts = np.zeros(len(pieces) + 1, np.int64)
    for index, piece in enumerate(pieces):
        starts[index + 1] = starts[index] + len(piece)
        points[starts[index] : starts[index + 1]] = piece
    return points, starts


@njit(cache=True, nogil=True)
def midpoints(corners: Integers) -> Floats:
    """Midpoints of the cracks between the corners of an outline, (n, 2)."""
    total = 0
    count = len(corners)
    for index in range(count):
        after = (index + 1) % count
        total += abs(corners[after, 0] - corners[index, 0]) + abs(corners[after, 1] - corners[index, 1])
    points = np.empty((total, 2), np.float64)
    at = 0
    for index in range(count):
        after = (index + 1) % count
        down, right = corners[after, 0] - corners[index, 0], corners[after, 1] - corners[index, 1]
        steps = abs(down) + abs(right)
        for step in range(steps):
            points[at, 0] = corners[index, 0] + down * (step + 0.5) / steps
            points[at, 1] = corners[index, 1] + right * (step + 0.5) / steps
            at += 1
    return points


@njit(cache=True, nogil=True)
def gaussian(sigma: float) -> Floats:
    """Half of a Gaussian kernel from its centre outwards, normalised as a whole."""
    reach = math.ceil(3 * sigma)
    kernel = np.empty(reach + 1, np.float64)
    for index in range(reach + 1):
        kernel[index] = math.exp(-0.5 * (index / sigma) ** 2)
    normalised: Floats = kernel / (2 * kernel.sum() - kernel[0])
    return normalised


@njit(cache=True, nogil=True)
def smooth_closed(points: Floats, kernel: Floats) -> Floats:
    """A closed curve, smoothed."""
    margin, count = len(kernel) - 1, len(points)
    extended = np.empty((count + 2 * margin, 2), np.float64)
    for index in range(len(extended)):
        extended[index] = points[(index - margin) % count]
    return _convolved(extended, kernel)


@njit(cache=True, nogil=True)
def _smooth_open(points: Floats, kernel: Floats) -> Floats:
    """A curve with two ends, smoothed; beyond an end it goes on as its point reflection."""
    margin, count = len(kernel) - 1, len(points)
    extended = np.empty((count + 2 * margin, 2), np.float64)
    extended[margin : margin + count] = points
    for away in range(1, margin + 1):
        extended[margin - away] = 2 * points[0] - points[min(away, count - 1)]
        extended[margin + count - 1 + away] = 2 * points[-1] - points[max(count - 1 - away, 0)]
    return _convolved(extended, kernel)


@njit(cache=True, nogil=True)
def _convolved(extended: Floats, kernel: Floats) -> Floats:
    """A curve that goes on beyond both ends by the reach of the kernel, smoothed without these parts."""
    margin = len(kernel) - 1
    result = np.empty((len(extended) - 2 * margin, 2), np.float64)
    for index in range(len(result)):
        for axis in range(2):
            value = kernel[0] * extended[margin + index, axis]
            for away in range(1, len(kernel)):
                value += kernel[away] * (
                    extended[margin + index + away, axis] + extended[margin + index - away, axis]
                )
            result[index, axis] = value
    return result


@njit(cache=True, nogil=True)
def _concave_points(curve: Floats, least_turn: float) -> Integers:
    """Indices where a closed smooth curve turns the wrong way by at least `least_turn` rad in one run."""
    count = len(curve)
    turn = np.empty(count, np.float64)
    for index in range(count):
        before, after = curve[(index - 1) % count], curve[(index + 1) % count]
        here = curve[index]
        in_row, in_column = here[0] - before[0], here[1] - before[1]
        out_row, out_column = after[0] - here[0], after[1] - here[1]
        turn[index] = math.atan2(
            in_column * out_row - in_row * out_column, in_row * out_row + in_column * out_column
        )
    begin = -1
    for index in range(count):
        if turn[index] >= 0:
            begin = index
            break
    found = np.empty(count, np.int64)
    number = 0
    if begin < 0:
        return found[:0]
    total = deepest = 0.0
    place = -1
    for step in range(1, count + 1):
        index = (begin + step) % count
        if turn[index] < 0:
            total += turn[index]
            if turn[index] < deepest:
                deepest, place = turn[index], index
        else:
            if total <= -least_turn:
                found[number] = place
                number += 1
            total = deepest = 0.0
            place = -1
    return np.sort(found[:number])
