"""Confidence: the probability that what is reported as a particle is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.domain import Probability, Region

STEPS = 31
"""A probability is kept in so many steps, which take few bytes: it is 0 or 1 almost everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceParameters:
    """A logistic regression on the particles that `uecs` finds in 46 figures of articles.

    The network had not been trained on any of them; a particle counts as right if its intersection over union
    with a labelled one is at least 0.5. docs/measurement.md has how well that holds on other figures and on
    another source.
    """

    always: float = -1.7
    inner_doubt: float = -1.75
    """Of the logarithm of the doubt in the surer half of the particle's pixels, plus `least_doubt`. The doubt
    of a pixel of probability p is 4 p (1 - p): 0 where the network is sure, 1 where it cannot tell."""
    least_doubt: float = 0.02
    outer_doubt: float = -1.03
    """Of the doubt in the other half, which the outline is part of."""
    paler: float = 2.35
    """Of the logarithm of the contrast over that of the micrograph's dark particles, 0 or less."""
    dark_share: float = 0.75
    """Particles with so much of the area of all are paler than the dark ones."""
    least_contrast: float = 0.2
    """Paler than this, over the dark ones, counts no more: what the network is sure of stays certain."""
    hidden: float = -3.8
    """Of the share of the outline that was not seen."""


PARAMETERS = ConfidenceParameters()


def confidences(
    regions: Sequence[Region], probability: Probability, contrast: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Confidence of each region, 0 to 1.

    Parameters
    ----------
    regions : sequence of Region
        Single particles of a micrograph.
    probability : uint8, (y, x)
        Of being particle, in `STEPS` steps.
    contrast : float64, (regions,)
        Of the same regions; NaN, where it is not known, says nothing.
    """
    codes = np.array(probability)  # what the ledger gives is read-only, another type to the compiler
    doubts = np.array([_doubts(region, codes) for region in regions], float).reshape(-1, 2)
    hidden = np.array([1 - region.visible_fraction for region in regions], float)
    areas = np.array([np.count_nonzero(region.mask) for region in regions], float)
    odds = (
        PARAMETERS.always
        + PARAMETERS.inner_doubt * np.log(doubts[:, 0] + PARAMETERS.least_doubt)
        + PARAMETERS.outer_doubt * doubts[:, 1]
        + PARAMETERS.paler * _paleness(contrast, areas)
        + PARAMETERS.hidden * hidden
    )
    return np.asarray(1 / (1 + np.exp(-odds)), np.float64)


def _paleness(contrast: NDArray[np.float64], areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the contrast over that of the dark particles; 0 for these, and where it is not known."""
    known = np.flatnonzero(contrast > 0)
    if not len(known):
        return np.zeros(len(contrast))
    order = known[np.argsort(contrast[known], kind="stable")]
    covered = np.cumsum(areas[order])
    dark = contrast[order[np.searchsorted(covered, PARAMETERS.dark_share * covered[-1])]]
    share = np.clip(contrast / dark, PARAMETERS.least_contrast, 1.0)
    return np.asarray(np.log(np.where(np.isnan(share), 1.0, share)), np.float64)


def _doubts(region: Region, probability: Probability) -> tuple[float, float]:
    inner, outer = _half_doubts(np.ascontiguousarray(region.mask), probability, region.origin_px)
    return inner, outer


@njit(cache=True, nogil=True)
def _half_doubts(
    mask: NDArray[np.bool_], probability: Probability, origin: tuple[int, int]
) -> tuple[float, float]:
    """Mean doubt of the pixels of a region with the higher half of the probabilities, and of the others."""
    counts = np.zeros(STEPS + 1, np.int64)
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if mask[row, column]:
                counts[min(probability[origin[0] + row, origin[1] + column], STEPS)] += 1
    total = counts.sum()
    upper = total - total // 2
    inner = outer = 0.0
    seen = 0
    for step in range(STEPS, -1, -1):
        share = step / STEPS
        doubt = 4 * share * (1 - share)
        high = min(counts[step], max(upper - seen, 0))
        inner += high * doubt
        outer += (counts[step] - high) * doubt
        seen += counts[step]
    if total == upper:
        return inner / max(upper, 1), inner / max(upper, 1)
    return inner / upper, outer / (total - upper)
