"""Following particles through sequences whose every life is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import temwatch
from sequence_cases import discs, followed_sheet, score, true_observation, true_sheet
from temwatch.analysis import segmentation
from temwatch.analysis.tracking import tracker
from temwatch.config import SegmentationSettings, TrackingSettings
from temwatch.simulator.evolution import SEQUENCE, expose_frames, visible_frames

FRAMES = 40
SETTINGS = replace(SEQUENCE, size_px=768, particles=50)


def lives(seed, **options):
    return list(visible_frames(SETTINGS, FRAMES, np.random.default_rng(seed), **options))


@pytest.fixture(scope="module")
def moments():
    """Fifty particles through forty frames: some migrate, merge and dissolve."""
    return lives(5)


@pytest.fixture(scope="module")
def observations(moments):
    return [true_observation(moment, SETTINGS) for moment in moments]


def names_of(observations, settings=None):
    """The tracks of every frame and all events."""
    state, names, events = tracker.begin(settings), [], []
    for observation in observations:
        state, found = tracker.add_frame(state, observation)
        names.append(found.tracks.tolist())
        events.extend(found.events)
    return names, [*events, *tracker.finish(state)]


def test_particles_are_tracked(moments, observations):
    """Identities, merges and drift on what a perfect segmentation sees."""
    found = score(true_sheet(moments, SETTINGS), followed_sheet(observations))
    assert found.mota >= 0.97, found
    assert found.identity_f1 >= 0.97, found
    assert found.merge_f1 >= 0.9, found
    assert found.drift_rms_px < 0.3, found


@pytest.mark.parametrize("seed", [6, 7])
def test_drift_of_five_pixels_a_frame_and_flicker(seed):
    """The field travels, particles leave and enter it, and a tenth of them is not seen in any frame."""
    moments = lives(seed, drift_px=5.0, flicker=0.1)
    found = score(
        true_sheet(moments, SETTINGS), followed_sheet(true_observation(m, SETTINGS) for m in moments)
    )
    assert found.mota >= 0.97, found
    assert found.identity_f1 >= 0.97, found
    assert found.merge_f1 >= 0.8, found
    assert found.drift_rms_px < 0.3, found


def test_through_images_and_segmentation():
    """The same on simulated images, found by threshold and separation."""
    settings = replace(SEQUENCE, size_px=448, particles=24)
    moments = list(visible_frames(settings, 20, np.random.default_rng(8)))
    threshold = segmentation.build(SegmentationSettings(method="threshold"))
    observations = []
    for moment, image in expose_frames(iter(moments), settings, np.random.default_rng(9)):
        mask = threshold.segment([image.astype(np.float32)])[0].mask
        analysis = temwatch.resolve(mask, pixel_size_nm=settings.pixel_size_nm)
        observations.append(tracker.observe(analysis, moment.index))
    found = score(true_sheet(moments, settings), followed_sheet(observations))
    assert found.mota >= 0.95, found
    assert found.identity_f1 >= 0.97, found
    assert found.merge_f1 >= 0.9, found
    assert found.drift_rms_px < 0.3, found


def test_a_restart_after_any_frame_gives_the_same_identities(observations):
    """dump and load lose nothing, so a crash cannot change a track's name."""
    state, restarted = tracker.begin(), tracker.begin()
    for observation in observations:
        state, expected = tracker.add_frame(state, observation)
        restarted, actual = tracker.add_frame(tracker.load(tracker.dump(restarted)), observation)
        np.testing.assert_array_equal(expected.tracks, actual.tracks)
        np.testing.assert_array_equal(expected.drift_nm, actual.drift_nm)
        assert expected.events == actual.events
    assert tracker.dump(restarted) == tracker.dump(state)
    assert tracker.finish(state) == tracker.finish(tracker.load(tracker.dump(restarted)))


def test_sequences_side_by_side_do_not_touch_each_other(observations):
    """Two are tracked in turn, as a service does; each has the identities that it has alone."""
    alone, _ = names_of(observations[:10])
    first, second, names = tracker.begin(), tracker.begin(), []
    for one, other in zip(observations[:10], observations[10:20], strict=True):
        first, found = tracker.add_frame(first, one)
        second, _ = tracker.add_frame(second, other)
        names.append(found.tracks.tolist())
    assert alone == names


def test_blank_frames_and_gaps_break_no_track(observations):
    """However long nothing is seen, the particles that come back are the same."""
    blank = replace(
        observations[0],
        mask=np.zeros_like(observations[0].mask),
        centroids_nm=np.zeros((0, 2)),
        diameters_nm=np.zeros(0),
        regions=(),
    )
    state = tracker.begin()
    for observation in observations[:3]:
        state, before = tracker.add_frame(state, observation)
    for index in range(3, 13):
        state, nothing = tracker.add_frame(state, replace(blank, index=index))
        assert (0, ()) == (len(nothing.tracks), nothing.events)
        np.testing.assert_array_equal(before.drift_nm, nothing.drift_nm)
    state, after = tracker.add_frame(state, replace(observations[3], index=13))
    expected, _ = names_of(observations[:4])
    assert expected[-1] == after.tracks.tolist()


def test_events_of_two_discs():
    """Apart, one, and in two parts again: the larger one goes on, and each change is told with its frame."""
    apart, one = [(60, 40, 12), (60, 64, 9)], [(60, 47, 14)]
    around = [(20, 120, 10), (120, 30, 11), (130, 120, 9)]
    names, events = names_of(
        discs(index, places + around) for index, places in enumerate([apart] * 6 + [one] * 6 + [apart] * 6)
    )
    others = [3, 4, 5]
    assert [[1, 2, *others]] * 6 + [[1, *others]] * 6 + [[1, 6, *others]] * 6 == names
    assert [(6, "merge", 1, (2,)), (12, "split", 1, (6,))] == [
        (e.frame, e.event, e.track, e.others) for e in events
    ]


def test_a_particle_that_dissolves_beside_another_does_not_merge():
    """It shrinks and goes; its neighbour stays as it was."""
    frames = [[(60, 40, 12), (60, 58, 6 - 0.5 * step)] for step in range(8)] + [[(60, 40, 12)]] * 6
    _, events = names_of(discs(index, places) for index, places in enumerate(frames))
    assert [(8, "vanish", 2)] == [(e.frame, e.event, e.track) for e in events]


def test_who_comes_and_goes_is_told_once():
    """A new particle appears once it has lasted, keeps its name when it blinks, has gone if it stays away."""
    still, guest = (60, 40, 12), (100, 100, 8)
    present = [0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    frames = [[still, guest] if there else [still] for there in present]
    names, events = names_of(discs(index, places) for index, places in enumerate(frames))
    assert {1} == {tracks[0] for tracks in names}
    assert {2} == {track for tracks in names for track in tracks[1:]}
    assert [(2, "appear", 2), (8, "vanish", 2)] == [(e.frame, e.event, e.track) for e in events]


def test_the_memory_is_as_long_as_it_is_set():
    """A particle that is away for longer is a new one."""
    frames = [[(60, 40, 12), (100, 100, 8)] if t < 3 or t > 5 else [(60, 40, 12)] for t in range(9)]
    observations = [discs(index, places) for index, places in enumerate(frames)]
    assert [1, 2] == names_of(observations, TrackingSettings(memory_frames=3))[0][-1]
    assert [1, 3] == names_of(observations, TrackingSettings(memory_frames=2))[0][-1]


def test_a_sequence_of_any_length_costs_the_same():
    """Particles come and go for a hundred frames; what is remembered does not grow."""
    rng = np.random.default_rng(10)
    grid = [(30 + 40 * row, 30 + 40 * column) for row in range(6) for column in range(6)]
    state, sizes = tracker.begin(), []
    for index in range(100):
        places = [(y, x, 8) for y, x in grid if rng.random() < 0.5]
        state, _ = tracker.add_frame(state, discs(index, places, 256))
        sizes.append(len(tracker.dump(state)))
    assert max(sizes[50:]) < 1.2 * max(sizes[:50])


def test_the_example_of_the_documentation_runs(capsys):
    """docs/tracking.md shows how to track particles through analyses."""
    text = (Path(__file__).parents[1] / "docs" / "tracking.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    y, x = np.mgrid[:64, :64]
    disc = (y - 30) ** 2 + (x - 30) ** 2 < 100
    analyses = [temwatch.resolve(disc, pixel_size_nm=0.5) for _ in range(2)]
    exec(example, {"analyses": analyses})
    assert ["[1] [0. 0.] ()", "[1] [0. 0.] ()", "()"] == capsys.readouterr().out.splitlines()
