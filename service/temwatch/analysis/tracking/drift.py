"""How far the field has moved: masks correlated for a guess, particles compared for the fraction of a pixel.

The first guess is the shift under which the mask of a frame covers the particles known so far: either none
since the last frame, or a peak of the cross-correlation (which finds jumps). The score of a guess comes from
the particles that come to lie on a known one of their own size. The best is refined to the robust mean of the
displacements, so that particles which move, vanish or merge have no influence on it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

from temwatch.analysis.measurement.units import to_nm, to_px
from temwatch.analysis.tracking.parameters import PARAMETERS
from temwatch.domain import Mask

Points = NDArray[np.float64]
Values = NDArray[np.float64]


class Reference(NamedTuple):
    """The particles of earlier frames that a frame is compared with.

    `positions_nm` (N, 2) are (row, column) and drift-corrected: centroid - shift. `diameters_nm` and
    `weights` are (N,); a particle that was seen more often weighs more.
    """

    positions_nm: Points
    diameters_nm: Values
    weights: Values


class Drift(NamedTuple):
    """Shift of a frame against the reference in nm (row, column), and how well it agrees, 0 to 1."""

    shift_nm: Points
    agreement: float


class _FrameComparison(NamedTuple):
    """A frame and what it is compared with; `tree` holds the positions of the reference."""

    centroids_nm: Points
    diameters_nm: Values
    reference: Reference
    tree: cKDTree
    tolerance_nm: float
    pixel_size_nm: float


def median_spacing(positions: Points) -> float:
    """Median distance to the nearest neighbour, in the unit given; infinite for fewer than two particles."""
    if len(positions) < 2:
        return float("inf")
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))


def measure_drift(
    mask: Mask,
    centroids_nm: Points,
    diameters_nm: Values,
    reference: Reference,
    last_nm: Points,
    pixel_size_nm: float,
) -> Drift:
    """Shift of a frame against the particles known so far.

    Parameters
    ----------
    mask : bool, (y, x)
        Segmentation of the frame.
    centroids_nm, diameters_nm : float64, (N, 2) and (N,)
        Its particles.
    reference : Reference
        Particles of earlier frames in drift-corrected coordinates.
    last_nm : float64, (2,)
        Shift of the last frame.
    pixel_size_nm : float
        Edge of a pixel of the mask.

    Returns
    -------
    The shift, exact to a small part of a pixel where particles abound; `last_nm` with agreement 0 where
    nothing can be compared.
    """
    if not len(centroids_nm) or not len(reference.positions_nm):
        return Drift(last_nm, 0.0)
    diameter_nm = float(np.median(reference.diameters_nm))
    tolerance_nm = min(PARAMETERS.match_spacings * median_spacing(reference.positions_nm), diameter_nm)
    tree = cKDTree(reference.positions_nm)
    comparison = _FrameComparison(centroids_nm, diameters_nm, reference, tree, tolerance_nm, pixel_size_nm)

    stayed = _refined(comparison, last_nm)
    if stayed.agreement >= PARAMETERS.convincing_agreement:
        return stayed
    guesses = _correlation_peaks(mask, reference, last_nm, pixel_size_nm)
    best = max([stayed, *(_refined(comparison, guess) for guess in guesses)], key=lambda d: d.agreement)
    return best if best.agreement >= PARAMETERS.credible_agreement else Drift(last_nm, best.agreement)


def _refined(comparison: _FrameComparison, guess_nm: Points) -> Drift:
    """The shift near a guess, and how well the frame agrees with the reference under it."""
    shift_nm = _mean_shift(comparison, guess_nm)
    return Drift(shift_nm, _agreement(comparison, shift_nm))


def _likeness(comparison: _FrameComparison, shift_nm: Points) -> tuple[Points, Values, NDArray[np.int64]]:
    """Displacement of each particle from the nearest known one, likeness of the two, and which one."""
    reference = comparison.reference
    moved = comparison.centroids_nm - shift_nm
    distance_nm, nearest = comparison.tree.query(moved)
    sizes = np.log(comparison.diameters_nm / reference.diameters_nm[nearest]) / PARAMETERS.size_scale
    distances = 2 * distance_nm / comparison.tolerance_nm
    likeness = np.exp(-0.5 * (distances**2 + np.minimum(sizes**2, 4.0)))
    return moved - reference.positions_nm[nearest], likeness, nearest


def _agreement(comparison: _FrameComparison, shift_nm: Points) -> float:
    """Mean likeness over the particles of the frame or the known ones, whichever are fewer."""
    _, likeness, nearest = _likeness(comparison, shift_nm)
    best = np.zeros(len(comparison.reference.positions_nm))
    np.maximum.at(best, nearest, likeness)
    return float(best.sum() / min(len(comparison.centroids_nm), len(best)))


def _mean_shift(comparison: _FrameComparison, guess_nm: Points) -> Points:
    """Mean of the displacements, again and again with weights that fall with the distance from it.

    At last the weights fall with the scatter of most particles, so that the few that really move count
    for nothing (Welsch's estimator: P. W. Holland, R. E. Welsch, Commun. Stat. 1977, 6, 813).
    """
    shift = guess_nm
    for _ in range(PARAMETERS.refinement_rounds):
        displacement, likeness, nearest = _likeness(comparison, shift)
        weights = likeness * comparison.reference.weights[nearest]
        if weights.sum() <= 1e-9:
            return guess_nm
        step = weights @ displacement / weights.sum()
        shift, displacement = shift + step, displacement - step
        if np.hypot(*step) < PARAMETERS.refinement_step * comparison.tolerance_nm:
            break
    min_scatter_nm = to_nm(PARAMETERS.min_scatter_px, comparison.pixel_size_nm)
    smallest_step_nm = to_nm(PARAMETERS.robust_step_px, comparison.pixel_size_nm)
    for _ in range(4 * PARAMETERS.refinement_rounds):
        closer = weights * _closeness(displacement, weights, min_scatter_nm)
        step = closer @ displacement / closer.sum()
        shift, displacement = shift + step, displacement - step
        if np.hypot(*step) < smallest_step_nm:
            break
    return np.asarray(shift, np.float64)


def _closeness(displacement_nm: Points, weights: Values, min_scatter_nm: float) -> Values:
    """Weights that fall with the distance over the scatter, which is taken from the closer half."""
    distance_nm = np.hypot(*displacement_nm.T)
    order = np.argsort(distance_nm)
    half = np.searchsorted(np.cumsum(weights[order]), 0.5 * weights.sum())
    scatter_nm = max(float(distance_nm[order[half]]), min_scatter_nm)
    return np.asarray(np.exp(-0.5 * (distance_nm / scatter_nm) ** 2))


def _correlation_peaks(
    mask: Mask, reference: Reference, last_nm: Points, pixel_size_nm: float
) -> list[Points]:
    """The shifts of the highest maxima of the cross-correlation between the mask and the reference."""
    diameters_px = to_px(reference.diameters_nm, pixel_size_nm)
    cell_px = max(
        1,
        -(-max(mask.shape) // PARAMETERS.correlation_cells),
        int(PARAMETERS.cell_diameters * float(np.median(diameters_px))),
    )
    frame = coverage(mask, cell_px)
    expected_px = to_px(reference.positions_nm + last_nm, pixel_size_nm)
    earlier = _discs(expected_px, diameters_px, cell_px, frame.shape)
    if frame.min() == frame.max() or earlier.min() == earlier.max():
        return []
    size = [fft.next_fast_len(side, real=True) for side in frame.shape]
    spectrum = fft.rfft2(frame - frame.mean(), size) * np.conj(fft.rfft2(earlier - earlier.mean(), size))
    correlation = np.asarray(fft.irfft2(spectrum, size))
    return [last_nm + to_nm(cell_px * peak, pixel_size_nm) for peak in _maxima(correlation)]


def _maxima(correlation: NDArray[np.float32]) -> list[Points]:
    """Places of the highest local maxima of a cyclic array, between cells by parabolas, around the origin."""
    shape = np.array(correlation.shape)
    higher = np.ones(correlation.shape, bool)
    for axis, towards in ((0, 1), (0, -1), (1, 1), (1, -1)):
        higher &= correlation >= np.roll(correlation, towards, axis)
    rows, columns = np.nonzero(higher)
    order = np.argsort(-correlation[rows, columns], kind="stable")[: PARAMETERS.correlation_peaks]
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
def coverage(mask: Mask, cell_px: int) -> NDArray[np.float32]:
    """Share of each cell of `cell_px` x `cell_px` pixels that the mask covers, an incomplete last one too."""
    height, width = mask.shape
    cells = np.zeros((-(-height // cell_px), -(-width // cell_px)), np.float32)
    for row in range(height):
        for column in range(width):
            if mask[row, column]:
                cells[row // cell_px, column // cell_px] += 1
    return cells * np.float32(1 / (cell_px * cell_px))


@njit(cache=True, nogil=True)
def _discs(
    positions_px: Points, diameters_px: Values, cell_px: int, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Discs on the cells, each cell counted by its centre, small discs by the cell they lie in."""
    cells = np.zeros(shape, np.float32)
    for number in range(len(positions_px)):
        row, column = (positions_px[number] + 0.5) / cell_px - 0.5
        radius = 0.5 * diameters_px[number] / cell_px
        for y in range(max(0, int(row - radius)), min(shape[0], int(row + radius) + 2)):
            for x in range(max(0, int(column - radius)), min(shape[1], int(column + radius) + 2)):
                inside = radius + 0.5 - np.sqrt((y - row) ** 2 + (x - column) ** 2)
                cells[y, x] = max(cells[y, x], min(1.0, max(0.0, inside)))
    return cells
