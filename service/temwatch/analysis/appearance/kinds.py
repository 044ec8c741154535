"""A second kind of particles that is pale and doubtful: residue of the film beside particles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class KindParameters:
    """When two kinds are clearly different; set on one micrograph with residue, checked on those without."""

    fewest_clear: int = 3
    """So many particles make a clear kind, and ..."""
    fewest_pale: int = 5
    """... so many a pale one: less is no texture."""
    contrast_ratio: float = 2.0
    """The clear kind has so many times the contrast of the pale one, in the medians."""
    explained: float = 0.6
    """Share of the variance of the logarithm of the contrast that the division into two kinds explains."""
    sure: float = 0.8
    """Confidence of the clear kind, in the median, at least."""
    doubtful: float = 0.4
    """Confidence of the pale kind, in the median, at most. Of pale particles those that are less sure than
    `sure` are given up."""


PARAMETERS = KindParameters()


def is_residue(contrast: NDArray[np.float64], confidence: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which particles of a micrograph are of a pale and doubtful kind beside a clear one.

    Particles are divided where the two parts explain most of the variance of the contrast's logarithm (Otsu,
    IEEE Trans. Syst. Man Cybern. 1979, 9, 62). Nothing is residue unless the kinds differ clearly, by
    contrast and by what the network makes of them.

    Parameters
    ----------
    contrast, confidence : float64, (particles,)
        Between 0 and 1; NaN where it is not known.
    """
    found = np.zeros(len(contrast), bool)
    known = np.flatnonzero((contrast > 0) & np.isfinite(confidence))
    if len(known) < PARAMETERS.fewest_clear + PARAMETERS.fewest_pale:
        return found
    order = known[np.argsort(contrast[known], kind="stable")]
    values = np.log(contrast[order])
    pale, explained = _division(values)
    paler, clearer = order[:pale], order[pale:]
    if (
        len(clearer) < PARAMETERS.fewest_clear
        or len(paler) < PARAMETERS.fewest_pale
        or explained < PARAMETERS.explained
        or np.median(values[pale:]) - np.median(values[:pale]) < np.log(PARAMETERS.contrast_ratio)
        or np.median(confidence[clearer]) < PARAMETERS.sure
        or np.median(confidence[paler]) > PARAMETERS.doubtful
    ):
        return found
    found[paler] = confidence[paler] < PARAMETERS.sure
    return found


def _division(values: NDArray[np.float64]) -> tuple[int, float]:
    """Number of the lower values in the best division of sorted ones, and the share that it explains."""
    count = len(values)
    lower = np.arange(1, count)
    sums = np.cumsum(values)[:-1]
    between = (sums - lower * values.mean()) ** 2 / (lower * (1 - lower / count)) / count
    best = int(np.argmax(between))
    variance = float(values.var())
    return best + 1, float(between[best]) / variance if variance > 0 else 0.0
