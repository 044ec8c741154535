"""Contour: arcs of outlines joined to convex particles, on golden masks, simulated and drawn ones."""

import numpy as np
import pytest
from scipy import ndimage

import temwatch
from separation_report import figures, golden, simulated
from temwatch.analysis.measurement.outline import visible_fraction
from temwatch.analysis.separation import contour
from temwatch.config import SeparationSettings
from temwatch.domain import Region


def disc(radius, row, column, shape=(120, 120)):
    y, x = np.indices(shape)
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


# recall, precision, absolute count error and diameter bias that simulated masks of another seed have to reach
SIMULATED = {
    ("ellipses", "low"): (0.98, 0.97, 0.03, 0.01),
    ("ellipses", "medium"): (0.95, 0.95, 0.04, 0.01),
    ("ellipses", "high"): (0.84, 0.92, 0.12, 0.03),
    ("facetted", "low"): (0.97, 0.96, 0.04, 0.015),
    ("facetted", "medium"): (0.92, 0.92, 0.06, 0.02),
    ("facetted", "high"): (0.76, 0.90, 0.20, 0.035),
    ("rods", "medium"): (0.92, 0.92, 0.06, 0.02),
}


def separate(mask):
    found, given_up = contour.separate(
        Region(origin_px=(10, 20), mask=mask), shape=(500, 500), min_area_px=1, settings=SeparationSettings()
    )
    assert not given_up
    return found


@pytest.mark.parametrize(("family", "overlap"), SIMULATED)
def test_simulated_masks_are_separated_as_well_as_the_guide_says(family, overlap):
    result = figures([simulated(family, overlap, 23)], "contour")
    recall, precision, count_error, bias = SIMULATED[family, overlap]
    assert result.recall >= recall
    assert result.precision >= precision
    assert abs(result.count_error) <= count_error
    assert abs(result.diameter_bias) <= bias


@pytest.mark.data
@pytest.mark.parametrize("name", ["B1024_low", "B1024_medium", "B1024_high", "F1024_rods"])
def test_contour_finds_more_on_golden_masks_than_repaired_uecs(data_folder, name):
    case = golden(data_folder, name)
    contour, uecs = figures([case], "contour"), figures([case], "uecs")
    assert contour.weighted_f1 > uecs.weighted_f1
    assert abs(contour.diameter_bias) < 0.03


def test_two_discs_come_back_whole_and_share_their_overlap():
    mask = disc(20, 40, 40) | disc(20, 40, 68)
    found = temwatch.resolve(mask, pixel_size_nm=1.0, separate="contour").particles
    assert len(found) == 2
    area = np.pi * 20**2
    assert [particle.area_nm2 for particle in found] == pytest.approx([area, area], rel=0.02)
    assert {particle.separated_by for particle in found} == {"contour"}
    # of each circle, the part beyond the crossing points is seen: 1 - arccos(14 / 20) / pi
    seen = 1 - np.arccos(14 / 20) / np.pi
    assert [particle.visible_fraction for particle in found] == pytest.approx([seen, seen], abs=0.04)


def test_crossed_bars_are_two():
    mask = np.zeros((120, 120), bool)
    mask[50:70, 10:110] = True
    mask[10:110, 50:70] = True
    found = temwatch.resolve(mask, pixel_size_nm=1.0, separate="contour").particles
    assert sorted(particle.area_nm2 for particle in found) == pytest.approx([2000, 2000], rel=0.03)


def test_particles_around_a_gap_are_all_found():
    angles = np.arange(6) * np.pi / 3
    mask = np.any([disc(15, 60 + 28 * np.sin(a), 60 + 28 * np.cos(a)) for a in angles], 0)
    found = temwatch.resolve(mask, pixel_size_nm=1.0, separate="contour").particles
    assert len(found) == 6
    assert [p.equivalent_diameter_nm for p in found] == pytest.approx([30] * 6, rel=0.03)


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((1, 1), bool),
        np.ones((1, 40), bool),
        np.eye(30, dtype=bool),
        np.ones((30, 30), bool) & ~np.pad(np.ones((20, 20), bool), 5),
        np.indices((40, 40)).sum(0) % 2 == 0,
        disc(12, 14, 14, (29, 29)),
    ],
    ids=["pixel", "line", "diagonal", "ring", "checkerboard", "disc"],
)
def test_what_has_no_two_particles_is_handed_back(mask):
    found, given_up = contour.separate(
        Region(origin_px=(3, 4), mask=mask), shape=(90, 90), min_area_px=1, settings=SeparationSettings()
    )
    assert found or given_up
    for region in found:
        assert region.mask.any()
        assert region.origin_px >= (3, 4)


def test_a_clump_with_one_notch_goes_to_uecs():
    mask = np.zeros((60, 90), bool)
    mask[20:50, 5:85] = True
    mask[5:50, 5:30] = True
    found = separate(mask)
    assert {region.separated_by for region in found} <= {"", "uecs", "contour"}
    assert np.any([region.mask.any() for region in found])


def test_the_visible_fraction_counts_cracks():
    clump = np.ones((4, 10), bool)
    part = np.ones((4, 5), bool)
    # of the 18 cracks around it the 4 on the cut are hidden
    assert visible_fraction(part, clump, 0, 0) == pytest.approx(14 / 18)
    assert visible_fraction(clump, clump, 0, 0) == 1.0


def test_the_interval_of_a_disc_is_a_pixel_on_each_side():
    mask = disc(20, 40, 40)
    (found,) = temwatch.resolve(mask, pixel_size_nm=0.5).particles
    assert found.visible_fraction == 1.0
    assert found.equivalent_diameter_high_nm - found.equivalent_diameter_nm == pytest.approx(1.0, rel=0.02)
    assert found.equivalent_diameter_nm - found.equivalent_diameter_low_nm == pytest.approx(1.0, rel=0.02)


def test_the_interval_of_a_pixel_begins_at_nothing():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    (found,) = temwatch.resolve(mask, pixel_size_nm=1.0).particles
    assert found.equivalent_diameter_low_nm == 0
    assert found.equivalent_diameter_high_nm > found.equivalent_diameter_nm


def crust(seed, width_deg, sd_px=5.0, radius_px=80):
    """A disc whose outline is rough over angles of some width."""
    random = np.random.default_rng(seed)
    y, x = np.indices((240, 240)) - 120
    rough = ndimage.gaussian_filter1d(random.normal(size=360), width_deg, mode="wrap")
    outline = radius_px + rough * sd_px / rough.std()
    return np.hypot(y, x) < np.interp(np.degrees(np.arctan2(y, x)) % 360, np.arange(360), outline)


@pytest.mark.parametrize("width_deg", [2, 4])
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_crust_is_no_crowd_of_particles(seed, width_deg):
    """Its bumps stay with the particle; a neighbour of half the size does not."""
    mask = crust(seed, width_deg)
    assert 1 == len(temwatch.resolve(mask, pixel_size_nm=1.0, separate="contour").particles)
    beside = np.pad(mask, ((0, 0), (0, 80))) | disc(40, 120, 235, (240, 320))
    assert 2 == len(temwatch.resolve(beside, pixel_size_nm=1.0, separate="contour").particles)


def test_small_particles_around_a_heap_are_no_crust():
    """Where the population is known, a heap's large disc says nothing."""
    heap = disc(40, 140, 140, (400, 400))
    for angle in np.linspace(0, 2 * np.pi, 7, endpoint=False):
        heap |= disc(14, 140 + 48 * np.sin(angle), 140 + 48 * np.cos(angle), heap.shape)
    for number in range(8):
        heap |= disc(14, 300, 30 + 45 * number, heap.shape)
    found = temwatch.resolve(heap, pixel_size_nm=1.0, separate="contour").particles
    assert {"", "contour"} == {particle.separated_by for particle in found}
    assert 8 + 7 <= len(found)
