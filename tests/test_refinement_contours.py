"""Contours of a mask, and the profiles of the picture across them."""

from __future__ import annotations

import numpy as np
import pytest

from temwatch.analysis.refinement.contours import POINT_SPACING, find_contours, moved, subdivided
from temwatch.analysis.refinement.strips import CHANNELS, INSIDE, SAMPLES, profiles

NOISE, CONTRAST, SIZE, STEP, CURVATURE = range(2 * SAMPLES, CHANNELS)


def distance_to(row, column, shape):
    """Of each pixel's centre from a point."""
    rows, columns = np.indices(shape)
    return np.hypot(rows - row, columns - column)


def disc(radius, row, column, shape):
    return distance_to(row, column, shape) < radius


def picture(radius, row, column, shape, *, dark=-0.7, bright=0.9):
    """A disc with a slope of a pixel at its edge, as a detector draws it."""
    depth = np.clip(distance_to(row, column, shape) - radius + 0.5, 0, 1)
    return (dark + (bright - dark) * depth).astype(np.float32)


@pytest.mark.parametrize("radius", [4, 12, 60])
def test_the_contour_of_a_disc_is_a_circle_with_normals_outwards(radius):
    """Closed, in equal steps."""
    size = 2 * radius + 9
    centre = np.array([size / 2, size / 2 + 0.3])
    contours = find_contours(disc(radius, *centre, (size, size)))
    assert 1 == len(contours.step_px)
    assert not contours.is_fixed[0]
    away = contours.points - centre
    distance = np.hypot(*away.T)
    np.testing.assert_allclose(distance, radius, atol=0.6, rtol=0.02)
    assert np.mean(distance) == pytest.approx(radius, rel=0.03)
    assert (contours.normals * away).sum(1).min() > 0.97 * distance.min()
    np.testing.assert_allclose(np.hypot(*contours.normals.T), 1, atol=1e-5)
    sides = np.hypot(*(np.roll(contours.points, -1, 0) - contours.points).T)
    np.testing.assert_allclose(sides, POINT_SPACING * contours.step_px[0], rtol=0.15)
    assert contours.radius_px[0] == pytest.approx(radius, rel=0.1)


def test_a_hole_has_a_contour_of_its_own_whose_normals_point_into_it():
    """Out of the particle, that is."""
    shape, centre = (81, 81), (40, 40)
    contours = find_contours(disc(30, *centre, shape) & ~disc(12, *centre, shape))
    outer, inner = (contours.points[slice(*contours.begin[number : number + 2])] for number in (0, 1))
    assert np.hypot(*(outer - centre).T).mean() == pytest.approx(30, rel=0.03)
    assert np.hypot(*(inner - centre).T).mean() == pytest.approx(12, rel=0.06)
    normals = contours.normals[contours.begin[1] :]
    assert (normals * (inner - centre)).sum(1).max() < 0


def test_a_particle_on_the_border_has_a_closed_contour_that_is_open_there():
    """Nothing can be seen beyond the border, so its points stay where they are."""
    shape = (40, 50)
    mask = disc(15, 0, 25, shape)
    contours = find_contours(mask)
    strips = profiles(picture(15, 0, 25, shape), 0.01, mask, contours)
    assert 1 == len(contours.step_px)
    np.testing.assert_array_equal(strips.is_open, contours.points[:, 0] < 1)
    assert 0.3 < strips.is_open.mean() < 0.5
    assert contours.points.min() >= -0.5


def test_pixels_that_touch_at_a_corner_are_one_and_single_ones_are_never_moved():
    """Too little to look for an edge."""
    mask = np.zeros((20, 20), bool)
    mask[3:7, 3:7] = mask[7:11, 7:11] = True
    assert 1 == len(find_contours(mask).step_px)
    single = np.zeros((9, 9), bool)
    single[2, 3] = single[6, 6] = single[0, 8] = True
    contours = find_contours(single)
    assert [True] * 3 == contours.is_fixed.tolist()
    assert 0 == len(find_contours(np.zeros((5, 7), bool)).points)
    assert 1 == len(find_contours(np.ones((5, 7), bool)).step_px)


def test_contours_move_along_their_normals():
    """Outwards where the distance is positive."""
    contours = find_contours(disc(12, 20, 20, (41, 41)))
    outwards = moved(contours, np.full(len(contours.points), 2, np.float32))
    gained = np.hypot(*(outwards.points - 20).T) - np.hypot(*(contours.points - 20).T)
    np.testing.assert_allclose(gained, 2, atol=0.02)


def test_more_points_of_a_circle_lie_on_it():
    """A polygon of few corners would bound too small an area."""
    contours = find_contours(disc(5, 10, 10, (21, 21)))
    turn = np.linspace(0, 2 * np.pi, len(contours.points), endpoint=False)
    circle = (10 + 5 * np.stack([np.sin(turn), np.cos(turn)], 1)).astype(np.float32)
    points, begin = subdivided(contours._replace(points=circle))
    assert [0, 2 * len(circle)] == begin.tolist()
    np.testing.assert_allclose(np.hypot(*(points - 10).T), 5, atol=0.02)


@pytest.mark.parametrize("radius", [8, 20, 100])
def test_the_profile_of_a_disc_goes_from_minus_one_to_zero(radius):
    """At any size: the units are the contour's own."""
    size = 2 * radius + 61 + radius
    shape, centre = (size, size), (size / 2, size / 2)
    mask = disc(radius, *centre, shape)
    contours = find_contours(mask)
    channels, is_open = profiles(picture(radius, *centre, shape), 0.02, mask, contours)
    assert not is_open.any()
    brightness, covered = channels[:SAMPLES], channels[SAMPLES : 2 * SAMPLES]
    np.testing.assert_allclose(brightness[INSIDE - 6 : INSIDE - 2], -1, atol=0.02)
    np.testing.assert_allclose(brightness[INSIDE + 3 :], 0, atol=0.02)
    assert brightness[INSIDE].mean() == pytest.approx(-0.5, abs=0.2)
    np.testing.assert_allclose(covered[INSIDE - 6 : INSIDE - 2], 1, atol=0.02)
    np.testing.assert_allclose(covered[INSIDE + 3 :], 0, atol=0.02)
    assert channels[CURVATURE].mean() == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(channels[CONTRAST], 1.6, rtol=0.02)
    np.testing.assert_allclose(channels[NOISE], np.log(0.02 / 1.6), atol=0.02)


def test_the_rim_of_a_hole_bends_the_other_way():
    """Minus one over its radius."""
    shape, centre = (81, 81), (40, 40)
    mask = disc(30, *centre, shape) & ~disc(12, *centre, shape)
    contours = find_contours(mask)
    channels, _ = profiles(np.where(mask, -1, 1).astype(np.float32), 0.02, mask, contours)
    curvature = channels[CURVATURE, contours.begin[1] :]
    assert curvature.mean() == pytest.approx(-1, abs=0.1)


def test_gain_and_offset_change_the_contrast_alone():
    """What is seen of an edge depends neither on exposure nor on the detector."""
    shape = (61, 61)
    mask = disc(15, 30, 30, shape)
    noisy = picture(14, 30, 30, shape) + np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    contours = find_contours(mask)
    before, _ = profiles(noisy, 0.1, mask, contours)
    after, _ = profiles(3 * noisy + 50, 0.3, mask, contours)
    others = np.arange(CHANNELS) != CONTRAST
    np.testing.assert_allclose(after[others], before[others], atol=1e-3)
    np.testing.assert_allclose(after[CONTRAST], np.minimum(3 * before[CONTRAST], 4), rtol=1e-3)
