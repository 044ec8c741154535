"""Following particles through simulated sequences whose every life is known."""

from dataclasses import replace

import numpy as np
import pytest

from sequence_cases import followed_sheet, score, true_observation, true_sheet
from temwatch.analysis import tracking
from temwatch.simulator.sequence import SEQUENCE, evolve

FRAMES = 40
SETTINGS = replace(SEQUENCE, size_px=768, particles=50)


@pytest.fixture(scope="module")
def moments():
    """Fifty particles through forty frames: some migrate, merge and dissolve."""
    return tuple(evolve(SETTINGS, FRAMES, np.random.default_rng(5)))


@pytest.fixture(scope="module")
def observations(moments):
    return [true_observation(moment, SETTINGS) for moment in moments]


def test_lives_are_followed(moments, observations):
    """Identities, merges and drift on what a perfect segmentation sees."""
    found = score(true_sheet(moments, SETTINGS), followed_sheet(observations))
    assert found.mota >= 0.97, found
    assert found.identity_f1 >= 0.97, found
    assert found.merge_f1 >= 0.9, found
    assert found.drift_rms_px < 0.3, found


def test_a_restart_after_any_frame_gives_the_same_identities(observations):
    """dump and load lose nothing, so a crash cannot change a track's name."""
    state, whole = tracking.begin(), []
    restarted, pieces = tracking.begin(), []
    for observation in observations:
        state, found = tracking.follow(state, observation)
        whole.append(found)
        restarted, found = tracking.follow(tracking.load(tracking.dump(restarted)), observation)
        pieces.append(found)
    for expected, actual in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(expected.tracks, actual.tracks)
        np.testing.assert_array_equal(expected.drift_px, actual.drift_px)
        assert expected.events == actual.events
    assert tracking.finish(state) == tracking.finish(tracking.load(tracking.dump(restarted)))
