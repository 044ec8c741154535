"""The area that an exposure shows: a small map of brightness, found again in another one where it drifted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.domain import Image

AreaMap = NDArray[np.int8]
"""Brightness against its surroundings, in 32nds of the standard deviation, shape (rows, COLUMNS)."""

COLUMNS = 64
"""Cells across a map, whatever the size of the image."""

_SCALE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaParameters:
    """Measured on simulated pairs over the range of `simulator.random_settings`, see docs/measurement.md.

    A map has at most `rows` rows; about `samples` x `samples` pixels of a cell are looked at. Brightness
    counts against its surroundings of `surroundings_cells`
    (standard deviation of a Gaussian), at most `most_deviations` standard deviations. Two maps show one area
    where they correlate by `least_correlation` at some drift that leaves `least_overlap` of them in common;
    where this is `least_z` standard errors above chance, and `least_lead` times the correlation at any drift
    further than `peak_cells` from it (a regular array fits at many); and where `fewest_carriers` separate
    patches, of which the product is above `least_product`, carry it (one particle fits any other).
    """

    rows: int = 96
    samples: int = 12
    surroundings_cells: float = 6.0
    most_deviations: float = 3.9
    least_correlation: float = 0.25
    least_overlap: float = 0.5
    least_z: float = 8.0
    least_lead: float = 1.5
    peak_cells: int = 4
    least_product: float = 0.5
    fewest_carriers: float = 5.0


PARAMETERS = AreaParameters()


def area_map(image: Image) -> AreaMap:
    """The map of an image of at least COLUMNS px in width; cells that are all one value say nothing."""
    height, width = image.shape
    side = width / COLUMNS
    rows = min(int(height / side + 1e-9), PARAMETERS.rows)
    every = max(1, int(side) // PARAMETERS.samples)
    image, side = image[::every, ::every], side / every
    top, left = (np.round(np.arange(count + 1) * side).astype(int) for count in (rows, COLUMNS))
    means = _means(top) @ image[: top[-1], : left[-1]] @ _means(left).T
    values: Image = means.astype(np.float32)
    is_written = ndimage.binary_dilation(_is_written(image, top, left))
    if not is_written.all():
        values[is_written] = np.median(values[~is_written])
    values -= ndimage.gaussian_filter(values, PARAMETERS.surroundings_cells)
    values[is_written] = 0
    return _in_bytes(values)


def _means(edges: NDArray[np.int64]) -> Image:
    """The matrix that takes means between edges: a product with it is faster than any other way."""
    places = np.arange(edges[-1])
    inside = (places >= edges[:-1, None]) & (places < edges[1:, None])
    return (inside / np.diff(edges)[:, None]).astype(np.float32)


def _is_written(image: Image, top: NDArray[np.int64], left: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cells of one value, looked at on at most 4 x 4 pixels each."""
    some = image[np.ix_(_samples(top), _samples(left))].reshape(len(top) - 1, 4, len(left) - 1, 4)
    found: NDArray[np.bool_] = some.max(axis=(1, 3)) == some.min(axis=(1, 3))
    return found


def _samples(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Four places between each pair of edges."""
    return (edges[:-1, None] + np.diff(edges)[:, None] * np.arange(4) // 4).ravel()


def _in_bytes(values: Image) -> AreaMap:
    """In 32nds of the standard deviation."""
    deviation = float(values.std())
    limit = PARAMETERS.most_deviations * _SCALE
    scaled = values * (_SCALE / deviation if deviation > 0 else 0)
    found: AreaMap = np.clip(np.rint(scaled), -limit, limit).astype(np.int8)
    return found


def coarse_map(area: AreaMap) -> AreaMap:
    """The upper square of a map, halved: what a first search needs."""
    square = np.zeros((COLUMNS, COLUMNS), np.float32)
    square[: len(area)] = area[:COLUMNS]
    half = square.reshape(COLUMNS // 2, 2, COLUMNS // 2, 2).sum(axis=(1, 3))
    return _in_bytes(half - half.mean())


def similarity(area: AreaMap, others: NDArray[np.int8]) -> NDArray[np.float32]:
    """Highest correlation of a coarse map with each of others, shape (N, rows, columns), at any drift.

    Drift is taken round the edges, which is wrong by what has left the field: this only ranks.
    """
    spectrum = np.conj(scipy.fft.rfft2(_normal(area.astype(np.float32))))
    found = np.empty(len(others), np.float32)
    for start in range(0, len(others), 512):  # what fits into the cache
        some = scipy.fft.rfft2(_normal(others[start : start + 512].astype(np.float32)))
        some *= spectrum
        found[start : start + 512] = scipy.fft.irfft2(some, area.shape).max(axis=(1, 2))
    return found


def _normal(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.sqrt(np.einsum("...ij,...ij->...", maps, maps))[..., None, None]
    normal: NDArray[np.float32] = maps / np.maximum(length, 1e-9)
    return normal


def is_same_area(one: AreaMap, other: AreaMap) -> bool:
    """Whether two maps show one area, drifted or not."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    size = tuple(scipy.fft.next_fast_len(p + q, real=True) for p, q in zip(a.shape, b.shape, strict=True))
    correlation, overlap = _correlation(a, b, size)
    correlation[overlap < PARAMETERS.least_overlap * min(a.size, b.size)] = -1
    row, column = (int(place) for place in np.unravel_index(np.argmax(correlation), size))
    peak = float(correlation[row, column])
    if peak < PARAMETERS.least_correlation:
        return False
    near = np.arange(-PARAMETERS.peak_cells, PARAMETERS.peak_cells + 1)
    correlation[np.ix_((row + near) % size[0], (column + near) % size[1])] = -1
    independent = overlap[row, column] / max(1.0, _shared_extent(a, b, size))
    z = math.atanh(min(peak, 0.9999)) * math.sqrt(max(independent - 3, 0))
    drift = (row if row < len(a) else row - size[0], column if column < COLUMNS else column - size[1])
    return (
        z >= PARAMETERS.least_z
        and peak >= PARAMETERS.least_lead * float(correlation.max())
        and _carriers(a, b, drift) >= PARAMETERS.fewest_carriers
    )


def _correlation(
    a: NDArray[np.float64], b: NDArray[np.float64], size: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pearson's correlation of what overlaps, for every drift of `b` against `a`, and the cells that do."""

    def spectrum(values: NDArray[np.float64]) -> NDArray[np.complex128]:
        transformed: NDArray[np.complex128] = scipy.fft.rfft2(values, size)
        return transformed

    def sums(left: NDArray[np.complex128], right: NDArray[np.complex128]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = scipy.fft.irfft2(left * right, size)
        return found

    a1, a2, a0 = (spectrum(values) for values in (a, a * a, np.ones_like(a)))
    b1, b2, b0 = (np.conj(spectrum(values)) for values in (b, b * b, np.ones_like(b)))
    count = np.maximum(np.rint(sums(a0, b0)), 1)
    sum_a, sum_b = sums(a1, b0), sums(a0, b1)
    variance = (sums(a2, b0) - sum_a**2 / count) * (sums(a0, b2) - sum_b**2 / count)
    return (sums(a1, b1) - sum_a * sum_b / count) / np.sqrt(np.maximum(variance, 1e-6)), count


def _shared_extent(a: NDArray[np.float64], b: NDArray[np.float64], size: tuple[int, ...]) -> float:
    """Cells that vary together: the sum of the product of the autocorrelations (Bartlett's formula)."""
    extents = []
    for values in (a, b):
        power = np.abs(scipy.fft.rfft2(values, size)) ** 2
        extents.append(scipy.fft.irfft2(power, size))
    norm = float(extents[0][0, 0] * extents[1][0, 0])
    return float(np.sum(extents[0] * extents[1])) / norm if norm > 0 else math.inf


def _carriers(a: NDArray[np.float64], b: NDArray[np.float64], drift: tuple[int, int]) -> float:
    """Effective number of separate patches that carry the correlation at a drift of `b` against `a`."""
    (top_a, top_b, rows), (left_a, left_b, columns) = (
        (max(0, by), max(0, -by), min(p - max(0, by), q - max(0, -by)))
        for by, p, q in zip(drift, a.shape, b.shape, strict=True)
    )
    mine = a[top_a : top_a + rows, left_a : left_a + columns]
    theirs = b[top_b : top_b + rows, left_b : left_b + columns]
    product = mine * theirs / _SCALE**2
    patches, count = ndimage.label(product > PARAMETERS.least_product)
    sums = np.bincount(patches.ravel(), product.ravel(), count + 1)[1:]
    total = float((sums**2).sum())
    return float(sums.sum()) ** 2 / total if total > 0 else 0.0
