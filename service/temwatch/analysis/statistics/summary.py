"""Statistics of a sample: one dictionary a descriptor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from temwatch.descriptors import Shown, shown

SUMMARISED = tuple(one.name for one in shown(Shown.STATISTICS))
"""Columns of particles.csv that a sample's statistics are made of."""


def summarise(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, float | None]]:
    """Count, mean, standard deviation (N - 1), median, extremes and deciles of each descriptor.

    Parameters
    ----------
    columns
        Values by column name; names that are not in `SUMMARISED` are left out, and so are values that
        are not finite. d10, d50 and d90 are number-weighted percentiles, linearly interpolated.

    Returns
    -------
    One entry a descriptor present; a figure that is not defined (the mean of nothing, the standard
    deviation of one value) is None.
    """
    return {name: _summary(np.asarray(columns[name], float)) for name in SUMMARISED if name in columns}


def _summary(values: NDArray[np.float64]) -> dict[str, float | None]:
    values = values[np.isfinite(values)]
    if not values.size:
        return {"count": 0, **dict.fromkeys(("mean", "sd", "median", "min", "max", "d10", "d50", "d90"))}
    d10, d50, d90 = (float(value) for value in np.percentile(values, (10, 50, 90)))
    return {
        "count": int(values.size),
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if values.size > 1 else None,
        "median": d50,
        "min": float(values.min()),
        "max": float(values.max()),
        "d10": d10,
        "d50": d50,
        "d90": d90,
    }
