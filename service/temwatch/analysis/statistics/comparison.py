"""Diameters that a person measured, compared with those of temwatch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics.manual_table import FEWEST_VALUES


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sets of diameters and two tests of whether they could be of one distribution.

    `welch_p` is of Welch's t-test of the means (unequal variances), `ks_p` of the two-sample test of
    Kolmogorov and Smirnov, whose statistic is the largest distance of the cumulative distributions.
    """

    count: tuple[int, int]
    mean: tuple[float, float]
    sd: tuple[float, float]
    median: tuple[float, float]
    difference: float
    welch_t: float
    welch_p: float
    ks_distance: float
    ks_p: float


def compare(automatic: NDArray[np.float64], manual: NDArray[np.float64]) -> Comparison | None:
    """Compare two sets of diameters in nm; None where one of them has fewer than three values."""
    from scipy import stats

    sets = (automatic, manual)
    if min(map(len, sets)) < FEWEST_VALUES:
        return None
    if all(float(np.ptp(one)) == 0 for one in sets):  # no spread, no test
        same = bool(automatic[0] == manual[0])
        t, p = (0.0, 1.0) if same else (math.inf, 0.0)
    else:
        moments = [part for one in sets for part in (one.mean(), one.std(ddof=1), len(one))]
        # of the moments: the test of the values warns where these are nearly equal
        t, p = (float(value) for value in stats.ttest_ind_from_stats(*moments, equal_var=False))
    ks = stats.ks_2samp(automatic, manual, method="asymp")

    def both(statistic: Callable[[NDArray[np.float64]], float]) -> tuple[float, float]:
        return float(statistic(automatic)), float(statistic(manual))

    return Comparison(
        count=(len(automatic), len(manual)),
        mean=both(np.mean),
        sd=both(lambda values: values.std(ddof=1)),
        median=both(np.median),
        difference=float(manual.mean() - automatic.mean()),
        welch_t=t,
        welch_p=p,
        ks_distance=float(ks.statistic),
        ks_p=float(ks.pvalue),
    )
