"""The distribution of one descriptor in a sample: its figures, their uncertainty, and its histogram.

Particles of one micrograph are not independent: they share the field, the focus and the mistakes of one
segmentation. Intervals are therefore taken from a bootstrap that draws whole micrographs; see `bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics import bootstrap

Reals = NDArray[np.float64]

WEIGHTINGS = {"number": 0, "area": 2, "volume": 3}
"""Power of the equivalent diameter that each particle counts with (ISO 9276-1 and 9276-2: r = 0, 2, 3)."""

FIGURES = ("mean", "sd", "gsd", "d10", "d50", "d90")
QUANTILES = {"d10": 0.1, "d50": 0.5, "d90": 0.9}

_MOST_BINS = 80
_FEWEST_BINS = 6


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: cached properties need a place
class Population:
    """Values of one descriptor in ascending order, what each counts, and the field it was seen in.

    `field` counts independent fields of view from 0: a micrograph is one, and so is a whole sequence, whose
    frames show the same particles. `fields` is their number, those without particles included.
    """

    values: Reals
    weights: Reals
    field: NDArray[np.int64]
    fields: int

    @cached_property
    def effective_count(self) -> float:
        """Number of equally weighted particles that would carry as much information (Kish)."""
        total = float(self.weights.sum())
        return total**2 / float((self.weights**2).sum()) if total > 0 else 0.0

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """Mean, standard deviation, geometric standard deviation, D10, D50 and D90 with their intervals.

        Equal weights give the standard deviation with N - 1 and linearly interpolated percentiles, as
        `summary.summarise` does.
        """
        return _figures_with_intervals(self)

    @property
    def figures_alone(self) -> Mapping[str, Figure]:
        """The same without the intervals, which take most of the time."""
        return {name: Figure(value=value) for name, value in _figures(self).items()}


FEWEST_FIELDS = 4
"""Independent fields of view below which a spread between them says too little for an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with the half-width of its 95 % interval; None where it is not known."""

    value: float | None
    half_width: float | None = None


def make_population(
    values: Reals, field: NDArray[np.int64], fields: int, weights: Reals | None = None
) -> Population:
    """A population of those values that are finite and count for something, sorted once.

    Parameters
    ----------
    values : float64, (N,)
        One descriptor, in its unit.
    field : int64, (N,)
        Field of view that each was seen in, from 0.
    fields : int
        Number of fields of view, those without values included.
    weights : float64, (N,), optional
        What each value counts; one each without it.
    """
    weights = np.ones(len(values)) if weights is None else weights
    sound = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    order = np.argsort(values[sound], kind="stable")  # one pass where they are sorted already
    return Population(
        values=values[sound][order],
        weights=np.asarray(weights[sound][order], float),
        field=field[sound][order],
        fields=fields,
    )


def _figures_with_intervals(found: Population) -> Mapping[str, Figure]:
    values = _figures(found)
    error = {}
    if len(found.values):
        sums = bootstrap.field_sums(found.values, found.weights, found.field, found.fields)
        error = bootstrap.standard_errors(sums, QUANTILES)
    factor = interval_factor(found.fields)
    return {
        name: Figure(
            value=values[name],
            half_width=None
            if values[name] is None or name not in error or factor is None
            else factor * error[name],
        )
        for name in FIGURES
    }


def _figures(found: Population) -> dict[str, float | None]:
    x, w, count = found.values, found.weights, found.effective_count
    if not len(x):
        return dict.fromkeys(FIGURES)
    mean = float(np.average(x, weights=w))
    spread = math.sqrt(_variance(x, w, count)) if count > 1 else None
    gsd = math.exp(math.sqrt(_variance(np.log(x), w, count))) if count > 1 and x[0] > 0 else None
    quantiles = weighted_quantiles(x, w, tuple(QUANTILES.values()))
    return {"mean": mean, "sd": spread, "gsd": gsd} | dict(zip(QUANTILES, quantiles.tolist(), strict=True))


def _variance(x: Reals, w: Reals, count: float) -> float:
    mean = np.average(x, weights=w)
    return float(np.average((x - mean) ** 2, weights=w)) * count / (count - 1)


def interval_factor(fields: int) -> float | None:
    """What a bootstrap standard error is multiplied with to be the half-width of a 95 % interval.

    Student's t for `fields` - 1 degrees of freedom, and sqrt(n / (n - 1)) because a bootstrap of few
    fields finds too little spread (Hesterberg, The American Statistician 2015, 69, 371). None below
    `FEWEST_FIELDS`.
    """
    if fields < FEWEST_FIELDS:
        return None
    from scipy import special

    return float(special.stdtrit(fields - 1, 0.975)) * math.sqrt(fields / (fields - 1))


def weighted_quantiles(x: Reals, w: Reals, shares: tuple[float, ...] | Reals) -> Reals:
    """Percentiles of weighted values; with equal weights those of `numpy.percentile`.

    Parameters
    ----------
    x, w : float64, (N,)
        Values in ascending order, at least one, and their weights.
    shares : (Q,)
        Quantiles between 0 and 1.
    """
    if len(x) == 1:
        return np.full(len(shares), x[0])
    place = np.cumsum(w) - w / 2
    place = (place - place[0]) / (place[-1] - place[0])
    return np.interp(shares, place, x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histogram:
    """`counts` particles between `edges`; `density` is their weighted share per unit of the axis."""

    edges: Reals
    counts: NDArray[np.int64]
    density: Reals


def histogram(found: Population, edges: Reals | None = None, *, log: bool = False) -> Histogram:
    """Histogram over bins of a round width; a bin holds its lower edge, the last one both.

    The density is per unit of the values, with `log` per unit of their natural logarithm.
    """
    if edges is None:
        edges = bin_edges(found)
    at = _counts_below(found.values, edges)
    total = float(found.weights.sum()) or 1.0
    widths = np.diff(np.log(edges) if log else edges)
    density = _mass(found.weights, at) / (total * widths)
    return Histogram(edges=edges, counts=np.diff(at), density=density)


def _counts_below(values: Reals, edges: Reals) -> NDArray[np.int64]:
    """How many of ascending values lie below each edge; the last edge belongs to its bin."""
    return np.append(np.searchsorted(values, edges[:-1]), np.searchsorted(values, edges[-1:], side="right"))


def _mass(weights: Reals, places: NDArray[np.int64]) -> Reals:
    """Sum of the weights between one place and the next."""
    return np.diff(np.append(0.0, np.cumsum(weights))[places])


def bin_edges(*several: Population) -> Reals:
    """Edges that suit all of the populations: the rule of Freedman and Diaconis, rounded to 1, 2 or 5."""
    filled = [one for one in several if len(one.values)]
    if not filled:
        return np.array([0.0, 1.0])
    low = min(float(one.values[0]) for one in filled)
    high = max(float(one.values[-1]) for one in filled)
    if high - low <= 1e-9 * abs(high):
        half = abs(high) / 20 or 0.5
        return np.array([low - half, low + half])
    widths = []
    for one in filled:
        lower, upper = weighted_quantiles(one.values, one.weights, (0.25, 0.75))
        widths.append(2 * float(upper - lower) / max(one.effective_count, 1.0) ** (1 / 3))
    width = min(max(min(widths), (high - low) / _MOST_BINS), (high - low) / _FEWEST_BINS)
    step = _round_width(width)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    # a decimal step times a whole number is not the decimal: 3 * 0.1 > 0.3
    decimals = max(0, 2 - math.floor(math.log10(step)))
    return np.round(np.arange(first, last + 1) * step, decimals)


def _round_width(width: float) -> float:
    power = 10.0 ** math.floor(math.log10(width))
    return min((1.0, 2.0, 5.0, 10.0), key=lambda digit: abs(math.log(digit * power / width))) * power


def density(
    found: Population, points: int = 201, limits: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[Reals, Reals]:
    """A smooth density of the weighted values: Gaussian kernels of Silverman's width, from a fine histogram.

    Parameters
    ----------
    found : Population
        What is described.
    points : int
        Number of abscissae.
    limits : tuple of float
        What the descriptor cannot leave; there the density is reflected, so that nothing lies
        beyond (Silverman, Density Estimation, 1986, section 2.10).

    Returns
    -------
    x, y
        Abscissae and density; both empty where there are too few values to speak of one.
    """
    x, w = found.values, found.weights
    if found.effective_count < 3 or x[0] == x[-1]:
        return np.empty(0), np.empty(0)
    lower, upper = weighted_quantiles(x, w, (0.25, 0.75))
    spread = math.sqrt(_variance(x, w, found.effective_count))
    spread = min(spread, float(upper - lower) / 1.349) if upper > lower else spread
    width = 0.9 * spread * found.effective_count ** (-1 / 5)
    lowest, highest = (
        (limits[0] if x[0] >= limits[0] else -math.inf),
        (limits[1] if x[-1] <= limits[1] else math.inf),
    )
    low, high = max(float(x[0]) - 3 * width, lowest), min(float(x[-1]) + 3 * width, highest)
    cells = max(512, math.ceil(4 * (high - low) / width))
    cells = min(cells, 8192)
    edges = np.linspace(low, high, cells + 1)
    mass = _mass(w, _counts_below(x, edges))
    step = float(edges[1] - edges[0])
    reach = min(math.ceil(4 * width / step), cells)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    beyond = (
        mass[:reach][::-1] if low == lowest else np.zeros(reach),
        mass[-reach:][::-1] if high == highest else np.zeros(reach),
    )
    smooth = np.convolve(np.concatenate([beyond[0], mass, beyond[1]]), kernel / kernel.sum(), mode="valid")
    centres = (edges[:-1] + edges[1:]) / 2
    at = np.linspace(low, high, points)
    return at, np.interp(at, centres, smooth / (w.sum() * step))
