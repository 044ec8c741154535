"""Normal and log-normal distributions fitted to a population, and which of the two describes it better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics.population import Population

_FEWEST = 5
_STRIDE = 512
_CLEAR_AIC = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted distribution.

    `location` and `scale` are mean and standard deviation of the values (normal) or of their natural
    logarithms (log-normal). `aic` is Akaike's criterion, smaller is better; `distance` the largest difference
    between the cumulative distributions of data and fit (Kolmogorov and Smirnov), between 0 and 1.
    """

    name: str
    location: float
    scale: float
    aic: float
    distance: float


def fits(found: Population) -> list[Fit]:
    """Both fits by maximum likelihood, the better one (smaller AIC) first; none for too few values.

    Weighted values enter the likelihood with their weights, brought to the effective number of particles.
    """
    x, w, count = found.values, found.weights, found.effective_count
    if count < _FEWEST or x[0] == x[-1]:
        return []
    share = w / w.sum()
    above = np.cumsum(share)
    result = [_fit("normal", x, share, above, count, 0.0)]
    if x[0] > 0:
        logs = np.log(x)
        result.append(_fit("log-normal", logs, share, above, count, _mean(logs, share)))
    return sorted(result, key=lambda fit: fit.aic)


def are_equal(found: Sequence[Fit]) -> bool:
    """Whether the data do not tell the fits apart.

    Their criteria differ by less than 2 (Burnham and Anderson, Model Selection and Multimodel Inference,
    2002, 2.6), or their distances do not differ as people read them, in two digits.
    """
    if len(found) < 2:
        return False
    first, second = found
    return abs(first.aic - second.aic) < _CLEAR_AIC or f"{first.distance:.2g}" == f"{second.distance:.2g}"


def _fit(
    name: str,
    y: NDArray[np.float64],
    share: NDArray[np.float64],
    above: NDArray[np.float64],
    count: float,
    mean_log: float,
) -> Fit:
    location = _mean(y, share)
    scale = math.sqrt(_mean((y - location) ** 2, share))
    # -2 log L of a normal distribution at its maximum; for logarithms the density of x has a factor 1 / x
    aic = count * (math.log(2 * math.pi * scale**2) + 1 + 2 * mean_log) + 4
    distance = _distance((y - location) / scale, share, above)
    return Fit(name=name, location=location, scale=scale, aic=aic, distance=distance)


def _mean(y: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    # a sum and no product of vectors: BLAS would wake a thread a core, which the engine needs
    return float((share * y).sum())


def _distance(z: NDArray[np.float64], share: NDArray[np.float64], above: NDArray[np.float64]) -> float:
    """Largest difference between the cumulative distribution of ascending `z` and the standard normal one.

    Both rise, so between two places neither can leave what they are there: only where that leaves room for
    a larger difference than one already seen is every value looked at.
    """
    from scipy import special

    ends = np.append(np.arange(0, len(z) - 1, _STRIDE), len(z) - 1)
    model, data = special.ndtr(z[ends]), above[ends]
    seen = float(np.maximum(np.abs(data - model), np.abs(data - share[ends] - model)).max())
    room = np.maximum(data[1:] - model[:-1], model[1:] - data[:-1])
    for start in ends[:-1][room > seen]:
        part = slice(start, start + _STRIDE)
        model = special.ndtr(z[part])
        here = np.maximum(np.abs(above[part] - model), np.abs(above[part] - share[part] - model))
        seen = max(seen, float(here.max()))
    return seen


def fitted_density(fit: Fit, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of the fitted distribution at `x`."""
    if fit.name == "normal":
        return _bell((x - fit.location) / fit.scale) / fit.scale
    positive = np.maximum(x, 1e-300)
    return np.where(x > 0, _bell((np.log(positive) - fit.location) / fit.scale) / (fit.scale * positive), 0.0)


def _bell(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))
