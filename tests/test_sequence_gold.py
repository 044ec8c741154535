"""Gold at 750 C: a real sequence with a jump of the field, a blurred frame and a blank one."""

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from PIL import Image

import temwatch
from temwatch.analysis import segmentation
from temwatch.analysis.tracking import tracker
from temwatch.config import SegmentationSettings

pytestmark = pytest.mark.data

PIXEL_SIZE_NM = 1.0  # none is stated; particles are about six pixels across
BLANK = 177


@pytest.fixture(scope="module")
def track(data_folder):
    """Function that tracks frames by their index from 0, segmented by threshold."""
    folder = data_folder / "in_situ_gold_750C" / "frames"
    threshold = segmentation.build(SegmentationSettings(method="threshold"))

    def run(indices):
        state, found, shapes = tracker.begin(), [], []
        for index in indices:
            image = np.array(Image.open(folder / f"frame_{index + 1:04d}.png"), np.float32)
            mask = threshold.segment([image])[0].mask
            analysis = temwatch.resolve(mask, pixel_size_nm=PIXEL_SIZE_NM)
            observation = tracker.observe(analysis, index)
            state, tracked = tracker.add_frame(state, observation)
            found.append(tracked)
            shapes.append(image.shape)
        return found, tracker.finish(state), shapes[0]

    return run


def broken(found, shape, before, after):
    """Share of the tracks of one frame, still in view in another, that are in none up to that one."""
    first, last = found[before], found[after]
    places = (first.positions_nm + last.drift_nm) / PIXEL_SIZE_NM
    inside = ((places > 6) & (places < np.array(shape) - 6)).all(axis=1)
    later = set(chain.from_iterable(f.tracks.tolist() for f in found[before + 1 : after + 1]))
    gone = [track for track in first.tracks[inside].tolist() if track not in later]
    return len(gone) / inside.sum()


def test_a_jump_of_the_field_is_drift_and_breaks_no_tracks(track):
    """The field moves by forty pixels between two frames; particles keep their identities."""
    found, _, shape = track(range(7))
    jumps = [float(np.hypot(*(b.drift_nm - a.drift_nm)) / PIXEL_SIZE_NM) for a, b in pairwise(found)]
    assert 35 < max(jumps) < 45
    assert broken(found, shape, jumps.index(max(jumps)), 6) <= 0.05


def test_a_blank_frame_breaks_no_track(track):
    """It has no particles, and those of the frames around it are the same."""
    found, _, shape = track(range(BLANK - 3, BLANK + 3))
    assert 0 == len(found[3].tracks)
    assert broken(found, shape, 2, 4) <= 0.02


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_whole_sequence(track):
    """Counts fall as they truly do, and tracks are long."""
    found, last, shape = track(range(194))
    counts = [len(f.tracks) for f in found]
    assert 821 == pytest.approx(counts[19], rel=0.08)
    assert 719 == pytest.approx(counts[171], rel=0.08)
    frames_of = Counter(chain.from_iterable(f.tracks.tolist() for f in found))
    assert len(frames_of) < 1600
    assert np.median(list(frames_of.values())) > 100
    assert broken(found, shape, BLANK - 1, BLANK + 1) <= 0.02
    kinds = Counter(e.event for e in chain(chain.from_iterable(f.events for f in found), last))
    assert {"appear", "vanish", "merge", "split"} == set(kinds)
