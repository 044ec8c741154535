"""The classical segmenter: Gaussian, background, Otsu, and a check that there are two kinds of pixels.

Otsu's threshold alone calls half of an empty micrograph particle, because it cuts every histogram in two.
Here the cut counts only where the histogram is lower than at its peak; otherwise the whole histogram is taken
for background and what is left of it by several of its own widths is particle.

Sources: N. Otsu, IEEE Trans. Syst. Man Cybern. 1979, 9, 62; Gaussian of 2 px: Gumbiowski et al., Nanoscale
Adv. 2023, 5, 2318.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.config import SegmentationSettings
from temwatch.domain import Image, Mask, Segmentation, Segmenter

Histogram = NDArray[np.float64]


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
    peak_width_bins: float = 10.0
    """Bins; smoothing of the histogram before its peak is looked for."""
    unimodal_height: float = 0.8
    """A cut at this share of the histogram's peak or higher cuts one population in two. Noise has 0.9 to 1.0
    from 64 px on. Of 183 published bright-field figures one that Otsu cuts well lies above, and there the
    result does not change."""
    background_widths: float = 3.5
    """Distance from the background's peak, in its widths, where particle begins in a unimodal image."""
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


def build(settings: SegmentationSettings) -> Segmenter:
    """The threshold as a segmenter; only `particles` of the settings matters."""
    dark = settings.particles == "dark"

    def segment(images: Sequence[Image]) -> list[Segmentation]:
        return [Segmentation(mask=threshold_mask(image if dark else -image)) for image in images]

    return Segmenter(
        name="threshold",
        segment=segment,
        parameters=(("sigma_px", PARAMETERS.sigma_px), ("particles", settings.particles)),
    )


def threshold_mask(image: Image) -> Mask:
    """Pixels darker than the background.

    Parameters
    ----------
    image : float32, (y, x)
        Particles dark; any offset and gain. Pixels that are not finite count as background.

    Returns
    -------
    bool, (y, x)
        Empty where every pixel has the same value.
    """
    finite = np.isfinite(image)
    if not finite.all():
        image = np.where(finite, image, np.max(image, initial=-np.inf, where=finite))
    if image.size == 0 or not finite.any() or image.min() == image.max():
        return np.zeros(image.shape, bool)
    # the offset of a detector can exceed its contrast by far more than float32 resolves when squared
    smooth = ndimage.gaussian_filter(image - image.min(), PARAMETERS.sigma_px, output=np.float32)
    flat = flattened(smooth)
    cut = _otsu(flat)
    limit = cut.value if _is_bimodal(cut) else _background_limit(cut)
    return np.asarray((flat < limit) & finite)


def flattened(image: Image) -> Image:
    """Take away a quadratic background where that makes the two classes of Otsu tighter, else do nothing.

    The surface is fitted to the brighter class on a coarse grid; class and surface are refined in turn.
    """
    step = max(1, min(image.shape) // PARAMETERS.background_grid)
    grid = image[step // 2 :: step, step // 2 :: step].astype(np.float64)
    before = _otsu(grid)
    rows = (np.arange(step // 2, image.shape[0], step) / image.shape[0])[:, None]
    columns = (np.arange(step // 2, image.shape[1], step) / image.shape[1])[None, :]
    terms = np.stack(
        [np.broadcast_to(term, grid.shape).ravel() for term in _quadratic(rows, columns)], axis=1
    )

    cut, level = before, before.value
    residual = grid
    coefficients: Histogram = np.zeros(terms.shape[1])
    for _ in range(PARAMETERS.background_rounds):
        background = (residual > level).ravel()
        if np.count_nonzero(background) < 10 * terms.shape[1]:
            return image
        fit = np.linalg.lstsq(terms[background], grid.ravel()[background], rcond=None)
        coefficients = np.asarray(fit[0], np.float64)
        residual = grid - (terms @ coefficients).reshape(grid.shape)
        cut = _otsu(residual)
        level = cut.value
    if cut.within_variance > PARAMETERS.flattening_gain * before.within_variance:
        return image

    flat = image.copy()
    all_columns = (np.arange(image.shape[1]) / image.shape[1])[None, :]
    for start in range(0, image.shape[0], 256):  # in strips, so that no float64 image is ever whole
        block = np.arange(start, min(start + 256, image.shape[0]))[:, None] / image.shape[0]
        surface = sum(c * term for c, term in zip(coefficients, _quadratic(block, all_columns), strict=True))
        flat[start : start + 256] -= np.asarray(surface, np.float32)
    return flat


def _quadratic(rows: Histogram, columns: Histogram) -> list[Histogram]:
    """Terms of a surface; those of rows or columns alone are thin, which is a third of the time."""
    return [np.ones((1, 1)), rows, columns, rows * rows, rows * columns, columns * columns]


def _otsu(values: NDArray[np.floating]) -> _Cut:
    """Where Otsu cuts: the upper class begins after this bin."""
    counts, edges = np.histogram(values, PARAMETERS.bins)
    weights, centres = counts.astype(np.float64), (edges[:-1] + edges[1:]) / 2
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


def _is_bimodal(cut: _Cut) -> bool:
    counts = _smooth_counts(cut)
    return bool(counts[cut.bin] < PARAMETERS.unimodal_height * counts.max())


def _background_limit(cut: _Cut) -> float:
    """Peak of the histogram less several widths, taken on its bright side where no particle is."""
    peak = int(np.argmax(_smooth_counts(cut)))
    brighter = np.cumsum(cut.counts[peak:])
    width = int(np.searchsorted(brighter, 0.683 * brighter[-1]))
    return float(cut.centres[peak] - PARAMETERS.background_widths * width * (cut.centres[1] - cut.centres[0]))
