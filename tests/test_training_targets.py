"""Targets: where touching particles meet, which gaps are narrow, and who owns an overlap."""

import numpy as np
import pytest
from scipy import ndimage

from temwatch.domain import Region
from temwatch.training.targets import GAP_WEIGHT, contact_lines, label_image, targets


def two_squares(gap_px: int) -> np.ndarray:
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 10:30] = 1
    labels[10:30, 30 + gap_px : 50 + gap_px] = 2
    return labels


def test_contacts_lie_on_both_sides_of_the_line_where_two_touch():
    expected = np.zeros((40, 60), bool)
    expected[10:30, 29:31] = True
    assert np.array_equal(expected, contact_lines(two_squares(0)))


def test_corners_touch():
    labels = np.zeros((4, 4), np.int32)
    labels[:2, :2], labels[2:, 2:] = 1, 2
    assert np.argwhere(contact_lines(labels)).tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize("gap_px", [1, 2, 3])
def test_a_narrow_gap_is_a_contact_that_weighs_more_and_stays_background(gap_px):
    found = targets(two_squares(gap_px))
    gap = np.s_[12:28, 30 : 30 + gap_px]

    assert found.contacts[gap].all()
    assert not found.mask[gap].any()
    assert (found.mask_weights[gap] >= GAP_WEIGHT).all()


@pytest.mark.parametrize("gap_px", [6, 10])
def test_a_wide_gap_is_just_background(gap_px):
    assert not targets(two_squares(gap_px)).contacts.any()


def test_cutting_at_the_contacts_parts_what_touches():
    found = targets(two_squares(0))
    assert ndimage.label(found.mask)[1] == 1
    assert ndimage.label(found.mask & ~found.contacts)[1] == 2


def test_a_particle_that_stands_alone_has_no_contact_and_nothing_has_no_weight():
    labels = two_squares(0)
    labels[labels == 2] = 0
    assert not targets(labels).contacts.any()
    assert targets(np.zeros((9, 9), np.int32)).mask_weights.tolist() == np.ones((9, 9)).tolist()


def test_overlapping_particles_share_their_overlap_by_depth():
    square = np.ones((20, 20), bool)
    regions = [Region(origin_px=(0, 0), mask=square), Region(origin_px=(0, 12), mask=square)]

    labels = label_image(regions, (20, 32))

    assert [1, 2] == np.unique(labels).tolist()
    assert (labels[10, :15] == 1).all()
    assert (labels[10, 17:] == 2).all()
    assert contact_lines(labels)[10].sum() == 2
