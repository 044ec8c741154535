"""Gatan's tree: files count anew in every second, frames count through the whole acquisition."""

import random
from datetime import timedelta

import pytest

from ledger_cases import START, arrival, result
from temwatch.ledger import open_ledger, publications, queue, recording
from temwatch.ledger.sequences.numbering import PLACES, number


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path) as opened:
        yield opened


def add(ledger, *places, at_s=0.0):
    """Files by second and number in it, detected at a time."""
    queue.add_all(
        ledger,
        (
            arrival(
                f"X/{second}_{index}.dm4",
                sample="X",
                sequence="X",
                position=second * PLACES + index,
                detected_at=START + timedelta(seconds=at_s),
            )
            for second, index in places
        ),
    )


def numbers(ledger, at_s=0.0, gap_s=30.0, **options):
    """Frame of every file that has one, by second and number in it."""
    number(ledger, now=START + timedelta(seconds=at_s), gap_s=gap_s, **options)
    with ledger.reader() as reader:
        rows = reader.connection.execute("SELECT position, frame, elapsed_s FROM files ORDER BY position")
        return {
            divmod(position, PLACES): (frame, elapsed_s)
            for position, frame, elapsed_s in rows
            if frame is not None
        }


def frames(ledger, **options):
    return {place: frame for place, (frame, _) in numbers(ledger, **options).items()}


def test_a_rate_that_is_no_whole_number(ledger):
    """Three frames, then four, then three; what has no number is not claimed."""
    places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2)]
    random.Random(3).shuffle(places)
    add(ledger, *places)
    assert {} == frames(ledger)
    assert [] == queue.claim(ledger, 20, START)
    found = numbers(ledger, at_s=31.0)
    assert list(range(10)) == [frame for frame, _ in found.values()]
    elapsed = [elapsed_s for _, elapsed_s in found.values()]
    assert elapsed == sorted(elapsed)
    assert (1.0, 1.25) == (elapsed[3], elapsed[4])
    assert 10 == len(queue.claim(ledger, 20, START))


def test_at_a_steady_rate_nothing_waits(ledger):
    """A second is over when the next one begins; the first waits a little for stragglers."""
    add(ledger, (0, 0), (0, 1), (1, 0))
    assert {} == frames(ledger, at_s=1.0)
    assert {(0, 0): 0, (0, 1): 1} == frames(ledger, at_s=2.0)
    add(ledger, (1, 1), (2, 0), at_s=2.0)
    assert {(0, 0): 0, (0, 1): 1, (1, 0): 2, (1, 1): 3} == frames(ledger, at_s=2.0)


def test_a_short_second_is_waited_for_and_then_given_up(ledger):
    """And a second that is missing altogether keeps its place."""
    add(ledger, (0, 0), (0, 1), (1, 0), (3, 0), (3, 1))
    assert {(0, 0): 0, (0, 1): 1} == frames(ledger, at_s=5.0)
    assert {(0, 0): 0, (0, 1): 1, (1, 0): 2, (3, 0): 4, (3, 1): 5} == frames(ledger, at_s=31.0)
    add(ledger, (2, 0), at_s=32.0)
    assert 3 == frames(ledger, at_s=70.0)[2, 0]


def test_a_frame_that_comes_too_late_moves_those_behind_it(ledger):
    """In the files, and in what is recorded of them."""
    add(ledger, (0, 0), (0, 1), (1, 0))
    frames(ledger, gap_s=0.0)
    for file in queue.claim(ledger, 10, START):
        recording.record(ledger, file.id, [result(file.path, 1, frame=file.frame, sequence="X")])
    add(ledger, (0, 2))
    assert {(0, 0): 0, (0, 1): 1, (0, 2): 2, (1, 0): 3} == frames(ledger, at_s=1.0)
    with ledger.reader() as reader:
        assert [0, 1, 3] == sorted(row.frame for row in reader.micrographs("X"))
        assert [1] == [publications.generations(reader, "X")[0]]


def test_a_frame_in_hand_is_recorded_under_its_number_of_then(ledger):
    """It was claimed as frame 2, and became frame 3 before it was recorded."""
    add(ledger, (0, 0), (0, 1), (1, 0))
    frames(ledger, gap_s=0.0)
    (file,) = [file for file in queue.claim(ledger, 10, START) if file.frame == 2]
    add(ledger, (0, 2))
    frames(ledger, gap_s=0.0)
    recording.record(ledger, file.id, [result(file.path, 1, frame=2, sequence="X")])
    with ledger.reader() as reader:
        assert [3] == [row.frame for row in reader.micrographs("X")]


def test_a_frame_interval_from_the_configuration_wins(ledger):
    """Over an even spread."""
    add(ledger, (5, 0), (5, 1), (6, 0))
    found = numbers(ledger, gap_s=0.0, interval_s=0.04)
    assert [0.0, 0.04, 1.0] == [elapsed_s for _, elapsed_s in found.values()]
