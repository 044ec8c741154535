"""What an idle service asks of its ledger, again and again: little, and no more for many files and rows."""

import sqlite3
from datetime import UTC, datetime

import pytest

from ledger_cases import START, arrival, result
from temwatch.config import Config
from temwatch.engine import requests, sequence_tracker
from temwatch.engine.measuring_again import Workers
from temwatch.engine.run_mode import RunMode
from temwatch.ledger import Reader, open_ledger, queue, recording, waiting_rows
from temwatch.ledger.schema import FILE_NAME

GROWING = ("files", "micrographs", "particles", "followed", "segmentations")


class Idle:
    """The parts of an engine that look into the ledger at every turn, and what they ask of it."""

    def __init__(self, folder, ledger, monkeypatch):
        for module, name in (
            (requests, "_LOOK_SECONDS"),
            (requests, "_RECALIBRATION_LOOK_SECONDS"),
            (sequence_tracker, "_NUMBER_SECONDS"),
            (sequence_tracker, "_LOOK_SECONDS"),
        ):
            monkeypatch.setattr(module, name, -1.0)
        config = Config.model_validate(
            {"watch": {"folder": folder / "in"}, "output": {"folder": folder / "out", "pictures": False}}
        )
        self.ledger = ledger
        self.requests = requests.RequestQueue(
            ledger,
            config,
            workers=Workers(resolve=pytest.fail, segment=pytest.fail),
            is_complete=pytest.fail,
            wake=lambda: None,
            publish_soon=pytest.fail,
        )
        self.tracker = sequence_tracker.SequenceTracker(ledger, config, pytest.fail, lambda: None)
        self.asked, self.opened = [], []
        of_reader = Reader.__init__

        def opening(reader, *arguments):
            of_reader(reader, *arguments)
            self.opened.append(reader)
            reader.connection.set_trace_callback(self.asked.append)

        monkeypatch.setattr(Reader, "__init__", opening)

    def turn(self):
        assert [] == queue.claim(self.ledger, 1, datetime.now(UTC))
        self.requests.turn()
        assert not self.tracker.turn(RunMode.service())


@pytest.fixture
def idle(tmp_path, monkeypatch):
    """Beside two files that have their rows."""
    with open_ledger(tmp_path) as ledger:
        for name in ("a", "b"):
            queue.add(ledger, arrival(f"{name}.dm3"))
        for file in queue.claim(ledger, 2, START):
            recording.record(ledger, file.id, [result(file.name, 3)])
        parts = Idle(tmp_path, ledger, monkeypatch)
        with ledger.reading() as connection:
            connection.set_trace_callback(parts.asked.append)
            yield parts
            connection.set_trace_callback(None)
        parts.tracker.close()


def test_turns_open_the_ledger_once_and_begin_no_transaction(idle):
    """Opening takes a millisecond, and a transaction the lock that a command may want."""
    for _ in range(5):
        idle.turn()
    assert 1 == len(idle.opened)
    assert [] == [text for text in idle.asked if text.startswith(("BEGIN", "COMMIT"))]
    assert len(idle.asked) >= 5 * 4


def test_no_turn_goes_through_all_files_or_rows(idle, tmp_path):
    """Everything that is asked has an index."""
    idle.turn()
    with idle.ledger.reader() as reader:
        assert 0 == waiting_rows.waiting(reader)
        assert waiting_rows.next_waiting(reader) is None
    planner = sqlite3.connect(tmp_path / FILE_NAME)
    asked = {text for text in idle.asked if text.lstrip().startswith("SELECT")}
    plans = [row[3] for text in asked for row in planner.execute(f"EXPLAIN QUERY PLAN {text}")]
    planner.close()
    assert [] == [
        plan
        for plan in plans
        for table in GROWING
        if plan.startswith("SCAN") and plan.split()[1] == table
        if "INDEX" not in plan
    ]
    assert len(asked) >= 5


def test_a_locked_ledger_holds_up_no_idle_turn(idle, tmp_path):
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    idle.turn()
    other.execute("ROLLBACK")
    other.close()
