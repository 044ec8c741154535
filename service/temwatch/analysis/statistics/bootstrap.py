"""The bootstrap over micrographs: fields are drawn with replacement, all particles of a field together.

Nothing is drawn particle by particle. Each field is reduced to a few sums and a histogram once, and a draw of
fields is then one row of a matrix product, so that the cost does not grow with the number of particles.

How often a field is in a draw is multinomial for few fields, and from `FEW` on a Poisson number of its own
(Hanley and MacGibbon, Comput. Methods Programs Biomed. 2006, 83, 57): the totals of a draw are divided by its
weight anyway, and one more micrograph then changes nothing in the draws of those before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
"""Number of bootstrap samples: a standard error is then known to about 2 %."""

FEW = 50
"""Fields below which exactly as many are drawn as there are."""

_BINS = 256
_BLOCK = 256  # fields whose draws are made together
_SEED = 20230405  # fixed: the same data give the same interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldSums:
    """What each field brings into a draw.

    `moments` has a row a field: the weight, and the weighted first and second power of the values about
    their mean, then of their logarithms where all are positive. `mass` is the weight between `edges`.
    """

    moments: NDArray[np.float64]
    edges: NDArray[np.float64]
    mass: NDArray[np.float32]


def field_sums(
    values: NDArray[np.float64], weights: NDArray[np.float64], field: NDArray[np.int64], fields: int
) -> FieldSums:
    """Reduce every field of view once.

    Parameters
    ----------
    values, weights : float64, (N,)
        In ascending order, at least one; and what each counts.
    field : int64, (N,)
        Field of view that each value was seen in, from 0.
    fields : int
        Number of fields of view, those without values included.
    """
    # centred, so that the difference of two sums of squares keeps its digits
    centre = float(np.average(values, weights=weights))
    centred = values - centre
    columns = [weights, weights * centred, weights * centred**2]
    if values[0] > 0:
        logs = np.log(values)
        logs -= np.average(logs, weights=weights)
        columns += [weights * logs, weights * logs**2]
    share = np.cumsum(weights)
    at = np.searchsorted(share, np.linspace(0, share[-1], _BINS + 1)[1:-1])
    inner = np.unique(values[np.minimum(at, len(values) - 1)])
    bins = np.searchsorted(inner, values, side="left")
    count = len(inner) + 1
    mass = np.bincount(field * count + bins, weights, fields * count).reshape(fields, count)
    return FieldSums(
        moments=np.column_stack([np.bincount(field, column, fields) for column in columns]),
        edges=np.concatenate((values[:1], inner, values[-1:])),
        mass=(mass / weights.mean()).astype(np.float32),
    )


def standard_errors(sums: FieldSums, quantiles: Mapping[str, float]) -> dict[str, float]:
    """Bootstrap standard errors of mean, sd, gsd and the named quantiles; none for fewer than two fields."""
    if np.count_nonzero(sums.moments[:, 0]) < 2:
        return {}
    # summed over the bins before the draws: the same numbers, from a table of fields and not of draws
    mass = np.cumsum(sums.mass, axis=1)
    moments = np.zeros((DRAWS, sums.moments.shape[1]))
    below = np.zeros((DRAWS, mass.shape[1]), np.float32)
    for place, draws in _draws(len(mass)):
        moments += draws.astype(np.float64) @ sums.moments[place]
        below += draws @ mass[place]
    total, *rest = moments.T
    filled = total > 0  # a draw of empty fields has no figures
    first, second, *third = (column[filled] / total[filled] for column in rest)
    errors = {"mean": _spread(first), "sd": _spread(np.sqrt(np.maximum(second - first**2, 0)))}
    if third:
        errors["gsd"] = _spread(np.exp(np.sqrt(np.maximum(third[1] - third[0] ** 2, 0))))
    below = below[below[:, -1] > 0]
    return errors | {name: _spread(_quantile(below, sums.edges, level)) for name, level in quantiles.items()}


def _draws(fields: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """How often each field is in each draw, (DRAWS, n), for some fields after the others."""
    if fields < FEW:
        yield slice(fields), _multinomial(fields)
        return
    for start in range(0, fields, _BLOCK):
        count = min(_BLOCK, fields - start)
        yield slice(start, start + count), _poisson(start // _BLOCK)[:count].T.astype(np.float32)


# the draws are the same for every sample: tables of a fixed seed, at most 16 MB in all
@lru_cache(maxsize=4)
def _multinomial(fields: int) -> NDArray[np.float32]:
    random = np.random.default_rng(_SEED)
    chosen = random.integers(0, fields, (DRAWS, fields))
    flat = (chosen + fields * np.arange(DRAWS)[:, None]).ravel()
    return np.bincount(flat, minlength=DRAWS * fields).reshape(DRAWS, fields).astype(np.float32)


@lru_cache(maxsize=64)
def _poisson(block: int) -> NDArray[np.uint8]:
    return np.random.default_rng((_SEED, block)).poisson(1.0, (_BLOCK, DRAWS)).astype(np.uint8)


def _quantile(below: NDArray[np.float32], edges: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """One quantile of each row of cumulative masses, linear within a bin."""
    rows = np.arange(len(below))
    wanted = level * below[:, -1]
    cell = np.minimum(np.count_nonzero(below < wanted[:, None], axis=1), below.shape[1] - 1)
    before = np.where(cell > 0, below[rows, cell - 1], 0.0)
    inside = np.maximum(below[rows, cell] - before, 1e-12)
    part = np.clip((wanted - before) / inside, 0, 1)
    found: NDArray[np.float64] = edges[cell] + part * (edges[cell + 1] - edges[cell])
    return found


def _spread(draws: NDArray[np.float64]) -> float:
    return float(draws.std(ddof=1)) if len(draws) > 1 else 0.0
