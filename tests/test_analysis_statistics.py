"""Statistics of a sample."""

import numpy as np
import pytest

from temwatch.analysis.statistics.summary import SUMMARISED, summarise


def test_figures_of_a_known_set():
    found = summarise({"area_nm2": np.array([1.0, 2.0, 3.0, 4.0, 5.0])})["area_nm2"]
    assert found == {
        "count": 5,
        "mean": 3.0,
        "sd": pytest.approx(np.sqrt(2.5)),  # N - 1
        "median": 3.0,
        "min": 1.0,
        "max": 5.0,
        "d10": pytest.approx(1.4),
        "d50": 3.0,
        "d90": pytest.approx(4.6),
    }


def test_nothing_has_no_mean_and_one_value_no_deviation():
    assert summarise({"circularity": np.array([])})["circularity"] == {
        "count": 0,
        **dict.fromkeys(("mean", "sd", "median", "min", "max", "d10", "d50", "d90")),
    }
    one = summarise({"circularity": np.array([0.9])})["circularity"]
    assert (one["count"], one["mean"], one["sd"], one["d90"]) == (1, 0.9, None, 0.9)


def test_values_that_are_not_finite_are_left_out():
    found = summarise({"convexity": np.array([1.0, np.nan, 0.5, np.inf])})["convexity"]
    assert (found["count"], found["mean"]) == (2, 0.75)


def test_only_descriptors_are_summarised_in_their_order():
    columns = {name: np.arange(3.0) for name in ("particle", *reversed(SUMMARISED))}
    assert tuple(summarise(columns)) == SUMMARISED


def test_descriptors_are_columns_of_the_table():
    from temwatch.columns import PARTICLE_COLUMNS

    assert set(SUMMARISED) <= {column.name for column in PARTICLE_COLUMNS}
