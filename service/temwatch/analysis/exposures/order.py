"""The order of pixels by brightness, which a copy shares with its original and no other exposure does.

Whatever a program does to one pixel at a time (a contrast stretch, clipping, gamma, 8 bits, other counts)
makes no pixel brighter than one that was brighter before. The noise of another exposure does, in every
second pair of pixels that are about as bright, even if the specimen outweighs it by far.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.exposures.blocks import is_written
from temwatch.domain import Image

Order = NDArray[np.uint16]
"""Rank of one pixel of every block, from 1, equal for equal values; 0: it says nothing. (rows, columns)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderParameters:
    """Measured on simulated pairs over the range of `simulator.random_settings`, see docs/measurement.md.

    `most_disorder` is the share of pixels that may be out of order in copies of one size: exact copies have
    none, a scale bar and letters put some there; other exposures have 0.3 or more. `most_disorder_halved` is
    for copies of half size, whose values were rounded before their mean was taken (0.12 at most). Orders of
    less than `fewest_pixels` say nothing, and those of images of which less than `least_changes` of the
    neighbouring pixels differ: rounding has taken their noise.
    """

    most_disorder: float = 0.05
    most_disorder_halved: float = 0.15
    fewest_pixels: int = 60
    least_changes: float = 0.25


PARAMETERS = OrderParameters()


def pixel_order(blocks: Image) -> Order:
    """The order of one pixel of every block."""
    values = blocks[:, :, 3, 4]
    useful = ~is_written(blocks)
    changes = blocks[..., 1:] != blocks[..., :-1]
    order = np.zeros(values.shape, np.uint16)
    if useful.any() and changes.mean() >= PARAMETERS.least_changes:
        _, ranks = np.unique(values[useful], return_inverse=True)
        order[useful] = ranks + 1
    return order


def is_same_order(one: Order, other: Order, *, halved: bool = False) -> bool:
    """Whether two images of one width are copies of one exposure, or one and the other at half size."""
    if one.shape[1] != other.shape[1]:
        return False
    rows = min(len(one), len(other))
    a, b = one[:rows].ravel(), other[:rows].ravel()
    both = (a > 0) & (b > 0)
    if np.count_nonzero(both) < PARAMETERS.fewest_pixels:
        return False
    most = PARAMETERS.most_disorder_halved if halved else PARAMETERS.most_disorder
    a, b = a[both], b[both]
    some = slice(None, None, max(1, len(a) // 200))
    return _disorder(a[some], b[some]) <= 2 * most and _disorder(a, b) <= most


def _disorder(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> float:
    """Smallest share of pixels without which the rest are in one order: 1 - the longest such sequence."""
    ends: list[int] = []
    for rank in b[np.lexsort((b, a))].tolist():
        place = bisect_right(ends, rank)
        ends[place : place + 1] = [rank]
    return 1 - len(ends) / len(a)
