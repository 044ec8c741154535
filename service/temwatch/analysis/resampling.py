"""The bootstrap over micrographs: fields are drawn with replacement, all particles of a field together.

Nothing is drawn particle by particle. Each field is reduced to a few sums and a histogram once, and a draw of
fields is then one row of a matrix product, so that the cost does not grow with the number of particles.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
"""Number of bootstrap samples: a standard error is then known to about 2 %."""

_BINS = 256
_SEED = 20230405  # fixed: the same data give the same interval


def standard_errors(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    field: NDArray[np.int64],
    fields: int,
    quantiles: Mapping[str, float],
) -> dict[str, float]:
    """Bootstrap standard errors of mean, sd, gsd and the named quantiles; none for fewer than two fields.

    `values` are in ascending order.
    """
    if fields < 2 or not len(field) or (field == field[0]).all():
        return {}
    draws = _draws(fields)
    errors = _moment_errors(values, weights, field, fields, draws)
    return errors | _quantile_errors(values, weights, field, fields, draws, quantiles)


@lru_cache(maxsize=8)
def _draws(fields: int) -> NDArray[np.float32]:
    """How often each field is in each draw, shape (DRAWS, fields)."""
    random = np.random.default_rng(_SEED)
    chosen = random.integers(0, fields, (DRAWS, fields))
    flat = (chosen + fields * np.arange(DRAWS)[:, None]).ravel()
    return np.bincount(flat, minlength=DRAWS * fields).reshape(DRAWS, fields).astype(np.float32)


def _moment_errors(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    field: NDArray[np.int64],
    fields: int,
    draws: NDArray[np.float32],
) -> dict[str, float]:
    # centred, so that the difference of two sums of squares keeps its digits
    centred = values - np.average(values, weights=weights)
    positive = bool(values[0] > 0)
    columns = [weights, weights * centred, weights * centred**2]
    if positive:
        logs = np.log(values)
        logs -= np.average(logs, weights=weights)
        columns += [weights * logs, weights * logs**2]
    sums = np.column_stack([np.bincount(field, column, fields) for column in columns])
    total, *rest = (draws.astype(np.float64) @ sums).T
    filled = total > 0  # a draw of empty fields alone says nothing
    first, second, *third = (column[filled] / total[filled] for column in rest)
    errors = {"mean": _spread(first), "sd": _spread(np.sqrt(np.maximum(second - first**2, 0)))}
    if positive:
        errors["gsd"] = _spread(np.exp(np.sqrt(np.maximum(third[1] - third[0] ** 2, 0))))
    return errors


def _quantile_errors(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    field: NDArray[np.int64],
    fields: int,
    draws: NDArray[np.float32],
    quantiles: Mapping[str, float],
) -> dict[str, float]:
    share = np.cumsum(weights)
    at = np.searchsorted(share, np.linspace(0, share[-1], _BINS + 1)[1:-1])
    inner = np.unique(values[np.minimum(at, len(values) - 1)])
    edges = np.concatenate((values[:1], inner, values[-1:]))
    bins = np.searchsorted(inner, values, side="left")
    count = len(inner) + 1
    mass = np.bincount(field * count + bins, weights, fields * count).reshape(fields, count)
    below = np.cumsum(draws @ (mass / weights.mean()).astype(np.float32), axis=1, dtype=np.float64)
    below = below[below[:, -1] > 0]
    rows = np.arange(len(below))
    errors = {}
    for name, level in quantiles.items():
        wanted = level * below[:, -1]
        cell = np.minimum((below < wanted[:, None]).sum(axis=1), count - 1)
        before = np.where(cell > 0, below[rows, cell - 1], 0.0)
        inside = np.maximum(below[rows, cell] - before, 1e-12)
        part = np.clip((wanted - before) / inside, 0, 1)
        errors[name] = _spread(edges[cell] + part * (edges[cell + 1] - edges[cell]))
    return errors


def _spread(draws: NDArray[np.float64]) -> float:
    return float(draws.std(ddof=1)) if len(draws) > 1 else 0.0
