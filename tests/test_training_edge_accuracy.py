"""How far outlines lie from the edges that a picture shows, and how diameters compare with labels."""

import json
import math

import numpy as np
import pytest
from scipy import ndimage

from temwatch.analysis.refinement.level import OUTLINE, draw_level
from temwatch.domain import Region, Segmentation
from temwatch.training import edge_accuracy, scores
from temwatch.training.evaluate import pipeline_particles

SHAPE = (120, 120)
CENTRE = (60.2, 59.7)
NOISE = 0.05


def disc(radius, centre=CENTRE):
    rows, columns = np.indices(SHAPE)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2


def slit():
    rows, columns = np.indices(SHAPE)
    return (columns > CENTRE[1]) & (abs(rows - CENTRE[0]) < 3)


def picture(mask):
    """Dark where the mask is, blurred as by a detector, in noise."""
    random = np.random.default_rng(0)
    blurred = ndimage.gaussian_filter(np.where(mask, -1.0, 1.0), 0.8)
    return (blurred + random.normal(0, NOISE, SHAPE)).astype(np.float32)


def distances(image, found):
    return edge_accuracy.distances_px(image, found, pipeline_particles(found))


@pytest.mark.parametrize("too_large_px", [-1.0, 0.0, 2.0])
def test_a_bare_mask_is_as_far_outside_as_it_was_drawn(too_large_px):
    (found,) = distances(picture(disc(20)), Segmentation(mask=disc(20 + too_large_px)))
    assert found == pytest.approx(too_large_px, abs=0.25)


def test_an_outline_between_the_pixels_is_looked_at_where_it_lies():
    turn = np.linspace(0, math.tau, 360, endpoint=False)
    drawn = np.stack([CENTRE[0] + 21.4 * np.sin(turn), CENTRE[1] + 21.4 * np.cos(turn)], axis=1)
    level = draw_level(drawn.astype(np.float32), np.array([0, len(drawn)]), SHAPE)
    (found,) = distances(picture(disc(20)), Segmentation(mask=level > OUTLINE, level=level))
    assert found == pytest.approx(1.4, abs=0.15)


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("touches another", disc(14, (60, 48)) | disc(14, (60, 72))),
        ("near the border", disc(14, (60, 18))),
        ("not convex", disc(20) & ~slit()),
    ],
)
def test_only_single_particles_are_looked_at(name, mask):
    """Of the others a part of the outline is guessed, or there is no picture around it."""
    found = Segmentation(mask=mask)
    assert pipeline_particles(found), name
    assert distances(picture(mask), found).size == 0


def test_an_edge_that_is_lost_in_noise_says_nothing():
    noise = np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)
    assert distances(noise, Segmentation(mask=disc(20))).size == 0


def test_data_sets_are_pooled_by_name():
    one = edge_accuracy.Outlines(
        data_set="a", edge_distances_px=np.array([0.0, 1.0]), diameter_ratios=(1.0, 1.1)
    )
    two = edge_accuracy.Outlines(data_set="a", edge_distances_px=np.array([2.0, 3.0, 4.0]))
    three = edge_accuracy.Outlines(data_set="b", edge_distances_px=np.empty(0))
    sets = edge_accuracy.by_data_set([one, three, two])
    assert [one.data_set for one in sets] == ["a", "b"]
    assert sets[0].edge_distance_px == edge_accuracy.Quartiles(number=5, low=1, median=2, high=3)
    assert (sets[0].diameter_ratio.number, sets[0].diameter_ratio.median) == (2, pytest.approx(1.05))

    first, second = edge_accuracy.as_table(sets).splitlines()[2:]
    assert " ".join(first.split()) == "a +2.00 (+1.00 to +3.00) 5 1.050 (1.025 to 1.075) 2"
    assert second.split() == ["b", "-", "0", "-", "0"]
    (_, empty) = json.loads(json.dumps(edge_accuracy.as_json(sets), allow_nan=False))
    assert empty["edge_distance_px"] == {"number": 0, "low": None, "median": None, "high": None}


def test_diameters_are_compared_as_they_are_reported():
    """Of the outline between the pixels; the truth counts pixels, because there is nothing else."""
    square = np.ones((20, 20), bool)
    truth = Region(origin_px=(30, 30), mask=square)
    larger = np.array([(29.5, 29.5), (29.5, 50.5), (50.5, 50.5), (50.5, 29.5)])
    found = Region(origin_px=(30, 30), mask=square, outline=larger)
    (exact,) = scores.match_particles([truth], [truth], SHAPE).diameter_ratios
    (ratio,) = scores.match_particles([found], [truth], SHAPE).diameter_ratios
    assert exact == 1
    assert ratio > 1.04
