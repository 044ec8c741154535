"""What the network sees depends on the picture's content alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temwatch.analysis.segmentation import neighbours
from temwatch.analysis.segmentation.preprocessing import LIMIT, normalised


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    gain=st.floats(0.01, 1000),
    offset=st.floats(-1000, 60000),
    seed=st.integers(0, 99),
)
def test_gain_and_offset_of_the_detector_cancel(rows, columns, gain, offset, seed):
    image = np.random.default_rng(seed).integers(0, 200, (rows, columns)).astype(np.float32)
    scaled = (image.astype(np.float64) * gain + gain * offset).astype(np.float32)

    expected, actual = normalised(image), normalised(scaled)

    assert expected.shape == actual.shape == (rows, columns)
    assert np.allclose(expected, actual, atol=0.05)


def test_background_and_particles_come_to_lie_near_the_ends_of_minus_one_to_one():
    image = np.full((200, 200), 500, np.float32)
    image[50:100, 50:100] = 300
    assert np.unique(normalised(image)).tolist() == [-1, 1]


def test_what_was_written_into_a_picture_does_not_set_its_levels():
    """A white box with a letter, and a black bar, over a twentieth of a micrograph."""
    image = np.random.default_rng(0).normal(100, 5, (200, 200)).astype(np.float32)
    image[50:100, 50:100] -= 30
    labelled = image.copy()
    labelled[:40, :40], labelled[10:30, 15:20], labelled[180:188, 120:190] = 255, 0, 0

    outside = np.ones(image.shape, bool)
    outside[:40, :40] = outside[180:188, 120:190] = False
    assert np.abs(normalised(labelled) - normalised(image))[outside].max() < 0.1


def test_a_picture_without_noise_keeps_its_levels():
    """Flat blocks are all that it has."""
    image = np.full((200, 200), 200, np.float32)
    image[50:100, 50:100] = 90
    image[:16, :16] = np.random.default_rng(0).integers(0, 255, (16, 16))
    assert np.allclose(np.abs(normalised(image)[16:]), 1)


def test_few_particles_far_darker_than_all_else_are_not_cut_off():
    """They cover half a hundredth of the picture; the background shrinks to what it is beside them."""
    random = np.random.default_rng(0)
    image = random.normal(100, 5, (400, 400)) + np.linspace(-10, 10, 400)
    image[200:228, 200:228] = random.normal(-200, 5, (28, 28))
    found = normalised(image.astype(np.float32))

    assert np.median(found[200:228, 200:228]) == pytest.approx(-1, abs=0.05)
    assert np.abs(np.percentile(found[:190], (1, 99)) - 0.95).max() < 0.2


def test_a_single_hot_pixel_changes_nothing_else():
    image = np.random.default_rng(0).normal(100, 5, (200, 200)).astype(np.float32)
    hot = image.copy()
    hot[10, 10] = 1e9

    difference = np.abs(normalised(hot) - normalised(image))

    assert np.isfinite(normalised(hot)).all()
    assert normalised(hot)[10, 10] == LIMIT
    assert np.count_nonzero(difference > 0.05) <= 1


def test_no_contrast_and_no_number_become_zeros():
    assert not normalised(np.full((5, 7), 3, np.float32)).any()
    assert not normalised(np.full((5, 7), np.nan, np.float32)).any()


def test_a_few_pixels_that_are_not_finite_take_the_medians_place():
    image = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    holed = image.copy()
    holed[3, 3], holed[5, 5] = np.nan, -np.inf
    assert np.isfinite(normalised(holed)).all()
    assert np.count_nonzero(np.abs(normalised(holed) - normalised(image)) > 0.05) <= 2


@pytest.mark.parametrize("sd", [0.0, 0.1, 0.4])
def test_noise_is_told_from_slopes_edges_and_particles(sd):
    rows, columns = np.indices((200, 300))
    image = rows / 100 - 2 * (np.hypot(rows - 90, columns - 120) < 60) - (columns > 250)
    noisy = image + np.random.default_rng(3).normal(0, sd, image.shape)

    assert neighbours.noise(noisy.astype(np.float32)) == pytest.approx(sd, rel=0.03, abs=1e-5)
    assert 0 == neighbours.noise(np.zeros((2, 50), np.float32))
