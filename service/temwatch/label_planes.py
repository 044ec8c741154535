"""Particles as label images: a particle is whole on one plane, and those of one plane share no pixel.

Separated particles overlap, and one label image would cut the overlap out of one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from temwatch.domain import Region

Labels = NDArray[np.uint32]

_MOST_EXACT = 40  # particles that overlap in one group, up to which the fewest planes are searched for
_MOST_STEPS = 20_000  # of that search


def assign_planes(regions: Sequence[Region]) -> list[int]:
    """Plane of each region, from 0, with as few planes as overlaps allow.

    Each group of overlapping regions is coloured by DSATUR (Brelaz 1979), which needs the fewest colours
    wherever two are enough. Where it takes more than the largest clique that was found, a search with
    backtracking tries one colour less; groups of more than 40 regions keep what DSATUR found.
    """
    neighbours: list[set[int]] = [set() for _ in regions]
    for one, other in _overlaps(regions):
        neighbours[one].add(other)
        neighbours[other].add(one)
    planes = [-1] * len(regions)
    for first in range(len(regions)):
        if planes[first] < 0:
            group = _group(first, neighbours)
            for region, plane in _fewest_planes(group, neighbours).items():
                planes[region] = plane
    return planes


def draw_labels(shape: tuple[int, ...], regions: Iterable[tuple[int, Region]]) -> Labels:
    """One plane, uint32 of `shape` (y, x): each region, given with its label, filled with it; 0 elsewhere."""
    image = np.zeros(shape, np.uint32)
    for label, region in regions:
        (row, column), (height, width) = region.origin_px, region.mask.shape
        image[row : row + height, column : column + width][region.mask] = label
    return image


def plane_of(shape: tuple[int, ...], regions: Sequence[Region], plane: int) -> Labels:
    """One plane of regions, labelled from 1 in their order; IndexError where there is no such plane."""
    planes = assign_planes(regions)
    count = max(planes, default=0) + 1
    if not 0 <= plane < count:
        raise IndexError(f"plane {plane} of particles that need {count} plane{'' if count == 1 else 's'}")
    numbered = zip(planes, enumerate(regions, 1), strict=True)
    return draw_labels(shape, [one for own, one in numbered if own == plane])


def _overlaps(regions: Sequence[Region]) -> list[tuple[int, int]]:
    """Pairs of regions that share a pixel."""
    if not regions:
        return []
    top, left = np.array([region.origin_px for region in regions]).T
    height, width = np.array([region.mask.shape for region in regions]).T
    bottom, right = top + height, left + width
    found = []
    for one in range(len(regions)):
        later = slice(one + 1, None)
        near = (top[later] < bottom[one]) & (bottom[later] > top[one])
        near &= (left[later] < right[one]) & (right[later] > left[one])
        for other in (np.flatnonzero(near) + one + 1).tolist():
            rows = slice(max(top[one], top[other]), min(bottom[one], bottom[other]))
            columns = slice(max(left[one], left[other]), min(right[one], right[other]))
            parts = [
                regions[index].mask[
                    rows.start - top[index] : rows.stop - top[index],
                    columns.start - left[index] : columns.stop - left[index],
                ]
                for index in (one, other)
            ]
            if np.any(parts[0] & parts[1]):
                found.append((one, other))
    return found


def _group(first: int, neighbours: Sequence[set[int]]) -> list[int]:
    """All regions that overlaps join with the first one."""
    group, waiting = {first}, [first]
    while waiting:
        new = neighbours[waiting.pop()] - group
        group |= new
        waiting += new
    return sorted(group)


def _fewest_planes(group: Sequence[int], neighbours: Sequence[set[int]]) -> dict[int, int]:
    found = _dsatur(group, neighbours)
    if len(group) > _MOST_EXACT:
        return found
    fewest = _clique_size(group, neighbours)
    while (count := 1 + max(found.values())) > fewest:
        better = _search(group, neighbours, count - 1)
        if better is None:
            break
        found = better
    return found


def _dsatur(group: Sequence[int], neighbours: Sequence[set[int]]) -> dict[int, int]:
    planes: dict[int, int] = {}
    while len(planes) < len(group):
        region = _most_constrained(group, neighbours, planes)
        taken = {planes[other] for other in neighbours[region] if other in planes}
        planes[region] = next(plane for plane in range(len(group)) if plane not in taken)
    return planes


def _most_constrained(group: Sequence[int], neighbours: Sequence[set[int]], planes: dict[int, int]) -> int:
    def constraint(region: int) -> tuple[int, int, int]:
        taken = {planes[other] for other in neighbours[region] if other in planes}
        return len(taken), len(neighbours[region]), -region

    return max((region for region in group if region not in planes), key=constraint)


def _clique_size(group: Sequence[int], neighbours: Sequence[set[int]]) -> int:
    """Size of the largest clique that is found greedily from each region: so many planes are needed."""
    best = 1
    for first in group:
        candidates, size = set(neighbours[first]), 1
        while candidates:
            chosen = max(candidates, key=lambda region: (len(neighbours[region] & candidates), -region))
            candidates &= neighbours[chosen]
            size += 1
        best = max(best, size)
    return best


def _search(group: Sequence[int], neighbours: Sequence[set[int]], count: int) -> dict[int, int] | None:
    """Planes of a group, at most `count` of them; None where there are none, or the search takes too long."""
    planes: dict[int, int] = {}
    steps = 0

    def extend() -> bool:
        nonlocal steps
        if len(planes) == len(group):
            return True
        region = _most_constrained(group, neighbours, planes)
        taken = {planes[other] for other in neighbours[region] if other in planes}
        # planes that nothing lies on yet are alike: one of them is tried
        for plane in range(min(count, 1 + max(planes.values(), default=-1) + 1)):
            steps += 1
            if steps > _MOST_STEPS:
                return False
            if plane not in taken:
                planes[region] = plane
                if extend():
                    return True
                del planes[region]
        return False

    return planes if extend() else None
