"""Planes of label images: particles of one plane share no pixel, and there are as few planes as can be."""

import itertools

import numpy as np
import pytest

from temwatch.domain import Region
from temwatch.label_planes import assign_planes, draw_labels


def square(row, column, edge=10):
    return Region(origin_px=(row, column), mask=np.ones((edge, edge), bool))


def test_particles_that_only_touch_share_a_plane():
    assert [0, 0] == assign_planes([square(0, 0), square(0, 10)])


def test_boxes_that_overlap_without_the_particles_share_a_plane():
    triangle = np.tri(10, dtype=bool)
    upper = Region(origin_px=(0, 1), mask=triangle.T.copy())
    assert [0, 0] == assign_planes([Region(origin_px=(0, 0), mask=triangle), upper])


def test_a_chain_needs_two_planes():
    chain = [square(0, 8 * index) for index in range(100)]
    assert 2 == len(set(assign_planes(chain)))


def bars(cycle):
    """Particles of which each overlaps with the next, and the last with the first, and no others."""
    angle = np.linspace(0, 2 * np.pi, cycle, endpoint=False)
    y, x = np.mgrid[:200, :200]
    ends = np.stack((100 + 80 * np.sin(angle), 100 + 80 * np.cos(angle)), 1)
    regions = []
    for first, last in itertools.pairwise([*ends, ends[0]]):
        along = np.clip(
            ((y - first[0]) * (last - first)[0] + (x - first[1]) * (last - first)[1])
            / np.sum((last - first) ** 2),
            0,
            1,
        )
        distance = np.hypot(
            y - first[0] - along * (last - first)[0], x - first[1] - along * (last - first)[1]
        )
        regions.append(Region(origin_px=(0, 0), mask=distance < 4))
    return regions


@pytest.mark.parametrize(("cycle", "planes"), [(3, 3), (5, 3), (6, 2), (7, 3), (8, 2)])
def test_a_ring_needs_two_or_three(cycle, planes):
    assert planes == len(set(assign_planes(bars(cycle))))


def fewest(overlaps, count):
    """Smallest number of planes, by trying all."""
    for planes in range(1, count + 1):
        for tried in itertools.product(range(planes), repeat=count):
            if all(tried[one] != tried[other] for one, other in overlaps):
                return planes
    return count


@pytest.mark.parametrize("seed", range(15))
def test_no_fewer_planes_would_do(seed):
    """Against all assignments of small groups; and nothing on a plane overlaps."""
    random = np.random.default_rng(seed)
    regions = [square(*random.integers(0, 25, 2).tolist(), int(random.integers(4, 14))) for _ in range(7)]
    drawn = [draw_labels((40, 40), [(1, region)]) for region in regions]
    overlaps = [
        (one, other)
        for one, other in itertools.combinations(range(7), 2)
        if np.any(drawn[one] & drawn[other])
    ]
    planes = assign_planes(regions)
    assert all(planes[one] != planes[other] for one, other in overlaps)
    assert fewest(overlaps, 7) == len(set(planes))


def test_nothing_needs_no_plane():
    assert [] == assign_planes([])


def test_a_large_group_is_coloured_too():
    """Where a search would take for ever, overlaps are still kept apart."""
    random = np.random.default_rng(1)
    regions = [square(*random.integers(0, 60, 2).tolist(), 20) for _ in range(200)]
    planes = assign_planes(regions)
    for plane in set(planes):
        own = [region for region, on in zip(regions, planes, strict=True) if on == plane]
        area = np.count_nonzero(draw_labels((90, 90), list(enumerate(own, 1))))
        assert sum(np.count_nonzero(region.mask) for region in own) == area
