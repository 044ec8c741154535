"""Ultimate erosion: what it parts, what it leaves alone, and how much of the truth it finds."""

import numpy as np
import pytest

import temwatch
from analytic_shapes import disc, ellipse, on_canvas, rectangle
from separation_cases import ELLIPSES
from separation_report import figures, golden
from temwatch.config import SeparationSettings
from temwatch.domain import Reason

PIXEL_SIZE_NM = 0.1


def pair(distance, radius=20):
    return on_canvas((120, 160), (disc(radius), 40, 30), (disc(radius), 40, 30 + distance))


def test_two_overlapping_discs_are_two_particles_and_share_the_overlap():
    analysis = temwatch.resolve(pair(28), pixel_size_nm=PIXEL_SIZE_NM, separate="uecs")
    assert len(analysis.particles) == 2
    for particle in analysis.particles:
        assert particle.separated
        assert particle.separated_by == "uecs"
        assert particle.equivalent_diameter_nm == pytest.approx(4.1, rel=0.07)
    cover = np.zeros(analysis.mask.shape, dtype=int)
    for particle in analysis.particles:
        row, column = particle.region.origin_px
        height, width = particle.region.mask.shape
        cover[row : row + height, column : column + width] += particle.region.mask
    assert cover.max() == 2
    assert not cover[~analysis.mask].any()


def test_result_does_not_depend_on_orientation():
    mask = on_canvas(
        (120, 160), (ellipse(20, 14, 0.5), 30, 30), (disc(15), 45, 52), (ellipse(18, 12, 1.9), 60, 40)
    )
    expected = temwatch.resolve(mask, pixel_size_nm=PIXEL_SIZE_NM).table()
    assert len(expected) == 3
    for turned in (np.rot90(mask), mask[::-1], mask.T):
        found = temwatch.resolve(turned, pixel_size_nm=PIXEL_SIZE_NM).table()
        for name in ("area_nm2", "feret_max_nm", "perimeter_nm", "convexity"):
            assert sorted(found[name]) == pytest.approx(sorted(expected[name]), rel=1e-9)


@pytest.mark.parametrize(
    "mask", [disc(12, (0.3, 0.1)), ellipse(30, 8, 0.7), rectangle(40, 9, 0.4), rectangle(20, 20, 0.2)]
)
def test_convex_particle_is_left_as_it_is(mask):
    analysis = temwatch.resolve(on_canvas((100, 100), (mask, 20, 20)), pixel_size_nm=PIXEL_SIZE_NM)
    assert len(analysis.particles) == 1
    assert not analysis.particles[0].separated
    assert analysis.particles[0].separated_by == ""
    np.testing.assert_array_equal(mask, analysis.particles[0].region.mask)


def test_small_particle_on_a_large_one_is_kept():
    """Its marker vanishes before it is convex by the threshold; the published procedure loses it."""
    mask = on_canvas((120, 120), (disc(30), 30, 20), (disc(8), 52, 78))
    assert len(temwatch.resolve(mask, pixel_size_nm=PIXEL_SIZE_NM).particles) == 2


def test_small_markers_are_dropped_on_request_and_reported():
    mask = on_canvas((120, 120), (disc(30), 30, 20), (disc(8), 52, 78))
    settings = SeparationSettings(vanishing_markers="drop", min_marker_px=200)
    analysis = temwatch.resolve(mask, pixel_size_nm=PIXEL_SIZE_NM, settings=settings)
    assert len(analysis.particles) == 1
    assert [rejection.reason for rejection in analysis.rejections] == [Reason.NOT_SEPARABLE]


def test_border_cuts_a_clump_but_not_its_whole_particle():
    """Beyond the border nothing is known: the particle that it cuts goes, its neighbour stays whole."""
    mask = on_canvas((120, 160), (disc(20), 40, 30), (disc(20), 40, 58))[:, 40:]
    assert mask[:, 0].any()
    analysis = temwatch.resolve(mask, pixel_size_nm=PIXEL_SIZE_NM)
    assert [rejection.reason for rejection in analysis.rejections] == [Reason.TOUCHES_BORDER]
    assert len(analysis.particles) == 1
    assert analysis.particles[0].equivalent_diameter_nm == pytest.approx(4.1, rel=0.07)


def test_gap_between_three_particles_helps_to_separate_them():
    mask = on_canvas((120, 120), (disc(20), 20, 20), (disc(20), 20, 58), (disc(20), 53, 39))
    assert len(temwatch.resolve(mask, pixel_size_nm=1.0).particles) == 3
    with_small_gap_closed = temwatch.resolve(mask, pixel_size_nm=0.02)
    assert len(with_small_gap_closed.particles) == 3
    assert np.count_nonzero(with_small_gap_closed.mask) > np.count_nonzero(mask)


@pytest.mark.data
@pytest.mark.parametrize(
    ("level", "recall", "precision"), [("low", 0.93, 0.92), ("medium", 0.88, 0.88), ("high", 0.52, 0.75)]
)
def test_share_of_the_truth_that_is_found(data_folder, level, recall, precision):
    """The bars of repaired UECS on ellipses, over the families at one degree of overlap."""
    found = figures([golden(data_folder, name) for name in ELLIPSES[level]], "uecs")
    assert found.recall >= recall
    assert found.precision >= precision
