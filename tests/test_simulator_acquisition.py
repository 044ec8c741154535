"""The simulated microscope writes as a real one does: slowly, in pieces, complete only at the end."""

from dataclasses import replace

import numpy as np
import pytest

from temwatch import formats
from temwatch.simulator import Settings, acquire

SMALL = replace(Settings(), size_px=128, particles=4)


@pytest.mark.parametrize("pieces", [2, 8])
def test_a_file_under_its_final_name_grows_in_pieces(tmp_path, pieces):
    """At every pause between two pieces the newest file is shorter than it will be, and not complete."""
    lengths, complete = [], []

    def look(_):
        newest = max(tmp_path.glob("*.dm3"), key=lambda path: path.name)
        lengths.append((newest, newest.stat().st_size))
        complete.append(formats.complete(newest))

    paths = list(acquire(tmp_path, 2, settings=SMALL, pieces=pieces, pause_s=0, sleep=look))
    assert ["Au_01.dm3", "Au_02.dm3"] == [path.name for path in paths]
    # the pause between the micrographs sees the first one whole
    assert 1 == sum(length == path.stat().st_size for path, length in lengths)
    assert 2 * (pieces - 1) == sum(length < path.stat().st_size for path, length in lengths)
    assert 1 == sum(state is True for state in complete)
    assert all(formats.complete(path) for path in paths)


def test_a_temporary_name_hides_a_growing_file(tmp_path):
    """With `rename` no dm3 is ever seen that is not complete."""
    seen = []
    paths = acquire(
        tmp_path,
        2,
        settings=SMALL,
        rename=True,
        sleep=lambda _: seen.extend(path.stat().st_size for path in tmp_path.glob("*.dm3")),
    )
    final = [path.stat().st_size for path in paths]
    assert set(seen) == {final[0]}
    assert [] == list(tmp_path.glob("*.tmp"))


def test_pauses_are_those_asked_for(tmp_path):
    """Pieces and micrographs are apart by their own pauses."""
    pauses = []
    list(acquire(tmp_path, 3, settings=SMALL, pieces=4, piece_pause_s=0.25, pause_s=9.0, sleep=pauses.append))
    assert [*[0.25] * 3, 9.0, *[0.25] * 3, 9.0, *[0.25] * 3] == pauses


def test_micrographs_differ_and_repeat_with_the_seed(tmp_path):
    """Each is a new field of the same sample; the seed decides them all."""

    def images(folder, seed):
        paths = acquire(tmp_path / folder, 3, settings=SMALL, seed=seed, sleep=lambda _: None)
        return [formats.read(path).image for path in paths]

    first, again, other = images("a", 1), images("b", 1), images("c", 2)
    np.testing.assert_array_equal(first, again)
    assert all((one != two).mean() > 0.5 for one, two in zip(first, first[1:] + other[:1], strict=True))
