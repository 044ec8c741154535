"""Measures: the paper's equations by hand, outlines, and particles matched one to one."""

import math

import numpy as np
import pytest

from temwatch.domain import Region, Segmentation
from temwatch.training import scores


def disc(centre: tuple[int, int], radius: float, shape=(100, 100)) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def region(mask: np.ndarray) -> Region:
    return scores.regions(mask.astype(np.int32))[0]


def test_pixel_measures_are_those_of_the_paper():
    measures = scores.PixelConfusion(60, 10, 20, 110).measures()
    assert measures["global_accuracy"] == pytest.approx(170 / 200)
    assert measures["accuracy_particle"] == pytest.approx(60 / 80)
    assert measures["accuracy_background"] == pytest.approx(110 / 120)
    assert measures["iou_particle"] == pytest.approx(60 / 90)
    assert measures["iou_background"] == pytest.approx(110 / 140)
    assert measures["dice_particle"] == pytest.approx(120 / 150)
    assert measures["dice_background"] == pytest.approx(220 / 250)


def test_pixels_are_counted_and_pooled():
    found, truth = np.zeros((2, 4, 5), bool)
    found[:, :2], truth[:, 1:4] = True, True
    assert scores.pixel_confusion(found, truth) == scores.PixelConfusion(4, 4, 8, 4)
    assert scores.PixelConfusion(1, 2, 3, 4) + scores.PixelConfusion(1, 1, 1, 1) == scores.PixelConfusion(
        2, 3, 4, 5
    )


def test_a_class_that_does_not_occur_has_no_measure():
    assert math.isnan(scores.PixelConfusion(0, 0, 0, 9).measures()["iou_particle"])


def test_boundary_f1_forgives_the_tolerance_and_no_more():
    truth = disc((50, 50), 30)
    assert scores.boundary_f1(truth, truth) == 1
    assert scores.boundary_f1(disc((50, 51), 30), truth) == 1
    assert scores.boundary_f1(disc((50, 50), 20), truth) == 0
    assert scores.boundary_f1(np.zeros_like(truth), truth) == 0
    assert math.isnan(scores.boundary_f1(np.zeros_like(truth), np.zeros_like(truth)))


def test_particles_are_matched_one_to_one_and_their_diameters_compared():
    truth = [region(disc((30, 30), 10)), region(disc((70, 70), 10))]
    found = [region(disc((30, 30), 11)), region(disc((31, 30), 11)), region(disc((30, 70), 5))]

    counts = scores.match_particles(found, truth, (100, 100))

    assert (counts.truth, counts.found, counts.matched) == (2, 3, 1)
    assert counts.measures()["particle_f1"] == pytest.approx(2 / 5)
    assert counts.measures()["count_error"] == pytest.approx(1 / 2)
    assert counts.measures()["diameter_bias"] == pytest.approx(0.1, abs=0.02)


def test_particles_on_the_border_count_neither_as_found_nor_as_missed():
    border, inner = disc((50, 0), 12), disc((50, 60), 12)
    cut_off = border.copy()
    cut_off[:, 0] = False

    counts = scores.match_particles(
        [region(cut_off), region(inner)], [region(border), region(inner)], (100, 100)
    )

    assert (counts.truth, counts.found, counts.matched) == (1, 1, 1)


def test_nothing_at_all_is_no_particle():
    assert scores.match_particles([], [], (9, 9)) == scores.ParticleCounts(0, 0, 0)


def test_the_watershed_parts_two_discs_that_touch_and_keeps_small_ones():
    mask = disc((50, 25), 20) | disc((50, 64), 20) | disc((10, 90), 2.5)
    found = scores.watershed(Segmentation(mask=mask))
    assert sorted(np.count_nonzero(part.mask) for part in found)[0] == np.count_nonzero(disc((9, 9), 2.5))
    assert len(found) == 3


def test_contacts_part_what_the_watershed_cannot():
    """Two rectangles along a whole side are one rectangle to anybody who sees the mask alone."""
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50] = True
    contacts = np.zeros_like(mask)
    contacts[:, 29:31] = True

    assert len(scores.watershed(Segmentation(mask=mask))) == 1
    parts = scores.watershed(Segmentation(mask=mask, contacts=contacts))
    assert [part.mask.shape for part in parts] == [(40, 20), (40, 20)]
