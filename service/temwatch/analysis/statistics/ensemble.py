"""One frame's particles as an ensemble: count, sizes, projected area and volume, each with a 95 % band.

The frame is taken for one look at a large specimen on which the particles lie by chance, so the number in
view is a Poisson number; sums over them have the variance of a compound Poisson sum, the sum of the squares.
Volumes are those of spheres of the equivalent diameter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

LEVEL = 0.95
NORMAL = float(special.ndtri(0.5 + LEVEL / 2))


class Band(NamedTuple):
    """A value with the limits of its 95 % interval; not-a-number where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The particles of one frame; the totals are sums over the particles in view."""

    count: Band
    mean_diameter_nm: Band
    median_diameter_nm: Band
    total_area_nm2: Band
    total_volume_nm3: Band


def ensemble(diameters_nm: NDArray[np.float64]) -> Ensemble:
    """Count, mean and median diameter, total projected area and volume of one frame.

    Parameters
    ----------
    diameters_nm : float64, (N,)
        Equivalent diameters of the particles of the frame; N may be 0.
    """
    sorted_nm = np.sort(np.asarray(diameters_nm, np.float64))
    return Ensemble(
        count=_count(sorted_nm.size),
        mean_diameter_nm=_mean(sorted_nm),
        median_diameter_nm=_median(sorted_nm),
        total_area_nm2=_total(math.pi / 4 * sorted_nm**2),
        total_volume_nm3=_total(math.pi / 6 * sorted_nm**3),
    )


def _count(count: int) -> Band:
    """Exact limits of a Poisson mean (F. Garwood, Biometrika 1936, 28, 437)."""
    tail = (1 - LEVEL) / 2
    low = float(special.gammaincinv(count, tail)) if count else 0.0
    return Band(float(count), low, float(special.gammaincinv(count + 1, 1 - tail)))


def _mean(values: NDArray[np.float64]) -> Band:
    """Student's interval."""
    if values.size < 2:
        return _undefined(float(values[0]) if values.size else math.nan)
    half = float(special.stdtrit(values.size - 1, 0.5 + LEVEL / 2) * values.std(ddof=1)) / math.sqrt(
        values.size
    )
    mean = float(values.mean())
    return Band(mean, mean - half, mean + half)


def _median(values: NDArray[np.float64]) -> Band:
    """Limits by order statistics, free of any distribution (ISO 16269-7)."""
    count = values.size
    if count < 6:  # five values cannot bracket their median with 95 %
        return _undefined(float(np.median(values)) if count else math.nan)
    below = math.floor(special.bdtrik((1 - LEVEL) / 2, count, 0.5))
    return Band(float(np.median(values)), float(values[below]), float(values[count - 1 - below]))


def _total(values: NDArray[np.float64]) -> Band:
    if not values.size:
        return Band(0.0, 0.0, math.nan)
    total, half = float(values.sum()), NORMAL * math.sqrt(float((values**2).sum()))
    return Band(total, max(total - half, 0.0), total + half)


def _undefined(value: float) -> Band:
    return Band(value, math.nan, math.nan)
