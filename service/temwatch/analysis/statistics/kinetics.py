"""By which law particles grow: r^n = r0^n + K t with n = 2, 3, or whatever fits.

n = 3 is ripening limited by diffusion (I. M. Lifshitz, V. V. Slyozov, J. Phys. Chem. Solids 1961, 19, 35;
C. Wagner, Z. Elektrochem. 1961, 65, 581), n = 2 by attachment at the surface (Wagner). Means of frames that
show the same particles err together from frame to frame: intervals are widened for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from temwatch.analysis.statistics.ensemble import LEVEL, Band

Values = NDArray[np.float64]

FEWEST_FRAMES = 5
"""A law has two constants, and its scatter and the memory of the scatter have to be estimated as well."""

EXPONENTS = np.arange(10, 161) / 20
"""Exponents that are tried; an interval that ends here is open."""

STEPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """r^n = r0^n + K t, fitted by least squares: `rate` is K in nm^n/s, `r_squared` the share explained."""

    exponent: float
    rate: Band
    start_radius_nm: float
    r_squared: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinetics:
    """Fits up to a frame; `exponent` is the one that fits best, with its interval."""

    frames: int
    elapsed_s: float
    surface: PowerLaw
    diffusion: PowerLaw
    exponent: Band


def power_law(elapsed_s: Values, radius_nm: Values, exponent: float) -> PowerLaw | None:
    """Fit r^n = r0^n + K t.

    Parameters
    ----------
    elapsed_s, radius_nm : float64, (F,)
        Time and mean radius of each frame; frames without a radius (not a number) are left out.
    exponent : float
        The n of the law.

    Returns
    -------
    None for fewer than `FEWEST_FRAMES` frames, or frames that all have one time.
    """
    time, radius = _usable(elapsed_s, radius_nm)
    if time.size < FEWEST_FRAMES or time[0] == time[-1]:
        return None
    slope, start, residuals, spread = _line(time, radius**exponent)
    effective = _effective(residuals)
    variance = float(residuals @ residuals) / (time.size - 2)
    error = math.sqrt(variance * time.size / (spread * effective))
    half = float(special.stdtrit(effective - 2, 0.5 + LEVEL / 2)) * error
    total = float(((radius**exponent - (radius**exponent).mean()) ** 2).sum())
    return PowerLaw(
        exponent=exponent,
        rate=Band(slope, slope - half, slope + half),
        start_radius_nm=max(start, 0.0) ** (1 / exponent),
        r_squared=1 - float(residuals @ residuals) / total if total else 0.0,
    )


def best_exponent(elapsed_s: Values, radius_nm: Values) -> Band:
    """Exponent whose law leaves the least in r, with the limits of its profile likelihood.

    A limit at the end of `EXPONENTS` is open; not a number where nothing can be fitted.
    """
    time, radius = _usable(elapsed_s, radius_nm)
    if time.size < FEWEST_FRAMES or time[0] == time[-1]:
        return Band(math.nan, math.nan, math.nan)
    sums, rest = [], np.zeros(time.size)
    for exponent in EXPONENTS:
        slope, start, _, _ = _line(time, radius**exponent)
        now = radius - np.maximum(start + slope * time, 0.0) ** (1 / exponent)
        sums.append(float(now @ now))
        rest = now if sums[-1] == min(sums) else rest
    least = min(sums)
    if least == 0:
        return Band(float(EXPONENTS[int(np.argmin(sums))]), math.nan, math.nan)
    effective = _effective(rest)
    ratio = float(special.fdtri(1, effective - 3, LEVEL)) / (effective - 3)
    inside = np.flatnonzero(np.array(sums) <= least * (1 + ratio))
    low, high = max(inside[0] - 1, 0), min(inside[-1] + 1, len(EXPONENTS) - 1)  # rounded outwards
    return Band(float(EXPONENTS[int(np.argmin(sums))]), float(EXPONENTS[low]), float(EXPONENTS[high]))


def kinetics(elapsed_s: Values, radius_nm: Values) -> Kinetics | None:
    """Both laws and the best exponent over all frames given; None where they cannot be fitted."""
    surface, diffusion = (power_law(elapsed_s, radius_nm, exponent) for exponent in (2.0, 3.0))
    if surface is None or diffusion is None:
        return None
    return Kinetics(
        frames=len(elapsed_s),
        elapsed_s=float(elapsed_s[-1]),
        surface=surface,
        diffusion=diffusion,
        exponent=best_exponent(elapsed_s, radius_nm),
    )


def kinetics_over_time(elapsed_s: Values, radius_nm: Values, steps: int = STEPS) -> list[Kinetics]:
    """The fits as they were after a part of the frames.

    Parameters
    ----------
    elapsed_s, radius_nm : float64, (F,)
        Time and mean radius of each frame, in the order of time.
    steps : int
        Number of lengths at most, spaced evenly on a logarithmic scale; the last is the whole.

    Returns
    -------
    One entry a length; none for fewer than `FEWEST_FRAMES` frames.
    """
    if len(elapsed_s) < FEWEST_FRAMES:
        return []
    lengths = np.unique(np.rint(np.geomspace(FEWEST_FRAMES, len(elapsed_s), steps)).astype(int)).tolist()
    fits = (kinetics(elapsed_s[:length], radius_nm[:length]) for length in lengths)
    return [fit for fit in fits if fit is not None]


def _usable(elapsed_s: Values, radius_nm: Values) -> tuple[Values, Values]:
    found = np.isfinite(elapsed_s) & np.isfinite(radius_nm) & (radius_nm > 0)
    return elapsed_s[found].astype(np.float64), radius_nm[found].astype(np.float64)


def _line(x: Values, y: Values) -> tuple[float, float, Values, float]:
    """Slope, intercept and residuals of a straight line, and the sum of squares of x about its mean."""
    about = x - x.mean()
    spread = float(about @ about)
    slope = float(about @ y) / spread
    start = float(y.mean() - slope * x.mean())
    return slope, start, y - start - slope * x, spread


def _effective(residuals: Values) -> float:
    """Number of independent values worth as much, from the correlation of neighbours (first-order memory)."""
    count, total = residuals.size, float(residuals @ residuals)
    memory = float(residuals[1:] @ residuals[:-1]) / total if total else 0.0
    memory = min(max(memory, 0.0), 0.99)
    return max(count * (1 - memory) / (1 + memory), 4.0)
