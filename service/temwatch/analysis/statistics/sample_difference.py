"""Whether two samples differ, and by how much, where the particles of one field are not independent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics.population import FEWEST_FIELDS, Population

EFFECTS = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"), (1.0, "large"))
"""Cliff's delta up to which an effect is called so (Romano et al., J. Florida Assoc. Inst. Res. 2006)."""

_ROUNDING = 1e-12  # of a mean: sums of equal values differ by less


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleDifference:
    """What a second sample has more than a first one.

    Attributes
    ----------
    difference : float
        Mean of the second sample minus that of the first, in the unit of the descriptor.
    half_width : float or None
        Half-width of its 95 % interval; None, as `t`, `degrees` and `p`, where a sample has particles on
        fewer than four independent fields of view.
    t, degrees, p : float or None
        Welch's t-test of the means, two-sided, with fields of view as the independent observations.
    cliffs_delta : float
        Probability that a particle of the second sample has the larger value, minus that of the reverse:
        from -1 to 1, and 0 where neither is larger (Cliff, Psychological Bulletin 1993, 114, 494).
    """

    difference: float
    half_width: float | None
    t: float | None
    degrees: float | None
    p: float | None
    cliffs_delta: float

    @property
    def effect(self) -> str:
        """A word for the size of Cliff's delta."""
        return next(word for limit, word in EFFECTS if abs(self.cliffs_delta) <= limit + 1e-12)


def difference(first: Population, second: Population) -> SampleDifference | None:
    """Compare two populations of one descriptor; None where one of them is empty."""
    if not len(first.values) or not len(second.values):
        return None
    means, variances, fields = zip(*map(_mean_of_fields, (first, second)), strict=True)
    by = means[1] - means[0]
    least = _ROUNDING * max(map(abs, means))
    test = _welch(by, variances, fields, least) if min(fields) >= FEWEST_FIELDS else (None,) * 4
    half_width, t, degrees, p = test
    return SampleDifference(
        difference=by,
        half_width=half_width,
        t=t,
        degrees=degrees,
        p=p,
        cliffs_delta=cliffs_delta(first, second),
    )


def _mean_of_fields(found: Population) -> tuple[float, float, int]:
    """Mean, its variance between fields of view, and the number of fields that have particles.

    The mean is a ratio of two sums over fields, and its variance that of a ratio estimator (Cochran, Sampling
    Techniques, 1977, section 6.3). With equally many particles on each field it is the variance of the means
    of the fields over their number, as in Welch's test.
    """
    mean = float(np.average(found.values, weights=found.weights))
    residuals = np.bincount(found.field, found.weights * (found.values - mean), found.fields)
    fields = int(np.count_nonzero(np.bincount(found.field, found.weights, found.fields)))
    if fields < 2:
        return mean, math.nan, fields
    spread = float((residuals**2).sum()) / float(found.weights.sum()) ** 2
    return mean, spread * fields / (fields - 1), fields


def _welch(
    by: float, variances: Sequence[float], fields: Sequence[int], least: float
) -> tuple[float, float, float, float]:
    """Half-width of the 95 % interval, t, degrees of freedom after Satterthwaite, and p.

    A difference or a spread of at most `least` is none.
    """
    from scipy import special

    total = sum(variances)
    if total <= least**2:  # no spread, no test
        degrees = float(sum(fields) - 2)
        differs = abs(by) > least
        return (0.0, math.copysign(math.inf, by), degrees, 0.0) if differs else (0.0, 0.0, degrees, 1.0)
    degrees = total**2 / sum(one**2 / (n - 1) for one, n in zip(variances, fields, strict=True))
    t = by / math.sqrt(total)
    p = 2 * float(special.stdtr(degrees, -abs(t)))
    return float(special.stdtrit(degrees, 0.975)) * math.sqrt(total), t, degrees, p


def cliffs_delta(first: Population, second: Population) -> float:
    """How much more often a particle of the second population has the larger value, with their weights."""
    share = np.append(0.0, np.cumsum(first.weights)) / first.weights.sum()
    below = share[np.searchsorted(first.values, second.values, side="left")]
    above = 1 - share[np.searchsorted(first.values, second.values, side="right")]
    return float(np.average(below - above, weights=second.weights))


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Adjust p-values for their number (Holm, Scandinavian Journal of Statistics 1979, 6, 65).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, float)
    order = np.argsort(values)
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty(len(values))
    result[order] = np.minimum(adjusted, 1.0)
    return result
