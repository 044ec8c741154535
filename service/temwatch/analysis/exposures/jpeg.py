"""Copies that a JPEG was made of: their pixels have lost their order, not the means of their blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from temwatch.analysis.exposures.blocks import is_written
from temwatch.domain import Image

Brightness = NDArray[np.uint16]
"""Mean of every block, shape (rows, columns); 0: it says nothing. `_PER_RANGE` is the range of the pixels."""

_PER_RANGE = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegParameters:
    """Measured on simulated pairs over the range of `simulator.random_settings`, see docs/measurement.md.

    JPEG leaves gaps between the finest details: less than `most_between` of those of at most 8 grey levels
    are above 1.5 and below 4. The range of an image is from the `darkest_percent` of its pixels to the
    `brightest_percent`. The means of the blocks of a copy are those of its original, but for the contrast:
    half of them within `most_deviation` of the range, or `most_deviation_halved` for a copy of half size.
    Found: at most 0.0006 in copies down to quality 75, 0.003 with clipping and gamma; in other exposures,
    whose noise moves the means, 0.0058 or more where the signs of their details agree (0.0032 at half size).
    """

    most_between: float = 0.1
    darkest_percent: float = 1.0
    brightest_percent: float = 99.0
    most_deviation: float = 0.003
    most_deviation_halved: float = 0.0012
    fewest_blocks: int = 60


PARAMETERS = JpegParameters()


def bears_traces(blocks: Image) -> bool:
    """Whether an image of 8 bits was a JPEG, whose blocks these are."""
    if not (blocks.size and blocks.min() >= 0 and blocks.max() <= 255) or (blocks % 1).any():
        return False
    unclipped = (blocks.min(axis=(2, 3)) > 0) & (blocks.max(axis=(2, 3)) < 255) & ~is_written(blocks)
    details = np.abs(scipy.fft.dctn(blocks[unclipped], axes=(1, 2), norm="ortho")[:, 5:, 5:])
    small = np.count_nonzero(details < 8)
    between = np.count_nonzero((details > 1.5) & (details < 4))
    return bool(between <= PARAMETERS.most_between * small)


def brightness(blocks: Image) -> Brightness:
    """The mean of every block."""
    means = blocks.mean(axis=(2, 3), dtype=np.float64)
    low, high = np.percentile(blocks, (PARAMETERS.darkest_percent, PARAMETERS.brightest_percent))
    if not high > low:
        return np.zeros(means.shape, np.uint16)
    places = np.rint((means - low) / (high - low) * _PER_RANGE) + _PER_RANGE
    found: Brightness = np.clip(places, 1, np.iinfo(np.uint16).max).astype(np.uint16)
    found[is_written(blocks)] = 0
    return found


def is_same_brightness(one: Brightness, jpeg: Brightness, *, halved: bool) -> bool:
    """Whether the means of a JPEG follow from those of another image."""
    if one.shape[1] != jpeg.shape[1]:
        return False
    rows = min(len(one), len(jpeg))
    a, b = one[:rows].ravel(), jpeg[:rows].ravel()
    both = (a > 0) & (b > 0)
    if np.count_nonzero(both) < PARAMETERS.fewest_blocks:
        return False
    means = b[both][np.lexsort((b[both], a[both]))] / _PER_RANGE
    most = PARAMETERS.most_deviation_halved if halved else PARAMETERS.most_deviation
    return float(np.median(np.abs(means - isotonic_regression(means).x))) <= most
