"""How far the field has moved: masks correlated for a guess, particles compared for the fraction of a pixel.

The first guess is the shift under which the mask of a frame covers the particles known so far: either none
since the last frame, or a peak of the cross-correlation (which finds jumps). Each guess is judged by
the particles that come to lie on a known one of their own size. The best is refined to the robust mean of the
displacements, so that particles which move, vanish or merge have no say in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

from temwatch.domain import Mask

Points = NDArray[np.float64]
Values = NDArray[np.float64]

GRID = 512
"""Cells that the longer side of a mask is brought to at most before it is correlated."""

CELL_DIAMETERS = 0.25
"""Side of a cell in median diameters: finer cells tell nothing more about where a particle lies."""

PEAKS = 6
"""Maxima of the correlation that are looked at: in a regular array the highest need not be the true one."""

CONVINCING = 0.6
"""Agreement from which the field is taken to have stayed where it was, without a correlation."""

CREDIBLE = 0.25
"""Agreement below which no shift is believed: the field is taken to have stayed where it was."""

SIZE_SCALE = 0.2
"""Difference of the logarithms of two diameters at which they hardly belong to the same particle."""

ROUNDS = 6

LEAST_SCATTER_PX = 0.1


class Known(NamedTuple):
    """What the frame is held against: centres (row, column), drift-corrected, diameters and confidence."""

    positions_px: Points
    diameters_px: Values
    weights: Values


class Drift(NamedTuple):
    """Shift of a frame against the known particles (row, column), and how well it agrees, 0 to 1."""

    shift_px: Points
    agreement: float


def spacing_px(positions_px: Points) -> float:
    """Median distance to the nearest neighbour; infinite for fewer than two particles."""
    if len(positions_px) < 2:
        return float("inf")
    return float(np.median(cKDTree(positions_px).query(positions_px, k=2)[0][:, 1]))


def measure_drift(
    mask: Mask, centroids_px: Points, diameters_px: Values, known: Known, last_px: Points
) -> Drift:
    """Shift of a frame against the particles known so far.

    Parameters
    ----------
    mask : bool, (y, x)
        Segmentation of the frame.
    centroids_px, diameters_px : float64, (N, 2) and (N,)
        Its particles.
    known : Known
        Particles of earlier frames in drift-corrected coordinates: position = centroid - shift.
    last_px : float64, (2,)
        Shift of the last frame.

    Returns
    -------
    The shift, exact to a small part of a pixel where particles abound; `last_px` with agreement 0 where
    nothing can be compared.
    """
    if not len(centroids_px) or not len(known.positions_px):
        return Drift(last_px, 0.0)
    diameter_px = float(np.median(known.diameters_px))
    tolerance_px = min(0.35 * spacing_px(known.positions_px), diameter_px)
    tree = cKDTree(known.positions_px)

    def judged(shift_px: Points) -> Drift:
        refined = _refined(centroids_px, diameters_px, known, tree, shift_px, tolerance_px)
        return Drift(refined, _agreement(centroids_px, diameters_px, known, tree, refined, tolerance_px))

    stayed = judged(last_px)
    if stayed.agreement >= CONVINCING:
        return stayed
    found = [judged(peak) for peak in _peaks(mask, known, last_px, diameter_px)]
    best = max([stayed, *found], key=lambda drift: drift.agreement)
    return best if best.agreement >= CREDIBLE else Drift(last_px, best.agreement)


def _likeness(
    centroids_px: Points,
    diameters_px: Values,
    known: Known,
    tree: cKDTree,
    shift_px: Points,
    tolerance_px: float,
) -> tuple[Points, Values, NDArray[np.int64]]:
    """Displacement of each particle from the nearest known one, likeness of the two, and which one."""
    moved = centroids_px - shift_px
    distance_px, nearest = tree.query(moved)
    sizes = np.log(diameters_px / known.diameters_px[nearest]) / SIZE_SCALE
    likeness = np.exp(-0.5 * ((2 * distance_px / tolerance_px) ** 2 + np.minimum(sizes**2, 4.0)))
    return moved - known.positions_px[nearest], likeness, nearest


def _agreement(
    centroids_px: Points,
    diameters_px: Values,
    known: Known,
    tree: cKDTree,
    shift_px: Points,
    tolerance_px: float,
) -> float:
    """Mean likeness over the particles of the frame or the known ones, whichever are fewer."""
    _, likeness, nearest = _likeness(centroids_px, diameters_px, known, tree, shift_px, tolerance_px)
    best = np.zeros(len(known.positions_px))
    np.maximum.at(best, nearest, likeness)
    return float(best.sum() / min(len(centroids_px), len(known.positions_px)))


def _refined(
    centroids_px: Points,
    diameters_px: Values,
    known: Known,
    tree: cKDTree,
    shift_px: Points,
    tolerance_px: float,
) -> Points:
    """Mean of the displacements, again and again with weights that fall with the distance from it.

    At last the weights fall with the scatter of most particles, so that the few that really move count
    for nothing (Welsch's estimator: P. W. Holland, R. E. Welsch, Commun. Stat. 1977, 6, 813).
    """
    shift = shift_px
    for _ in range(ROUNDS):
        displacement, likeness, nearest = _likeness(
            centroids_px, diameters_px, known, tree, shift, tolerance_px
        )
        weights = likeness * known.weights[nearest]
        if weights.sum() <= 1e-9:
            return shift_px
        step = weights @ displacement / weights.sum()
        shift, displacement = shift + step, displacement - step
        if np.hypot(*step) < 0.02 * tolerance_px:
            break
    for _ in range(4 * ROUNDS):
        closer = weights * _closeness(displacement, weights)
        step = closer @ displacement / closer.sum()
        shift, displacement = shift + step, displacement - step
        if np.hypot(*step) < 1e-3:
            break
    return np.asarray(shift, np.float64)


def _closeness(displacement_px: Points, weights: Values) -> Values:
    """Weights that fall with the distance in widths of the scatter, which is taken from the closer half."""
    distance_px = np.hypot(*displacement_px.T)
    order = np.argsort(distance_px)
    half = np.searchsorted(np.cumsum(weights[order]), 0.5 * weights.sum())
    width_px = max(float(distance_px[order[half]]), LEAST_SCATTER_PX)
    return np.asarray(np.exp(-0.5 * (distance_px / width_px) ** 2))


def _peaks(mask: Mask, known: Known, last_px: Points, diameter_px: float) -> list[Points]:
    """The shifts of the highest maxima of the cross-correlation between the mask and the known particles."""
    step = max(1, -(-max(mask.shape) // GRID), int(CELL_DIAMETERS * diameter_px))
    now = coverage(mask, step)
    then = _discs(known.positions_px + last_px, known.diameters_px, step, now.shape)
    if now.min() == now.max() or then.min() == then.max():
        return []
    size = [fft.next_fast_len(side, real=True) for side in now.shape]
    spectrum = fft.rfft2(now - now.mean(), size) * np.conj(fft.rfft2(then - then.mean(), size))
    correlation = np.asarray(fft.irfft2(spectrum, size))
    return [last_px + step * peak for peak in _maxima(correlation)]


def _maxima(correlation: NDArray[np.float32]) -> list[Points]:
    """Places of the highest local maxima of a cyclic array, between cells by parabolas, around the origin."""
    shape = np.array(correlation.shape)
    higher = np.ones(correlation.shape, bool)
    for axis, towards in ((0, 1), (0, -1), (1, 1), (1, -1)):
        higher &= correlation >= np.roll(correlation, towards, axis)
    rows, columns = np.nonzero(higher)
    order = np.argsort(-correlation[rows, columns], kind="stable")[:PEAKS]
    found = []
    for place in np.stack([rows[order], columns[order]], axis=1):
        offset = np.zeros(2)
        for axis in (0, 1):
            unit = np.eye(2, dtype=int)[axis]
            before, after = (correlation[tuple((place + sign * unit) % shape)] for sign in (-1, 1))
            bend = float(before - 2 * correlation[tuple(place)] + after)
            offset[axis] = 0.5 * float(before - after) / bend if bend < 0 else 0.0
        found.append((place + shape // 2) % shape - shape // 2 + np.clip(offset, -0.5, 0.5))
    return found


@njit(cache=True, nogil=True)
def coverage(mask: Mask, step: int) -> NDArray[np.float32]:
    """Share of each cell of `step` x `step` pixels that the mask covers, an incomplete last one too."""
    height, width = mask.shape
    cells = np.zeros((-(-height // step), -(-width // step)), np.float32)
    for row in range(height):
        for column in range(width):
            if mask[row, column]:
                cells[row // step, column // step] += 1
    return cells * np.float32(1 / (step * step))


@njit(cache=True, nogil=True)
def _discs(
    positions_px: Points, diameters_px: Values, step: int, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Discs on the cells, each cell counted by its centre, small discs by the cell they lie in."""
    cells = np.zeros(shape, np.float32)
    for number in range(len(positions_px)):
        row, column = (positions_px[number] + 0.5) / step - 0.5
        radius = 0.5 * diameters_px[number] / step
        for y in range(max(0, int(row - radius)), min(shape[0], int(row + radius) + 2)):
            for x in range(max(0, int(column - radius)), min(shape[1], int(column + radius) + 2)):
                inside = radius + 0.5 - np.sqrt((y - row) ** 2 + (x - column) ** 2)
                cells[y, x] = max(cells[y, x], min(1.0, max(0.0, inside)))
    return cells
