"""The bins of a histogram as a person chooses them: width, range and a logarithmic axis."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics import population
from temwatch.analysis.statistics.population import Histogram, Population

MOST_BINS = 500
"""Bins of a histogram; narrower ones are widened to fit."""

_FINEST = 1e-9  # of the largest value: below, edges of bins are no different numbers

_ALMOST = 1e-6  # of a bin: what rounding may leave over


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """What is chosen of the bins; what is None follows from the data.

    `width` is that of each bin in the unit of the descriptor; on a logarithmic axis `ratio`, that of its
    edges, takes its place. `low` and `high` are the ends of the axis; a logarithmic one has none at 0.
    """

    width: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False


AUTOMATIC = Bins()
"""All as the data have it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binned:
    """A histogram over chosen bins, whose density on a logarithmic axis is per unit of the logarithm.

    `outside` counts the particles beyond the axis; `widened` says that the chosen bins were too narrow.
    """

    histogram: Histogram
    outside: int
    widened: bool


def binned(found: Population, chosen: Bins) -> Binned:
    """Histogram of a population over the chosen bins; its heights do not depend on the range."""
    if chosen == AUTOMATIC:
        return Binned(histogram=population.histogram(found), outside=0, widened=False)
    edges, widened = _edges(on_axis(found, chosen), _on_axis(chosen))
    bars = population.histogram(found, _in_unit(edges, found, chosen), log=chosen.log)
    return Binned(histogram=bars, outside=len(found.values) - int(bars.counts.sum()), widened=widened)


def on_axis(found: Population, chosen: Bins) -> Population:
    """The population as it is drawn: on a logarithmic axis the natural logarithms of what is positive."""
    if not chosen.log:
        return found
    positive = found.values > 0
    return Population(
        values=np.log(found.values[positive]),
        weights=found.weights[positive],
        field=found.field[positive],
        fields=found.fields,
    )


def _on_axis(chosen: Bins) -> Bins:
    """The choice in units of the axis as it is drawn."""
    if not chosen.log:
        return chosen
    low, high = (math.log(end) if end is not None and end > 0 else None for end in (chosen.low, chosen.high))
    width = None if chosen.ratio is None else math.log(chosen.ratio)
    return replace(chosen, width=width, low=low, high=high)


def _edges(found: Population, chosen: Bins) -> tuple[NDArray[np.float64], bool]:
    """Edges from the chosen end of the axis, else from a multiple of the width just below the first value."""
    automatic = population.bin_edges(found)
    first, last = (found.values[[0, -1]] if len(found.values) else automatic[[0, -1]]).tolist()
    wanted = chosen.width or float(automatic[1] - automatic[0])
    width = max(wanted, _FINEST * max(abs(end or 0.0) for end in (first, last, chosen.low, chosen.high)))
    low = math.floor(first / width) * width if chosen.low is None else chosen.low
    if chosen.high is None:
        bins = math.floor(min((last - low) / width, MOST_BINS)) + 1
    else:
        low = min(low, chosen.high - width) if chosen.low is None else low
        bins = math.ceil(min((chosen.high - low) / width, MOST_BINS + 1) - _ALMOST)
    if bins > MOST_BINS:
        width = ((last if chosen.high is None else chosen.high) - low) / MOST_BINS
    edges = low + width * np.arange(min(max(bins, 1), MOST_BINS) + 1)
    if not chosen.log:  # a decimal width times a whole number is not the decimal: 3 * 0.1 > 0.3
        edges = np.round(edges, max(0, 6 - math.floor(math.log10(width))))
    if chosen.high is not None:
        edges[-1] = chosen.high
    return edges, width > wanted


def _in_unit(edges: NDArray[np.float64], found: Population, chosen: Bins) -> NDArray[np.float64]:
    """Edges in the unit of the values; no end that follows from the data leaves a value out by rounding."""
    if chosen.log:
        edges = np.exp(edges)
    ends = [chosen.low, chosen.high]
    values = found.values[found.values > 0] if chosen.log else found.values
    for place, end, outermost in ((0, ends[0], min), (-1, ends[1], max)):
        if end is not None and (end > 0 or not chosen.log):
            edges[place] = end
        elif len(values):
            edges[place] = outermost(edges[place], values[place])
    return edges


def density(
    found: Population, chosen: Bins, edges: NDArray[np.float64], limits: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A smooth density of a population between the outer edges of its histogram, as `population.density`.

    On a logarithmic axis it is smoothed there, and per unit of the logarithm.
    """
    if chosen.log:
        logs, y = population.density(on_axis(found, chosen))
        x = np.exp(logs)
    else:
        x, y = population.density(found, limits=limits)
    shown = (x >= edges[0]) & (x <= edges[-1])
    return x[shown], y[shown]
