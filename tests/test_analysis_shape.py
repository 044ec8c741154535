"""Descriptors against the exact values of analytic shapes, over sub-pixel positions and angles."""

import math

import numpy as np
import pytest

from analytic_shapes import disc, ellipse, ellipse_perimeter, rectangle, regular_polygon
from temwatch import descriptors
from temwatch.analysis.measurement import shape

POSITIONS = [(0.5, 0.5), (0.5, 0.0), *np.random.default_rng(1).random((38, 2)).tolist()]


def errors(outlines, name, exact):
    return np.array([getattr(outline, name) for outline in outlines]) / exact - 1


@pytest.mark.parametrize(
    ("radius", "mean", "nearly_all"),
    [
        (3, 0.03, 0.07),
        (4, 0.015, 0.035),
        (5, 0.015, 0.025),
        (6, 0.005, 0.02),
        (8, 0.005, 0.015),
        (10, 0.005, 0.0105),
        (20, 0.0025, 0.005),
        (50, 0.001, 0.002),
        (100, 0.0005, 0.001),
    ],
)
def test_perimeter_of_a_disc(radius, mean, nearly_all):
    """Mean error, and that of 95 % of positions: 3 % at r = 3 px, 1.5 % from 5 px, 0.5 % from 20 px."""
    found = errors(
        [shape.outline(disc(radius, centre)) for centre in POSITIONS], "perimeter", 2 * math.pi * radius
    )
    assert abs(found.mean()) < mean
    assert np.quantile(abs(found), 0.95) < nearly_all


@pytest.mark.parametrize(("a", "b"), [(8, 5), (15, 5), (20, 10), (40, 6), (60, 30)])
def test_perimeter_of_an_ellipse(a, b):
    angles = np.linspace(0, np.pi, 40)
    outlines = [shape.outline(ellipse(a, b, angle, at)) for angle, at in zip(angles, POSITIONS, strict=True)]
    found = errors(outlines, "perimeter", ellipse_perimeter(a, b))
    assert abs(found.mean()) < 0.005
    assert abs(found).max() < 0.02


@pytest.mark.parametrize(
    ("a", "b", "mean"), [(10, 10, 0.02), (20, 10, 0.015), (60, 10, 0.01), (20, 20, 0.01), (60, 40, 0.005)]
)
def test_perimeter_of_a_rectangle(a, b, mean):
    angles = np.linspace(0, np.pi / 2, 40)
    outlines = [
        shape.outline(rectangle(a, b, angle, at)) for angle, at in zip(angles, POSITIONS, strict=True)
    ]
    assert abs(errors(outlines, "perimeter", 2 * (a + b)).mean()) < mean


@pytest.mark.parametrize("sides", [3, 4, 5, 6, 8])
def test_perimeter_of_a_regular_polygon(sides):
    exact = 2 * 30 * sides * math.sin(math.pi / sides)
    outlines = [
        shape.outline(regular_polygon(sides, 30, angle, at))
        for angle, at in zip(np.linspace(0, 2, 40), POSITIONS, strict=True)
    ]
    found = errors(outlines, "perimeter", exact)
    assert abs(found.mean()) < 0.01
    assert np.quantile(abs(found), 0.95) < 0.02


@pytest.mark.parametrize("radius", [3, 5, 10, 30])
def test_disc_is_convex_and_solid(radius):
    for centre in POSITIONS:
        outline = shape.outline(disc(radius, centre))
        assert descriptors.convexity(outline) == 1
        assert descriptors.solidity(outline) == 1


@pytest.mark.parametrize("radius", [5, 7, 10, 20, 50])
def test_circularity_of_a_disc_is_never_above_one(radius):
    found = [descriptors.circularity(shape.outline(disc(radius, centre))) for centre in POSITIONS]
    assert max(found) <= 1 + 1e-12
    assert abs(np.mean(found) - 1) < 0.02


@pytest.mark.parametrize(("a", "b"), [(20, 3), (12, 4), (60, 5), (10, 10)])
def test_rods_at_any_angle_are_convex(a, b):
    """Convexity decides what is separated: a whole rod must never fall below the threshold."""
    for angle, centre in zip(np.linspace(0, np.pi, 40), POSITIONS, strict=True):
        outline = shape.outline(rectangle(a, b, angle, centre))
        assert descriptors.convexity(outline) > 0.99
        assert descriptors.solidity(outline) > 0.97


def test_feret_diameters_are_taken_on_pixel_corners():
    outline = shape.outline(np.ones((10, 10), dtype=bool))
    assert outline.feret_min == 10
    assert outline.feret_max == pytest.approx(math.hypot(10, 10))
    assert descriptors.aspect_ratio(outline) == pytest.approx(math.sqrt(2))


def test_feret_diameters_of_a_turned_rectangle():
    for angle, centre in zip(np.linspace(0, np.pi, 40), POSITIONS, strict=True):
        outline = shape.outline(rectangle(60, 20, angle, centre))
        # on pixel corners an outline reaches up to half a pixel's diagonal beyond the shape on each side
        assert -1 < outline.feret_min - 20 < 1.5
        assert -1 < outline.feret_max - math.hypot(60, 20) < 1.5


def test_feret_diameters_agree_with_every_direction_tried():
    mask = ellipse(17, 6, 0.7, (0.2, 0.4))
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.stack([rows + i, columns + j], 1) for i in (0, 1) for j in (0, 1)])
    turns = np.linspace(0, np.pi, 20001)
    widths = np.ptp(corners @ np.stack([np.sin(turns), np.cos(turns)]), axis=0)
    outline = shape.outline(mask)
    assert widths.min() == pytest.approx(outline.feret_min, abs=1e-3)
    assert widths.max() == pytest.approx(outline.feret_max, abs=1e-3)


def test_area_centroid_and_equivalent_diameter():
    mask = np.zeros((6, 9), dtype=bool)
    mask[1:5, 2:9] = True
    outline = shape.outline(mask[1:5, 2:9])
    assert outline.area == 28
    assert (outline.centroid_row, outline.centroid_column) == (1.5, 3.0)
    assert descriptors.equivalent_diameter(outline) == pytest.approx(math.sqrt(4 * 28 / math.pi))


def test_square_and_its_circularity():
    outline = shape.outline(np.ones((20, 20), dtype=bool))
    assert outline.perimeter == pytest.approx(80, rel=0.005)
    assert descriptors.circularity(outline) == pytest.approx(math.pi / 4, rel=0.01)


def test_two_overlapping_discs_are_not_convex():
    """Exact convexity of two discs of radius 30 px whose centres are 50 px apart is 0.933."""
    y, x = np.mgrid[-60:61, -60:61]
    mask = ((x - 25) ** 2 + y**2 <= 900) | ((x + 25) ** 2 + y**2 <= 900)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    outline = shape.outline(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    half_angle = math.acos(25 / 30)
    exact = (2 * math.pi * 30 + 2 * 50) / (2 * 30 * 2 * (math.pi - half_angle))
    assert descriptors.convexity(outline) == pytest.approx(exact, abs=0.01)


def test_holes_count_for_the_area_only():
    ring = disc(30).copy()
    inner = disc(10)
    ring[20:41, 20:41] &= ~inner
    outline, full = shape.outline(ring), shape.outline(disc(30))
    assert outline.area == full.area - inner.sum()
    assert outline.perimeter == full.perimeter
    assert descriptors.solidity(outline) == outline.area / full.area


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (1, 2000), (2, 2)])
def test_degenerate_regions_give_finite_numbers(size):
    outline = shape.outline(np.ones(size, dtype=bool))
    assert np.isfinite(outline._replace(contrast=0.0, confidence=0.0)).all()  # not of the shape
    assert descriptors.convexity(outline) == descriptors.solidity(outline) == 1
    assert outline.feret_min == min(size)
    assert 0 < descriptors.circularity(outline) < 1.02


def test_pixels_that_touch_at_corners_are_one_outline():
    outline = shape.outline(np.eye(8, dtype=bool))
    assert outline.feret_min == pytest.approx(math.sqrt(2))
    assert outline.feret_max == pytest.approx(math.hypot(8, 8))
    assert outline.area == 8
