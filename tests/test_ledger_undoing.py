"""Settings and corrections that are undone and redone: the ledger is as it was before, in every sample."""

from dataclasses import replace

import pytest

from ledger_cases import START, arrival, result
from temwatch.domain import PixelSizeSource
from temwatch.ledger import (
    calibrations,
    moves,
    open_ledger,
    queue,
    recording,
    sample_settings,
    undoing,
)
from temwatch.ledger.changes import Author

ANNA = Author(by="anna", at=START, source="command", reason="why")
NM, PX = "separation.min_diameter_nm", "separation.min_diameter_px"
CONVEXITY = "separation.convexity_threshold"
STATED = {"stated_pixel_size_nm": 0.1, "pixel_size_source": PixelSizeSource.FILE}


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / ".temwatch") as ledger:
        yield ledger


def put(ledger, values, sample="Au"):
    """Settings that somebody changes; gives the change."""
    with ledger.transaction() as connection:
        return sample_settings.change(connection, ANNA, sample, values)[0]


def undo(ledger, change):
    with ledger.transaction() as connection:
        return undoing.undo(connection, change, ANNA).change


def own(ledger, sample="Au"):
    """What is in force, which a page and a worker see alike."""
    with ledger.reader() as reader:
        shown = {key: one.value for key, one in sample_settings.settings_of(reader, sample).items()}
        assert shown == sample_settings.decisive(reader.connection, sample)
        return shown


def test_a_redo_restores_what_was_there_before_the_undo(ledger):
    """Not more: what was set later goes on counting."""
    first = put(ledger, {CONVEXITY: 0.9})
    put(ledger, {CONVEXITY: 0.8})
    again = undo(ledger, first)
    assert {CONVEXITY: 0.8} == own(ledger)
    redone = undo(ledger, again)
    assert {CONVEXITY: 0.8} == own(ledger)
    for _ in range(2):
        redone = undo(ledger, undo(ledger, redone))
        assert {CONVEXITY: 0.8} == own(ledger)


def test_of_two_smallest_diameters_the_last_counts_whatever_is_undone(ledger):
    """In nm or in px; unset, none is left."""
    put(ledger, {NM: 5.0})
    second = put(ledger, {PX: 10.0})
    third = put(ledger, {PX: 12.0})
    again = undo(ledger, second)
    assert {PX: 12.0} == own(ledger)
    undo(ledger, third)
    assert {NM: 5.0} == own(ledger)
    undo(ledger, again)
    assert {PX: 10.0} == own(ledger)
    put(ledger, {PX: 11.0})
    put(ledger, {PX: None})
    assert {} == own(ledger)


def test_an_unset_key_takes_the_hidden_one_along(ledger):
    """It was hidden by what is unset, and nobody would expect it back."""
    put(ledger, {NM: 5.0})
    second = put(ledger, {PX: 10.0})
    put(ledger, {PX: 12.0})
    undo(ledger, second)
    put(ledger, {PX: None})
    assert {} == own(ledger)


def take(ledger, path, inode, sample="Au"):
    file_id = queue.add(ledger, arrival(path, inode=inode, mtime_ns=1_234_567, sample=sample))
    queue.claim(ledger, 10, START)
    recording.record(ledger, file_id, [replace(result(inode), **STATED)])
    return file_id


def move(ledger, former, path, inode, sample):
    arrived = queue.add(ledger, arrival(path, inode=inode, mtime_ns=1_234_567, sample=sample))
    queue.claim(ledger, 10, START)
    assert moves.move(ledger, arrived, former) is not None


def wanted(ledger):
    with ledger.reader() as reader:
        query = "SELECT sample, wanted_pixel_size_nm FROM micrographs ORDER BY id"
        return reader.connection.execute(query).fetchall()


def test_what_was_carried_to_another_sample_is_redone_there_too(ledger):
    """An undo ends it in both samples, so a redo begins it in both."""
    ids = [take(ledger, f"Au/{n}.dm3", 10 + n) for n in range(2)]
    change = put(ledger, {CONVEXITY: 0.9})
    with ledger.transaction() as connection:
        (corrected,), _, _ = calibrations.calibrate(connection, ANNA, sample="Au", file_ids=None, factor=2.0)
    move(ledger, ids[0], "Pt/0.dm3", 10, "Pt")
    both = ({CONVEXITY: 0.9}, {CONVEXITY: 0.9}, [("Pt", 0.2), ("Au", 0.2)])

    def now():
        return own(ledger), own(ledger, "Pt"), wanted(ledger)

    assert both == now()
    again, corrected_again = undo(ledger, change), undo(ledger, corrected)
    assert ({}, {}, [("Pt", None), ("Au", None)]) == now()
    undo(ledger, again), undo(ledger, corrected_again)
    assert both == now()


def test_a_redone_correction_stays_below_a_later_one(ledger):
    """As before the undo."""
    take(ledger, "Au/0.dm3", 10)
    found = []
    for factor in (2.0, 3.0):
        with ledger.transaction() as connection:
            found += calibrations.calibrate(connection, ANNA, sample="Au", file_ids=None, factor=factor)[0]
    assert [("Au", pytest.approx(0.3))] == wanted(ledger)
    again = undo(ledger, found[0])
    assert [("Au", pytest.approx(0.3))] == wanted(ledger)
    undo(ledger, again)
    assert [("Au", pytest.approx(0.3))] == wanted(ledger)
