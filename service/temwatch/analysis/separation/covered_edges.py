"""What the picture shows where a part of a clump ends within it: a step, and a bright seam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.measurement.outline import STEP, is_set
from temwatch.domain import Mask

REACH_PX = 2
"""px; brightness is compared so far inside and outside of an outline."""
REACH_RADII = 0.15
"""The same for large parts, whose edges are wider, in radii."""
LARGEST_REACH_PX = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClumpPicture:
    """Brightness of a clump.

    Attributes
    ----------
    codes
        uint8, like the clump's mask: linear in the brightness, 0 where none is kept.
    depth
        How much darker than its surroundings the clump is, in codes; positive.
    """

    codes: NDArray[np.uint8]
    depth: float


class CoveredEdge(NamedTuple):
    """Of the outline of a part within its clump, in depths of the clump.

    `step`: how much brighter it is outside than inside. `seam`: how much brighter the outline itself is than
    both sides. Both are 0 where the outline was seen altogether.
    """

    step: float
    seam: float


NO_EDGE = CoveredEdge(0.0, 0.0)


def covered_edge(part: Mask, clump: Mask, picture: ClumpPicture, row: int, column: int) -> CoveredEdge:
    """The edge of a part, a crop whose first pixel lies at (row, column) of the clump's."""
    radius = math.sqrt(np.count_nonzero(part) / math.pi)
    reach = min(max(REACH_PX, round(REACH_RADII * radius)), LARGEST_REACH_PX)
    step, seam = _differences(np.ascontiguousarray(part), clump, picture.codes, (row, column), reach)
    return CoveredEdge(step / picture.depth, seam / picture.depth)


@njit(cache=True, nogil=True)
def _differences(
    part: NDArray[np.bool_],
    clump: NDArray[np.bool_],
    codes: NDArray[np.uint8],
    place: tuple[int, int],
    reach: int,
) -> tuple[float, float]:
    """Mean over the cracks of a part's outline with the clump on both sides: outside - inside, and seam."""
    steps = seams = 0.0
    count = 0
    height, width = part.shape
    for down in range(height):
        for right in range(width):
            if not part[down, right]:
                continue
            for side in range(4):
                to_row, to_column = STEP[side]
                if is_set(part, down + to_row, right + to_column):
                    continue
                row, column = place[0] + down, place[1] + right
                out_row, out_column = row + reach * to_row, column + reach * to_column
                in_row, in_column = row - (reach - 1) * to_row, column - (reach - 1) * to_column
                if not is_set(clump, out_row, out_column) or not is_set(clump, in_row, in_column):
                    continue
                if not is_set(clump, row + to_row, column + to_column):
                    continue
                inside, outside = float(codes[in_row, in_column]), float(codes[out_row, out_column])
                middle = (float(codes[row, column]) + float(codes[row + to_row, column + to_column])) / 2
                steps += outside - inside
                seams += middle - (inside + outside) / 2
                count += 1
    if count == 0:
        return 0.0, 0.0
    return steps / count, seams / count
