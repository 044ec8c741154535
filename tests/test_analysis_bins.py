"""Bins of a histogram as a person chooses them."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from temwatch.analysis.statistics import population
from temwatch.analysis.statistics.bins import AUTOMATIC, MOST_BINS, Bins, binned, density

DIAMETERS = np.exp(np.random.default_rng(1).normal(np.log(8), 0.3, 3000))


def made(values, weights=None):
    values = np.asarray(values, float)
    return population.make_population(values, np.zeros(len(values), np.int64), 1, weights)


def test_without_a_choice_the_bins_are_those_of_the_rule():
    """Freedman and Diaconis."""
    found = made(DIAMETERS)
    assert binned(found, AUTOMATIC).histogram.edges.tolist() == population.histogram(found).edges.tolist()


def test_a_chosen_width_has_its_edges_at_its_multiples():
    """From the bin of the first value to that of the last one, as numpy counts them."""
    found = binned(made(DIAMETERS), Bins(width=0.3)).histogram
    assert (np.round(found.edges / 0.3) * 0.3) == pytest.approx(found.edges, abs=1e-12)
    assert found.edges[0] <= DIAMETERS.min() < found.edges[1]
    assert found.edges[-2] <= DIAMETERS.max() < found.edges[-1]
    assert np.histogram(DIAMETERS, found.edges)[0].tolist() == found.counts.tolist()


def test_a_value_at_a_decimal_edge_is_in_the_bin_above():
    """3 * 0.1 > 0.3 for a computer, not for a person."""
    found = binned(made([0.1, 0.2, 0.3, 0.35]), Bins(width=0.1)).histogram
    assert [1, 1, 2] == found.counts.tolist()


def test_a_range_shows_a_part_at_the_same_height():
    """What lies beyond is counted apart and still counts for the density."""
    whole = binned(made(DIAMETERS), Bins(width=0.5, low=0, high=30)).histogram
    part = binned(made(DIAMETERS), Bins(width=0.5, low=5, high=10))
    shown = (whole.edges >= 5) & (whole.edges < 10)
    assert whole.density[shown[:-1]] == pytest.approx(part.histogram.density)
    assert np.count_nonzero((DIAMETERS < 5) | (DIAMETERS > 10)) == part.outside
    assert (5, 10) == (part.histogram.edges[0], part.histogram.edges[-1])


def test_a_logarithmic_axis_has_bins_of_one_ratio_and_an_area_of_one():
    """Per unit of the natural logarithm, for bars and smooth density."""
    weights = DIAMETERS**3
    found = made(DIAMETERS, weights)
    bars = binned(found, Bins(log=True, ratio=1.1)).histogram
    assert np.diff(np.log(bars.edges)) == pytest.approx(np.full(len(bars.counts), math.log(1.1)))
    assert 1 == pytest.approx(float((bars.density * np.diff(np.log(bars.edges))).sum()))
    assert 3000 == bars.counts.sum()
    x, y = density(found, Bins(log=True), bars.edges, (0.0, math.inf))
    # a log-normal distribution is a bell there, and weighting by volume moves its median by 3 s^2
    assert np.log(8) + 3 * 0.3**2 == pytest.approx(np.log(x[np.argmax(y)]), abs=0.1)
    assert 1 == pytest.approx(float(np.trapezoid(y, np.log(x))), abs=0.02)


@pytest.mark.parametrize("power", [0, 2, 3])
def test_the_smooth_curve_starts_and_ends_where_the_bars_do(power):
    """However wide the kernels are: with weights by volume they reached far below the smallest particle."""
    found = made(DIAMETERS, DIAMETERS**power)
    bars = binned(found, AUTOMATIC).histogram
    x, _ = density(found, AUTOMATIC, bars.edges, (0.0, math.inf))
    assert bars.edges[0] <= x[0]
    assert x[-1] <= bars.edges[-1]
    assert bars.edges[0] <= DIAMETERS.min()


def test_bins_that_would_be_too_many_are_widened():
    """And the answer says so."""
    found = binned(made(DIAMETERS), Bins(width=1e-6))
    assert found.widened
    assert MOST_BINS == len(found.histogram.counts)
    assert 3000 == found.histogram.counts.sum()
    assert not binned(made(DIAMETERS), Bins(width=0.5)).widened


NUMBERS = st.just(0.0) | st.floats(1e-6, 1e9) | st.floats(-1e9, -1e-6)
ENDS = st.none() | NUMBERS


@settings(max_examples=100, deadline=None)
@example(values=[-5000.0, 0.015625], bins=Bins(width=1.0))  # 500 widened bins end at a number of many digits
@given(
    values=st.lists(NUMBERS, max_size=20),
    bins=st.builds(
        Bins,
        width=st.none() | st.floats(1e-6, 1e9),
        ratio=st.none() | st.floats(1.001, 1e6),
        low=ENDS,
        high=ENDS,
        log=st.booleans(),
    ).filter(lambda one: one.low is None or one.high is None or one.low < one.high),
)
def test_any_choice_has_rising_edges_and_loses_nothing(values, bins):
    """Whatever the values: zeros, negative ones on a logarithmic axis, none at all."""
    answer = binned(made(values), bins)
    edges = answer.histogram.edges
    assert (np.diff(edges) > 0).all()
    assert 1 <= len(answer.histogram.counts) <= MOST_BINS
    assert len(values) == answer.outside + answer.histogram.counts.sum()
    assert np.isfinite(answer.histogram.density).all()
    if bins.low is None and bins.high is None and not bins.log:
        assert 0 == answer.outside
