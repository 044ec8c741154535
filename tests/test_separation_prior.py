"""What contour learns from the particles that stand alone, and what that changes in clumps."""

import math

import numpy as np
import pytest

import temwatch
from analytic_shapes import disc, ellipse, on_canvas, rectangle
from temwatch.analysis.separation.cleaning import find_regions
from temwatch.analysis.separation.prior import NO_PRIOR, describe_lone, prior_from


def estimate_prior(regions):
    return prior_from(describe_lone(regions))


def row_of(masks, width=80):
    return on_canvas(
        (width, width * len(masks)), *((mask, 10, 10 + width * number) for number, mask in enumerate(masks))
    )


def separated(mask):
    return temwatch.resolve(mask, pixel_size_nm=1.0, separate="contour").particles


def test_nothing_is_known_without_particles():
    assert estimate_prior([]) == NO_PRIOR
    assert not NO_PRIOR.are_ellipses


def test_discs_are_smooth_ellipses_of_their_radius():
    prior = estimate_prior(find_regions(row_of([disc(20)] * 12)))
    assert prior.worth == pytest.approx(12)
    assert prior.are_ellipses
    assert prior.roughness < 0.02
    # the usual spread counts as four particles, and the mean by number lies below that by area
    assert prior.log_radius + 2 * prior.spread**2 == pytest.approx(math.log(20), abs=0.02)


def test_rods_are_no_ellipses():
    assert not estimate_prior(find_regions(row_of([rectangle(60, 14, 0.4)] * 8))).are_ellipses
    assert estimate_prior(find_regions(row_of([ellipse(25, 12, 0.4)] * 8))).are_ellipses


def test_specks_do_not_decide_the_size():
    masks = [disc(20)] * 6 + [disc(5)] * 12
    prior = estimate_prior(find_regions(row_of(masks)))
    assert math.exp(prior.log_radius) > 12


SPECK = (disc(4), 5, 27)
"""Half of it stands out of the top of the particle at (10, 10)."""


def test_a_bump_is_no_particle_where_all_others_are_large():
    clump = ((disc(20), 10, 10), SPECK, (disc(20), 10, 44))
    lone = tuple((disc(20), 80, 10 + 50 * number) for number in range(6))
    mask = on_canvas((140, 320), *clump, *lone)
    assert sorted(p.equivalent_diameter_nm for p in separated(mask))[0] > 30


def test_small_particles_in_clumps_are_found_where_small_ones_stand_alone():
    small = tuple((disc(8), 90, 10 + 30 * number) for number in range(10))
    large = tuple((disc(20), 130, 10 + 50 * number) for number in range(6))
    clump = ((disc(20), 30, 10), (disc(8), 25, 39), (disc(8), 59, 39))
    found = separated(on_canvas((190, 340), *small, *large, *clump))
    assert [16] * 12 + [40] * 7 == pytest.approx(sorted(p.equivalent_diameter_nm for p in found), rel=0.06)


def test_opposite_caps_of_crossed_ellipses_are_joined():
    lone = tuple((ellipse(26, 13, 0.3), 90, 10 + 64 * number) for number in range(5))
    cross = ((ellipse(26, 13, 0.0), 33, 20), (ellipse(26, 13, math.pi / 2), 20, 33))
    mask = on_canvas((170, 340), *lone, *cross)
    found = separated(mask)
    assert len(found) == 7
    area = math.pi * 26 * 13
    assert [area] * 7 == pytest.approx([p.area_nm2 for p in found], rel=0.05)


def test_a_particle_with_a_dent_stays_whole_where_ellipses_are_not_known():
    y, x = np.indices((90, 120))
    waist = 17 + 4 * ((x - 60) / 30) ** 2
    mask = (abs(y - 45) <= waist) & (abs(x - 60) <= 30)
    (found,) = separated(mask)
    assert not found.separated
