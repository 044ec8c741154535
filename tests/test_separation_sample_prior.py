"""What stands alone on other micrographs of a sample decides where a micrograph shows too little itself."""

import math
from dataclasses import replace

import numpy as np
import pytest

from analytic_shapes import disc, on_canvas
from temwatch.analysis.pipeline import resolve_segmentation
from temwatch.analysis.separation.cleaning import find_regions
from temwatch.analysis.separation.prior import describe_lone
from temwatch.config import SeparationSettings
from temwatch.domain import Segmentation
from temwatch.lone_particles import ENOUGH, LoneParticles, completed, of_sample

DISCS = LoneParticles(
    count=40.0, log_radius=math.log(8), spread=0.05, elongation=0.03, elongation_spread=0.02, roughness=0.012
)
"""Of a sample of discs with a radius of 8 px."""
PAIR = on_canvas((80, 100), (disc(8), 30, 30), (disc(8), 30, 37))
PARTICLE_AND_SPECK = on_canvas((100, 160), (disc(20), 30, 30), (disc(8), 42, 64))


def diameters(mask, sample_prior, method="auto"):
    found = resolve_segmentation(
        Segmentation(mask=mask, sample_prior=sample_prior),
        pixel_size_nm=1.0,
        settings=SeparationSettings(method=method),
    )
    return sorted(particle.equivalent_diameter_nm for particle in found.particles)


@pytest.mark.parametrize(("mask", "expected"), [(PAIR, [16, 16]), (PARTICLE_AND_SPECK, [16, 40])])
def test_a_clump_without_lone_particles_is_judged_by_those_of_its_sample(mask, expected):
    assert 1 == len(diameters(mask, None)) == len(diameters(mask, LoneParticles()))
    assert expected == pytest.approx(diameters(mask, DISCS), rel=0.03)


@pytest.mark.parametrize("method", ["uecs", "watershed", "contour", "none"])
def test_other_methods_judge_a_micrograph_by_itself(method):
    assert diameters(PAIR, None, method) == diameters(PAIR, DISCS, method)


def test_enough_lone_particles_of_its_own_leave_the_sample_no_say():
    many = on_canvas(
        (200, 200), *((disc(8), 5 + 25 * row, 5 + 25 * column) for row in range(5) for column in range(7))
    )
    mask = np.concatenate([many, on_canvas((200, 100), (disc(8), 30, 30), (disc(8), 30, 37))], axis=1)
    others = replace(DISCS, log_radius=math.log(30))
    assert describe_lone(find_regions(many)).count > ENOUGH
    assert diameters(mask, None) == diameters(mask, others)


def test_a_sample_adds_what_is_missing_and_no_more():
    own = replace(DISCS, count=5.0, log_radius=math.log(10))
    both = completed(own, DISCS)
    assert both.count == ENOUGH
    assert both.log_radius == pytest.approx(0.25 * math.log(10) + 0.75 * math.log(8))
    assert both.spread > DISCS.spread  # the two differ
    assert completed(own, LoneParticles()) == own
    assert completed(LoneParticles(), DISCS) == replace(DISCS, count=ENOUGH)
    assert completed(DISCS, own) == DISCS


def test_a_micrograph_with_other_particles_changes_a_sample_little():
    """Not even if it shows a thousand."""
    usual = [replace(DISCS, log_radius=math.log(8 + number / 10)) for number in range(5)]
    odd = replace(DISCS, count=1000.0, log_radius=math.log(80))
    together, without = of_sample([*usual, odd]), of_sample(usual)
    assert together.log_radius == pytest.approx(without.log_radius, abs=0.03)
    assert together.spread == pytest.approx(without.spread, abs=0.03)
    assert together.count == 6 * ENOUGH


def test_sizes_that_differ_between_micrographs_make_the_spread_of_a_sample():
    sizes = [replace(DISCS, count=1.0, spread=0.0, log_radius=0.1 * number) for number in range(21)]
    assert of_sample(sizes).spread == pytest.approx(0.1 * math.sqrt(21**2 - 1) / math.sqrt(12), rel=0.3)


def test_nothing_is_known_of_a_sample_before_its_first_particle():
    assert of_sample([]) == of_sample([LoneParticles()]) == LoneParticles()


def test_the_text_holds_every_bit():
    odd = LoneParticles(count=1 / 3, log_radius=math.pi, spread=1e-17, elongation=0.1, roughness=2 / 3)
    assert LoneParticles.from_json(odd.to_json()) == odd
    assert odd.scaled(0.5).scaled(2).log_radius == pytest.approx(odd.log_radius)
