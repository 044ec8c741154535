"""How far outlines lie from the steepest gradient of the picture: a check that needs no labels.

Where a particle ends is the edge of its projection. In simulated micrographs with known truth the steepest
rise from dark to bright along the normal lies 0 to 0.7 px inside it, at every focus. An outline far outside
that rise includes the bright fringe of the background; one inside it cuts the particle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.measurement.sub_pixel import describe_polygon
from temwatch.analysis.refinement.contours import Floats
from temwatch.analysis.refinement.strips import brightness
from temwatch.domain import Image, Region

_STEP_PX = 0.25
_REACH_PX = 8.0
_REACH_RADII = 0.5
"""The profile reaches so far to both sides, in radii, at most `_REACH_PX`."""
_SIGMA_PX = 1.0
_CLEAR = 0.5
"""A rise counts where it is as steep as this part of the steepest; the outermost of these is the edge."""
_SIGNIFICANT = 5.0
"""The steepest rise must exceed the error of the gradient, that its noise gives it, so many times."""
_FEWEST_POINTS = 8


def edge_distances(image: Image, noise: float, regions: Iterable[Region]) -> NDArray[np.float64]:
    """Distance, px, of each outline to the steepest rise of the picture's brightness; outside is positive.

    Parameters
    ----------
    image : float32, (y, x)
        Particles dark.
    noise : float
        Standard deviation of a pixel's noise, in the image's unit.
    regions
        Single particles with outlines between the pixels, away from others and from the border.

    Returns
    -------
    float64, (regions,)
        NaN where no rise is significant.
    """
    return np.array([_distance(image, noise, region) for region in regions], float)


def _distance(image: Image, noise: float, region: Region) -> float:
    if region.outline is None or len(region.outline) < _FEWEST_POINTS:
        return math.nan
    area, _, _, length, *_ = describe_polygon(region.outline)
    reach = min(_REACH_PX, _REACH_RADII * 2 * area / length)
    steps = math.floor(reach / _STEP_PX)
    places = np.linspace(-steps * _STEP_PX, steps * _STEP_PX, 2 * steps + 1)
    profile = _mean_profile(np.ascontiguousarray(image), region.outline, places)
    slope = ndimage.gaussian_filter1d(profile, _SIGMA_PX / _STEP_PX, order=1, mode="nearest") / _STEP_PX
    # of independent pixels along the outline, through a derivative of a Gaussian
    error = noise / math.sqrt(length) / (2 * math.pi**0.25 * _SIGMA_PX**1.5)
    peaks = np.flatnonzero((slope[1:-1] >= slope[:-2]) & (slope[1:-1] > slope[2:])) + 1
    peaks = peaks[slope[peaks] > max(_CLEAR * slope.max(), _SIGNIFICANT * error)]
    if not len(peaks):
        return math.nan
    peak = peaks[-1]
    bend = slope[peak - 1] - 2 * slope[peak] + slope[peak + 1]
    offset = (slope[peak - 1] - slope[peak + 1]) / (2 * bend) if bend else 0.0
    return -float(places[peak] + offset * _STEP_PX)


@njit(cache=True, nogil=True)
def _mean_profile(
    image: Floats, outline: NDArray[np.float64], places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean brightness at distances from an outline, clockwise; its corners are weighted by their sides."""
    count = len(outline)
    total, weight = np.zeros(len(places)), 0.0
    for index in range(count):
        before, after = outline[index - 2], outline[(index + 2) % count]
        down, right = after[0] - before[0], after[1] - before[1]
        length = math.hypot(down, right)
        if length == 0:
            continue
        for place in range(len(places)):
            row = outline[index, 0] - places[place] * right / length
            column = outline[index, 1] + places[place] * down / length
            total[place] += length * brightness(image, row, column)
        weight += length
    return total / max(weight, 1e-12)
