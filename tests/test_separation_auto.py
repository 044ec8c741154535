"""Auto: which proposal wins in a clump, what is combined, what stays whole, and what is given up."""

import math
import time

import numpy as np
import pytest

import temwatch
from analytic_shapes import disc, on_canvas, rectangle
from separation_report import figures, simulated
from temwatch.analysis.separation import auto
from temwatch.analysis.separation.cleaning import find_regions
from temwatch.analysis.separation.evidence import probabilities
from temwatch.analysis.separation.prior import NO_PRIOR, describe_lone, prior_from
from temwatch.config import SeparationSettings
from temwatch.domain import Reason, Region

LONE = tuple((disc(8), 10, 10 + 24 * number) for number in range(12))
"""Particles that stand alone, in the first rows of a field of 310 px width."""

# recall, precision and diameter bias that simulated masks of a further seed have to reach
SIMULATED = {
    ("ellipses", "low"): (0.99, 0.99, 0.01),
    ("ellipses", "medium"): (0.97, 0.98, 0.01),
    ("ellipses", "high"): (0.80, 0.93, 0.03),
    ("facetted", "medium"): (0.96, 0.97, 0.02),
    ("facetted", "high"): (0.72, 0.92, 0.035),
    ("rods", "medium"): (0.91, 0.91, 0.03),
}


def resolved(mask, **arguments):
    return temwatch.resolve(mask, pixel_size_nm=1.0, separate="auto", **arguments)


def field(*shapes):
    return on_canvas((220, 310), *LONE, *shapes)


@pytest.mark.parametrize(("family", "overlap"), SIMULATED)
def test_simulated_masks_are_separated_as_well_as_the_guide_says(family, overlap):
    found = figures([simulated(family, overlap, 23)], "auto")
    recall, precision, bias = SIMULATED[family, overlap]
    assert found.recall >= recall
    assert found.precision >= precision
    assert abs(found.diameter_bias) <= bias


@pytest.mark.data
def test_real_outlines_are_separated_better_than_by_contour(data_folder):
    """The outlines of 40 published figures."""
    from itertools import islice

    from separation_report import real_outlines

    cases = list(islice(real_outlines(data_folder), 40))
    assert figures(cases, "auto").weighted_f1 >= figures(cases, "contour").weighted_f1


def test_three_discs_that_overlap_share_their_overlap():
    found = resolved(field((disc(8), 60, 60), (disc(8), 60, 72), (disc(8), 72, 66)))
    parts = [particle for particle in found.particles if particle.separated]
    assert 3 == len(parts)
    assert [16] * 3 == pytest.approx([particle.equivalent_diameter_nm for particle in parts], rel=0.04)
    assert {particle.separated_by for particle in parts} <= {"uecs", "contour", "watershed"}


def triangle(height):
    row, column = np.indices((height, height + 1))
    return abs(column - height // 2) <= row // 2


@pytest.mark.parametrize(
    "particle",
    [rectangle(60, 14, 0.4), rectangle(40, 40, 0.2), triangle(60), rectangle(50, 25, 1.1)],
    ids=["rod", "cube", "triangle", "prism"],
)
@pytest.mark.parametrize("number", [1, 6])
def test_what_is_convex_stays_whole(particle, number):
    mask = np.concatenate([np.pad(particle, 10)] * number, axis=1)
    found = resolved(mask).particles
    assert number == len(found)
    assert not any(found.separated for found in found)


def test_the_core_of_a_heap_is_rejected_and_not_one_huge_particle():
    rim = [
        (disc(8), 112 + int(60 * math.sin(angle)), 112 + int(60 * math.cos(angle)))
        for angle in np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ]
    found = resolved(field((disc(60), 60, 60), *rim))
    assert max(particle.equivalent_diameter_nm for particle in found.particles) < 20
    assert [Reason.NOT_SEPARABLE] == [rejection.reason for rejection in found.rejections]


def test_a_contact_cuts_two_squares_that_form_a_rectangle():
    squares = np.zeros((120, 160), dtype=bool)
    squares[40:70, 40:100] = True
    seam = np.zeros_like(squares)
    seam[38:72, 69:71] = True
    found = resolved(squares, contacts=seam).particles
    assert ["contacts"] * 2 == [particle.separated_by for particle in found]
    assert [900] * 2 == [particle.area_nm2 for particle in found]


def test_a_contact_that_ends_within_a_disc_leaves_it_whole():
    mask = on_canvas((120, 160), (disc(30), 30, 40))
    line = np.zeros_like(mask)
    line[30:45, 69:71] = True
    (found,) = resolved(mask, contacts=line).particles
    assert "" == found.separated_by


def test_an_outline_along_a_contact_counts_as_seen():
    square = Region(origin_px=(0, 0), mask=np.ones((20, 40), dtype=bool))
    half = Region(origin_px=(0, 0), mask=np.ones((20, 20), dtype=bool), separated=True)
    other = Region(origin_px=(0, 20), mask=np.ones((20, 20), dtype=bool), separated=True)
    line = np.zeros_like(square.mask)
    line[:, 19:21] = True
    hidden = probabilities([half, other], square, NO_PRIOR, None)
    seen = probabilities([half, other], square, NO_PRIOR, line)
    assert min(seen) > max(hidden)


def test_a_part_is_less_likely_the_less_it_resembles_what_stands_alone():
    lone = find_regions(on_canvas((40, 310), *LONE))
    prior = prior_from(describe_lone(lone))
    dumbbell = find_regions(on_canvas((40, 60), (disc(8), 10, 10), (disc(8), 10, 25)))[0]
    larger = Region(origin_px=(0, 0), mask=disc(20))
    likely = [probabilities([part], part, prior, None)[0] for part in (lone[0], larger, dumbbell)]
    assert likely == sorted(likely, reverse=True)
    assert likely[0] > 0.9
    assert likely[1] < 0.6


def test_nothing_is_known_without_particles_that_stand_alone():
    small, large = (Region(origin_px=(0, 0), mask=disc(radius)) for radius in (8, 40))
    likely = [probabilities([part], part, NO_PRIOR, None)[0] for part in (small, large)]
    assert likely[0] == pytest.approx(likely[1], abs=0.01)


def test_parts_of_two_methods_are_combined(monkeypatch):
    """One method knows the left pair, the other one the right pair; neither knows both."""
    discs = [disc(12)] * 4
    places = [(20, 20), (20, 38), (20, 56), (20, 74)]
    mask = on_canvas((70, 120), *((one, *place) for one, place in zip(discs, places, strict=True)))
    (clump,) = find_regions(mask)

    def part(*which):
        region = on_canvas(mask.shape, *((discs[number], *places[number]) for number in which))
        (found,) = find_regions(region)
        return Region(origin_px=found.origin_px, mask=found.mask, separated=True)

    def returns(*parts):
        return lambda *_, **__: (list(parts), [])

    monkeypatch.setattr(auto.uecs, "separate", returns(part(0), part(1), part(2, 3)))
    monkeypatch.setattr(auto.contour, "propose", returns(part(0, 1), part(2), part(3)))
    monkeypatch.setattr(auto.watershed, "separate", returns(clump))
    found, given_up = auto.separate(clump, shape=mask.shape, min_area_px=1, settings=SeparationSettings())
    assert not given_up
    assert [np.count_nonzero(disc(12))] * 4 == [np.count_nonzero(region.mask) for region in found]
    assert {"uecs", "contour"} == {region.separated_by for region in found}


def spiral():
    mask = np.zeros((500, 500), dtype=bool)
    for angle in np.arange(2 * np.pi, 14 * np.pi, 0.005):
        radius = 14 * angle / np.pi
        row, column = int(250 + radius * math.sin(angle)), int(250 + radius * math.cos(angle))
        mask[row - 3 : row + 4, column - 3 : column + 4] = True
    return mask


def honeycomb():
    row, column = np.indices((300, 300))
    mask = (abs(row - 150) < 130) & (abs(column - 150) < 130)
    for number in range(13):
        for other in range(13):
            mask &= np.hypot(row - 24 * number - 12, column - 24 * other - 12 * (number % 2)) > 10
    return mask


@pytest.mark.parametrize("shape", [spiral, honeycomb])
def test_nets_and_spirals_take_little_time_and_are_no_huge_particle(shape):
    mask = shape()
    started = time.process_time()
    found = resolved(mask)
    assert time.process_time() - started < 20
    assert max([0, *(np.count_nonzero(particle.region.mask) for particle in found.particles)]) < 3000
