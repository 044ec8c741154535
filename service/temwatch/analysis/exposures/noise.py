"""The noise of an exposure: signs of the details of small blocks, and whether two exposures share them.

Noise differs from exposure to exposure, even of one area, and survives JPEG, whose own blocks these are: it
keeps or zeroes a detail, and a contrast stretch or gamma before it keeps the sign. Neither coarse nor fine
details alone tell: in coarse ones the specimen may outweigh the noise, in fine ones the residual gain pattern
of the camera. Both belong to every exposure. So each band has to agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from temwatch.analysis.exposures.blocks import is_written
from temwatch.domain import Image

Signs = NDArray[np.int8]
"""-1, 0 or 1 for every detail, shape (rows of blocks, columns of blocks, details); 0: it says nothing."""

_BANDS = (
    ((1, 2), (2, 1), (2, 2), (1, 3)),
    ((3, 3), (2, 4), (4, 2), (3, 4)),
    ((4, 5), (5, 4), (3, 6), (6, 3)),
    ((6, 6), (7, 5), (5, 7), (6, 7)),
)
"""Coefficients of the cosine transform, (row, column), from coarse to fine; none along a scan line."""

DETAILS = sum(map(len, _BANDS))
_ROWS = np.array([row for band in _BANDS for row, _ in band])
_COLUMNS = np.array([column for band in _BANDS for _, column in band])


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseParameters:
    """Measured on simulated pairs over the range of `simulator.random_settings`, see docs/measurement.md.

    A detail below `weakest` times the median of its band has no sign. A band says nothing where its median
    is below `least_median` grey levels: where rounding or JPEG has taken the noise, the specimen is left. Of
    the bands of full and half size, `fewest_bands` have to say something, by `fewest_details` each; of one
    size alone, `fewest_bands_of_one_size`. In every one of them `least_agreement` of the signs must agree,
    and `least_mean_agreement` on average. (The means of the blocks have to agree, too.)
    """

    weakest: float = 0.5
    least_median: float = 1.5
    fewest_bands: int = 3
    fewest_bands_of_one_size: int = 1
    fewest_details: int = 100
    least_agreement: float = 0.9
    least_mean_agreement: float = 0.975


PARAMETERS = NoiseParameters()


def noise_signs(blocks: Image, step: float) -> Signs:
    """Signs of details in blocks of an image whose grey levels are `step` apart."""
    written = is_written(blocks)
    details = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho")[:, :, _ROWS, _COLUMNS]
    signs: Signs = np.sign(details).astype(np.int8)
    for place in _band_slices():
        size = np.abs(details[:, :, place])
        median = float(np.median(size[~written])) if not written.all() else 0.0
        is_sound = median > 0 and median >= PARAMETERS.least_median * step
        signs[:, :, place][size <= (PARAMETERS.weakest * median if is_sound else np.inf)] = 0
    return signs


def grey_step(image: Image) -> float:
    """Distance of neighbouring grey levels, 0 where there are no such levels."""
    height, width = image.shape
    some = np.unique(image[:: max(1, height // 128), :: max(1, width // 128)])
    return float(np.median(np.diff(some))) if len(some) > 1 else 0.0


def is_same_noise(pairs: Sequence[tuple[Signs, Signs]]) -> bool:
    """Whether two images may be copies of one exposure, by signs of both at one or several sizes."""
    agreements = [agreement for one, other in pairs for agreement in _agreements(one, other)]
    fewest = PARAMETERS.fewest_bands if len(pairs) > 1 else PARAMETERS.fewest_bands_of_one_size
    return (
        len(agreements) >= fewest
        and min(agreements) >= PARAMETERS.least_agreement
        and fmean(agreements) >= PARAMETERS.least_mean_agreement
    )


def _agreements(one: Signs, other: Signs) -> Iterator[float]:
    """Share of equal signs in every band that says something, in the rows that both have."""
    if one.shape[1] != other.shape[1]:
        return
    rows = min(len(one), len(other))
    both = one[:rows] * other[:rows]
    for place in _band_slices():
        count = np.count_nonzero(both[:, :, place])
        if count >= PARAMETERS.fewest_details:
            yield np.count_nonzero(both[:, :, place] > 0) / count


def _band_slices() -> list[slice]:
    """Where the details of each band lie."""
    ends = np.cumsum([0, *map(len, _BANDS)]).tolist()
    return [slice(start, end) for start, end in itertools.pairwise(ends)]
