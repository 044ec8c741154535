"""From probabilities to a mask: what the network is sure of, and holes as dark as their particle."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from temwatch.analysis.segmentation import masking
from temwatch.analysis.segmentation.connected_parts import sure_parts, with_dark_holes
from temwatch.analysis.segmentation.preprocessing import Prepared

ROWS, COLUMNS = np.indices((80, 120))


def best_threshold(probability: np.ndarray) -> masking.Threshold:
    return masking.best_threshold(torch.from_numpy(probability))


def particle_mask(probability: np.ndarray, image: Prepared) -> np.ndarray:
    found = masking.candidates(torch.from_numpy(probability), image.noise)
    return masking.particle_mask(found, image.pixels)


def disc(row: float, column: float, radius_px: float) -> np.ndarray:
    return np.hypot(ROWS - row, COLUMNS - column) < radius_px


def test_a_part_stays_whole_where_the_network_is_sure_of_one_pixel():
    probability = np.full((80, 120), 0.1, np.float32)
    probability[disc(30, 30, 12)] = 0.6
    probability[30, 30] = 0.95
    probability[disc(30, 80, 12)] = 0.85

    assert np.array_equal(disc(30, 30, 12), sure_parts(probability > 0.5, probability > 0.9))


def test_parts_that_meet_at_a_corner_are_one():
    probability = np.zeros((6, 6), np.float32)
    probability[1:3, 1:3], probability[3:5, 3:5] = 0.95, 0.6

    assert 8 == np.count_nonzero(sure_parts(probability > 0.5, probability > 0.9))
    assert not sure_parts(np.zeros((6, 6), bool), np.zeros((6, 6), bool)).any()


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (250.0, 3e4)])
def test_a_dark_core_is_filled_and_a_bright_one_left(gain, offset):
    image = np.full((80, 120), 1.0)
    mask = (disc(40, 30, 20) & ~disc(40, 30, 8)) | (disc(40, 85, 20) & ~disc(40, 85, 8))
    image[disc(40, 30, 20)] = -0.9  # its core is only missing in the mask
    image[disc(40, 85, 20) & ~disc(40, 85, 8)] = -0.9  # a ring that the film is seen through
    image += np.random.default_rng(0).normal(0, 0.3, image.shape)

    filled = with_dark_holes(mask, gain * image + offset)

    assert np.array_equal(disc(40, 30, 20) | mask, filled)


def test_the_gap_that_three_particles_enclose_stays_open():
    centres = ((30, 45), (30, 74.5), (55.5, 59.75))
    mask = np.any([disc(row, column, 15.5) for row, column in centres], axis=0)
    gap = ndimage.binary_fill_holes(mask) & ~mask
    image = ndimage.gaussian_filter(np.where(mask, -1.0, 1.0), 1)

    assert np.count_nonzero(gap) > 10
    assert np.array_equal(mask, with_dark_holes(mask, image))


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_holes_or_without_background_stays(value):
    mask = np.full((20, 30), value)
    image = np.zeros((20, 30))
    assert np.array_equal(mask, with_dark_holes(mask, image))
    mask[5:9, 5:9] = not value
    assert np.array_equal(mask, with_dark_holes(mask, image))


def test_both_together():
    probability = np.where(disc(40, 40, 20) & ~disc(40, 40, 6), 0.97, 0.2).astype(np.float32)
    probability[disc(40, 100, 8)] = 0.7
    image = np.where(disc(40, 40, 20), -1.0, 1.0)

    assert np.array_equal(disc(40, 40, 20), particle_mask(probability, Prepared(image, 0.0)))


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_that_of_the_highest_dice_in_the_mean(seed):
    """Truths are drawn from the probabilities; no other threshold does better on them by more than chance."""
    random = np.random.default_rng(seed)
    probability = random.beta(*random.uniform(0.1, 3, 2), (200, 200)).astype(np.float32)
    truths = random.random((10, 200, 200)) < probability

    def dice(threshold: float) -> float:
        mask = probability > threshold
        return float(np.mean([2 * (mask & t).sum() / (mask.sum() + t.sum()) for t in truths]))

    best = best_threshold(probability)
    assert best.dice == pytest.approx(dice(best.level), abs=0.01)
    assert best.dice > max(dice(level) for level in np.linspace(0.02, 0.98, 49)) - 0.01


def test_faint_particles_count_in_noise_alone():
    """What is in doubt everywhere is cut lower; not without noise, nor where there is next to nothing."""
    noisy = Prepared(np.random.default_rng(0).normal(0, 0.5, (80, 120)).astype(np.float32), 0.5)
    faint = np.where(disc(40, 40, 20), 0.352, 0.02).astype(np.float32)
    faint[disc(40, 40, 9)] = 0.8
    nothing = np.where(disc(40, 40, 20), 0.2, 0.1).astype(np.float32)

    assert np.array_equal(disc(40, 40, 20), particle_mask(faint, noisy))
    assert not particle_mask(faint, noisy._replace(noise=0.0)).any()
    assert not particle_mask(nothing, noisy).any()


def test_in_doubt_the_threshold_falls_below_that_of_the_highest_dice():
    """A network that may expect little understates it; one that is sure of its particles does not."""
    noisy = Prepared(np.random.default_rng(0).normal(0, 0.5, (80, 120)).astype(np.float32), 0.5)
    rim = disc(40, 40, 20)
    doubtful = np.where(rim, 0.25, 0.01).astype(np.float32)
    sure = doubtful.copy()
    doubtful[disc(40, 40, 16)] = 0.6
    sure[disc(40, 40, 16)] = 0.99

    assert best_threshold(doubtful).level > 0.25
    assert np.array_equal(rim, particle_mask(doubtful, noisy))
    assert np.array_equal(disc(40, 40, 16), particle_mask(sure, noisy))
