"""The classical segmenter: Gaussian, background, Otsu, and a check that there are two kinds of pixels.

Otsu's threshold alone calls half of an empty micrograph particle, because it cuts every histogram in two.
Here the cut counts only where the histogram is lower than at its peak; otherwise the whole histogram is taken
for background and what is left of it by several of its own widths is particle.

Sources: N. Otsu, IEEE Trans. Syst. Man Cybern. 1979, 9, 62; Gaussian of 2 px: Gumbiowski et al., Nanoscale
Adv. 2023, 5, 2318.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.segmentation import neighbours
from temwatch.analysis.segmentation.particle_regions import EdgeParameters, edged_share, particle_regions
from temwatch.analysis.segmentation.writing import Cleaned, without_writing
from temwatch.domain import Image, Mask

Histogram = NDArray[np.float64]


_FILM_EDGE = EdgeParameters(ring_px=(6, 16), min_step=0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdParameters:
    """The constants of the threshold.

    Where nothing else is stated, it is not recorded on what a value was tuned. How far it may move before the
    bars of the tests break was not measured.
    """

    sigma_px: float = 2.0
    """px; standard deviation of the Gaussian before the threshold; not tuned: the paper's preprocessing."""
    bins: int = 512
    """Bins of the histogram."""
    counted_px: int = 256
    """px; of a picture whose shorter side is longer not every pixel is counted: after the Gaussian neighbours
    are alike."""
    peak_width_bins: float = 10.0
    """Bins; smoothing of the histogram before its peak is looked for."""
    unimodal_height: float = 0.8
    """A cut at this share of the histogram's peak or higher cuts one population in two. Noise has 0.9 to 1.0
    from 64 px on. Of 183 published bright-field figures one that Otsu cuts well lies above, and there the
    result does not change."""
    background_widths: float = 3.5
    """Distance from the background's peak, in its widths, where particle begins in a unimodal image."""
    cells: int = 64
    """Cells along the shorter side whose medians make the broad background, ..."""
    cell_px: int = 16
    """px along a cell's side that are counted: enough for a median."""
    cells_together: int = 9
    """... and along the square whose median each takes."""
    shallow: float = 0.25
    """A cut at this share of the histogram's peak or higher may be one through the film alone: then ..."""
    film_side_px: int = 256
    """px; edges of the film are examined in a picture whose shorter side is no longer than about this, ..."""
    film_sigma_px: float = 6.0
    """... smoothed by so much more, or half if it was made smaller, as are the rings, ..."""
    film_edge: EdgeParameters = _FILM_EDGE
    """... and have to be sharp: slow variations reached 0.7, particles 1.1."""
    min_edged: float = 0.5
    """... what is darker has to have an edge to this share, or the film is darker there, not particles."""
    beyond_noise: float = 2.5
    """Widths by which a particle in a unimodal image somewhere exceeds the darkest that noise reaches."""
    min_weight: float = 0.04
    """Share of the Gaussian's weight on pixels that count from which its mean is one."""
    flattening_gain: float = 0.95
    """The variance inside Otsu's two classes has to fall to this share for a flattening to be kept."""
    background_rounds: int = 4
    """Rounds in which the brighter class and the background's surface are refined in turn."""
    background_grid: int = 128
    """Points along the shorter side that the surface is fitted to."""


PARAMETERS = ThresholdParameters()


class _Cut(NamedTuple):
    counts: Histogram
    centres: Histogram
    bin: int
    within_variance: float

    @property
    def value(self) -> float:
        return float(self.centres[self.bin])


def threshold_mask(image: Image, field: Mask | None = None) -> Mask:
    """Pixels darker than the background.

    Parameters
    ----------
    image : float32, (y, x)
        Particles dark; any offset and gain. Pixels that are not finite count as background.
    field : bool, (y, x), or None
        Where it was recorded, if not everywhere.

    Returns
    -------
    bool, (y, x)
        Empty where every pixel has the same value.
    """
    finite = np.isfinite(image)
    if not finite.all():
        image = np.where(finite, image, np.max(image, initial=-np.inf, where=finite))
        field = finite if field is None else field & finite
    if image.size == 0 or not finite.any() or image.min() == image.max():
        return np.zeros(image.shape, bool)
    cleaned = without_writing(image, field)
    smooth, near = _smoothed(cleaned)
    flat = flattened(smooth, cleaned.valid)
    cut = _otsu(_counted(flat, cleaned.valid))
    shallow = _valley(cut) > PARAMETERS.shallow
    if shallow and not _has_edges(flat, cut.value, cleaned.valid):
        flat = flat - broad_background(flat, cleaned.valid)
        cut = _otsu(_counted(flat, cleaned.valid))
    limit, peak_limit = cut.value, cut.value
    if _valley(cut) >= PARAMETERS.unimodal_height:
        pixels = flat.size if cleaned.valid is None else int(np.count_nonzero(cleaned.valid))
        limit, peak_limit = _background_limits(cut, pixels)
    mask = flat < limit
    if near is not None:
        mask &= near
    return particle_regions(mask, flat, cleaned, peak_limit=peak_limit, edged=shallow)


def _counted(image: Image, valid: Mask | None) -> Image:
    every = max(1, min(image.shape) // PARAMETERS.counted_px)
    points = np.s_[::every, ::every]
    return image[points] if valid is None or not valid[points].any() else image[points][valid[points]]


def _has_edges(flat: Image, level: float, valid: Mask | None) -> bool:
    """Whether what is darker than a level has an edge, or is a part of the film that grows darker slowly.

    More smoothing than before the threshold: noise alone would make an edge where a level is crossed.
    """
    step = max(1, min(flat.shape) // PARAMETERS.film_side_px)
    rows, columns = (extent // step for extent in flat.shape)
    scale = 1 if step == 1 else 2
    coarse = ndimage.gaussian_filter(neighbours.reduced(flat, step), PARAMETERS.film_sigma_px / scale)
    dark = coarse < level
    known = None if valid is None else valid[: rows * step : step, : columns * step : step]
    near, far = PARAMETERS.film_edge.ring_px
    edge = replace(PARAMETERS.film_edge, ring_px=(near // scale, far // scale))
    return edged_share(dark, coarse, known, edge) > PARAMETERS.min_edged


def broad_background(image: Image, valid: Mask | None = None) -> Image:
    """What varies over long distances: medians of cells, which particles smaller than these do not change."""
    edge = max(1, min(image.shape) // PARAMETERS.cells)
    rows, columns = (-(-extent // edge) for extent in image.shape)
    known = image if valid is None else np.where(valid, image, np.nan)
    every = max(1, edge // PARAMETERS.cell_px)
    padding = [(0, count * edge - extent) for count, extent in zip((rows, columns), image.shape, strict=True)]
    cells = np.pad(known, padding, mode="reflect" if min(image.shape) > edge else "edge")
    cells = cells.reshape(rows, edge, columns, edge)[:, ::every, :, ::every].swapaxes(1, 2)
    cells = cells.reshape(rows, columns, -1)
    if valid is None:
        medians = np.median(cells, axis=2)
    else:
        cells[np.isnan(cells).all(axis=2)] = np.nanmedian(known)
        medians = np.nanmedian(cells, axis=2)
    levels = ndimage.median_filter(medians, PARAMETERS.cells_together, mode="nearest")
    levels = ndimage.gaussian_filter(levels, PARAMETERS.cells_together / 4, mode="nearest")
    places = [(np.arange(extent) + 0.5) / edge - 0.5 for extent in image.shape]
    upper = np.clip(places[0], 0, rows - 1)
    left = np.clip(places[1], 0, columns - 1)
    return _bilinear(levels.astype(np.float32), upper, left)


def _bilinear(levels: Image, rows: Histogram, columns: Histogram) -> Image:
    """Values between those of a coarse grid, at ascending rows and columns of it."""
    first = np.minimum(rows.astype(int), max(levels.shape[0] - 2, 0))
    second = np.minimum(first + 1, levels.shape[0] - 1)
    share = (rows - first).astype(np.float32)[:, None]
    between = np.stack([np.interp(columns, np.arange(levels.shape[1]), row) for row in levels]).astype(
        np.float32
    )
    return np.asarray(between[first] * (1 - share) + between[second] * share)


def _smoothed(cleaned: Cleaned) -> tuple[Image, Mask | None]:
    """The Gaussian over the pixels that count, and where there are enough of them near (None: everywhere)."""
    pixels, valid, _ = cleaned
    # the offset of a detector can exceed its contrast by far more than float32 resolves when squared
    if valid is None:
        shifted = pixels - pixels.min()
        return ndimage.gaussian_filter(shifted, PARAMETERS.sigma_px, output=np.float32), None
    pixels = pixels - pixels.min(initial=np.inf, where=valid)
    weight = ndimage.gaussian_filter(valid.astype(np.float32), PARAMETERS.sigma_px)
    near = np.asarray(weight > PARAMETERS.min_weight)
    smooth = ndimage.gaussian_filter(np.where(valid, pixels, 0), PARAMETERS.sigma_px, output=np.float32)
    smooth /= np.maximum(weight, PARAMETERS.min_weight)
    return smooth, near


def flattened(image: Image, valid: Mask | None = None) -> Image:
    """Take away a quadratic background where that makes the two classes of Otsu tighter, else do nothing.

    The surface is fitted to the brighter class on a coarse grid; class and surface are refined in turn. Only
    pixels that are `valid` count, if not all are.
    """
    step = max(1, min(image.shape) // PARAMETERS.background_grid)
    points = np.s_[step // 2 :: step, step // 2 :: step]
    grid = image[points].astype(np.float64)
    used = np.ones(grid.shape, bool) if valid is None else valid[points]
    if not used.any():
        return image
    before = _otsu(grid[used])
    rows = (np.arange(step // 2, image.shape[0], step) / image.shape[0])[:, None]
    columns = (np.arange(step // 2, image.shape[1], step) / image.shape[1])[None, :]
    terms = np.stack(
        [np.broadcast_to(term, grid.shape).ravel() for term in _quadratic(rows, columns)], axis=1
    )

    cut, level = before, before.value
    residual = grid
    coefficients: Histogram = np.zeros(terms.shape[1])
    for _ in range(PARAMETERS.background_rounds):
        background = ((residual > level) & used).ravel()
        if np.count_nonzero(background) < 10 * terms.shape[1]:
            return image
        known = terms[background]
        # normal equations: a twentieth of the time, and exact enough for six terms of one size
        fit = np.linalg.lstsq(known.T @ known, known.T @ grid.ravel()[background], rcond=None)
        coefficients = np.asarray(fit[0], np.float64)
        residual = grid - (terms @ coefficients).reshape(grid.shape)
        cut = _otsu(residual[used])
        level = cut.value
    if cut.within_variance > PARAMETERS.flattening_gain * before.within_variance:
        return image

    constant, *parts = coefficients
    down, across = (np.arange(extent) / extent for extent in image.shape)
    flat = image - (constant + parts[1] * across + parts[4] * across**2).astype(np.float32)
    flat -= (parts[0] * down + parts[2] * down**2).astype(np.float32)[:, None]
    flat -= np.outer((parts[3] * down).astype(np.float32), across.astype(np.float32))
    return np.asarray(flat, np.float32)


def _quadratic(rows: Histogram, columns: Histogram) -> list[Histogram]:
    """Terms of a surface."""
    return [np.ones((1, 1)), rows, columns, rows * rows, rows * columns, columns * columns]


def _otsu(values: NDArray[np.floating]) -> _Cut:
    """Where Otsu cuts: the upper class begins after this bin."""
    lowest, bins = values.min(), PARAMETERS.bins
    width = float(values.max() - lowest) / bins or 1.0
    # a third of the time of np.histogram
    places = np.minimum(((values - lowest) * values.dtype.type(1 / width)).astype(np.intp), bins - 1)
    weights = np.bincount(places.ravel(), minlength=bins).astype(np.float64)
    centres = float(lowest) + width * (np.arange(bins, dtype=np.float64) + 0.5)
    centred = centres - np.average(centres, weights=weights)
    lower = np.cumsum(weights)[:-1]
    moment = np.cumsum(weights * centred)[:-1]
    total = weights.sum()
    between = moment**2 / np.maximum(lower * (total - lower), 1) * total
    place = int(np.argmax(between))
    within = ((weights * centred**2).sum() - between[place]) / total
    return _Cut(weights, centres, place, float(within))


def _smooth_counts(cut: _Cut) -> Histogram:
    return np.asarray(ndimage.gaussian_filter1d(cut.counts, PARAMETERS.peak_width_bins, mode="constant"))


def _valley(cut: _Cut) -> float:
    counts = _smooth_counts(cut)
    return float(counts[cut.bin] / counts.max())


def _background_limits(cut: _Cut, pixels: int) -> tuple[float, float]:
    """Where particle begins in a unimodal image, and what each one has to reach somewhere.

    Widths below the peak of the histogram; its width is taken on the bright side, where no particle is. Of so
    many independent places in noise the darkest lies at the root of twice the logarithm of their number.
    """
    peak = int(np.argmax(_smooth_counts(cut)))
    brighter = np.cumsum(cut.counts[peak:])
    width = int(np.searchsorted(brighter, 0.683 * brighter[-1])) * (cut.centres[1] - cut.centres[0])
    places = max(2.0, pixels / (4 * math.pi * PARAMETERS.sigma_px**2))
    reach = max(PARAMETERS.background_widths, math.sqrt(2 * math.log(places)) + PARAMETERS.beyond_noise)
    top = float(cut.centres[peak])
    double = int(np.searchsorted(brighter, 0.954 * brighter[-1])) * (cut.centres[1] - cut.centres[0])
    return top - PARAMETERS.background_widths * float(width), top - reach * max(
        float(width), float(double) / 2
    )
