"""Outlines between the pixels: what they yield on shapes whose measures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

import temwatch
from temwatch.analysis.measurement.shape import outline_of_region, with_outlines
from temwatch.analysis.measurement.sub_pixel import describe_polygon, simplified
from temwatch.analysis.refinement.level import OUTLINE, draw_level
from temwatch.domain import Region
from temwatch.errors import UsageError


def drawn(*polygons, shape):
    """Level of closed polygons, each (n, 2) rows and columns, clockwise on the screen."""
    begin = np.cumsum([0, *map(len, polygons)])
    return draw_level(np.concatenate(polygons).astype(np.float32), begin, shape)


def ellipse(row, column, radius, aspect_ratio=1.0, angle_rad=0.0):
    turn = np.linspace(0, math.tau, 720, endpoint=False)
    long, short = radius * math.sqrt(aspect_ratio), radius / math.sqrt(aspect_ratio)
    x, y = long * np.cos(turn), short * np.sin(turn)
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return np.stack([row + sin * x + cos * y, column + cos * x - sin * y], axis=1)


def measured(level):
    """The outline of the only region of a level."""
    mask = level > OUTLINE
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    (region,) = with_outlines([Region(origin_px=(int(rows[0]), int(columns[0])), mask=crop)], level)
    return outline_of_region(region)


@pytest.mark.parametrize("radius", [3, 4, 5, 7, 10, 20, 60])
def test_a_disc_anywhere_on_the_grid_has_its_diameter(radius):
    """No steps: the diameters of small discs follow the truth, and their circularity is 1."""
    random = np.random.default_rng(radius)
    size = 2 * radius + 9
    errors = []
    for _ in range(10):
        row, column = size / 2 + random.uniform(-0.5, 0.5, 2)
        found = measured(drawn(ellipse(row, column, radius), shape=(size, size)))
        errors.append(2 * math.sqrt(found.area / math.pi) / (2 * radius) - 1)
        assert found.perimeter == pytest.approx(math.tau * radius, rel=0.004)
        assert 0.99 < 4 * math.pi * found.area / found.perimeter**2 <= 1.005
        assert found.hull_perimeter / found.perimeter > 0.998
        assert (found.feret_min, found.feret_max) == pytest.approx((2 * radius, 2 * radius), rel=0.025)
        centroid = found.origin_row + found.centroid_row, found.origin_column + found.centroid_column
        assert centroid == pytest.approx((row, column), abs=0.02)
    assert np.abs(errors).max() < 0.005


def test_diameters_between_two_pixels_are_told_apart():
    """Radii that differ by a tenth of a pixel give diameters that do, too."""
    radii = np.arange(4, 10, 0.1)
    found = [
        math.sqrt(measured(drawn(ellipse(14, 14, radius), shape=(29, 29))).area / math.pi) for radius in radii
    ]
    np.testing.assert_allclose(np.diff(found), 0.1, atol=0.03)


@pytest.mark.parametrize("angle_deg", [0, 17, 45])
def test_an_ellipse_has_its_ferets(angle_deg):
    """Axes, not pixels."""
    found = measured(drawn(ellipse(40, 40.3, 20, 2.0, math.radians(angle_deg)), shape=(81, 81)))
    expected = (2 * 20 / math.sqrt(2), 2 * 20 * math.sqrt(2))
    assert (found.feret_min, found.feret_max) == pytest.approx(expected, rel=0.005)


def test_a_hole_is_not_particle():
    """The rim of a hole runs the other way round."""
    level = drawn(ellipse(40, 40, 30), ellipse(40, 40, 10)[::-1], shape=(81, 81))
    assert level[40, 40] == 0
    assert measured(level).area == pytest.approx(math.pi * (30**2 - 10**2), rel=0.01)


def test_what_an_outline_runs_round_the_wrong_way_is_outside():
    """A line that crosses itself encloses one part only."""
    figure = np.array([[10, 10], [10, 30], [30, 10], [30, 30]], float)
    level = drawn(figure, shape=(41, 41))
    assert level[13, 20] > OUTLINE > level[27, 20]


def test_a_cut_lies_between_the_pixels_of_both_parts():
    """Two particles that were separated share their cut: together they have the area of the clump."""
    level = drawn(ellipse(30, 30, 20), shape=(61, 61))
    mask = level > OUTLINE
    rows = np.flatnonzero(mask.any(1))
    halves = []
    for half in (np.s_[:, :31], np.s_[:, 31:]):
        part = np.zeros_like(mask)
        part[half] = mask[half]
        columns = np.flatnonzero(part.any(0))
        crop = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        inside = np.flatnonzero(crop.any(1))
        region = Region(
            origin_px=(int(rows[0] + inside[0]), int(columns[0])), mask=crop[inside[0] : inside[-1] + 1]
        )
        halves.append(outline_of_region(*with_outlines([region], level)))
    assert sum(half.area for half in halves) == pytest.approx(math.pi * 400, rel=0.005)


def test_resolve_measures_between_the_pixels_where_it_can():
    """The public function takes the level; without it, and with the rules of ANTEMA, pixels are counted."""
    level = drawn(ellipse(30.2, 29.9, 7.3), shape=(61, 61))
    mask = level > OUTLINE
    (fine,) = temwatch.resolve(mask, pixel_size_nm=2.0, level=level).particles
    (coarse,) = temwatch.resolve(mask, pixel_size_nm=2.0).particles
    (antema,) = temwatch.resolve(
        mask, pixel_size_nm=2.0, level=level, separate="uecs", compatibility="antema"
    ).particles
    assert fine.equivalent_diameter_nm == pytest.approx(2 * 14.6, rel=0.002)
    assert coarse.area_nm2 == antema.area_nm2 == 4 * np.count_nonzero(mask)


def test_a_level_of_another_shape_is_refused():
    """Before anything is computed."""
    with pytest.raises(UsageError, match="level"):
        temwatch.resolve(np.ones((9, 9), bool), pixel_size_nm=1.0, level=np.zeros((8, 9), np.uint8))


def test_a_page_gets_few_corners_and_loses_nothing():
    """A tenth of a pixel is not seen; corners of a square stay."""
    fine = ellipse(40, 40, 20)
    few = simplified(fine, 0.1)
    assert 15 < len(few) < 60
    assert describe_polygon(few)[0] == pytest.approx(math.pi * 400, rel=0.01)
    steps = np.arange(10.0)
    square = np.concatenate(
        [
            np.stack(side, axis=1)
            for side in (
                (0 * steps, steps),
                (steps, 0 * steps + 10),
                (0 * steps + 10, 10 - steps),
                (10 - steps, 0 * steps),
            )
        ]
    )
    assert [[0, 0], [0, 10], [10, 10], [10, 0]] == simplified(square, 0.1).tolist()
