"""An error that nobody expected costs what it concerns, and the next item goes on."""

import json
import sqlite3
from concurrent.futures import Future
from datetime import UTC, datetime

import pytest

from ledger_cases import START, arrival, result
from temwatch.config import Config
from temwatch.engine.artifacts import ArtifactWriter
from temwatch.engine.measuring_again import Workers
from temwatch.engine.requests import RequestQueue
from temwatch.engine.run_mode import RunMode
from temwatch.ledger import open_ledger, post_request, queue, recording
from temwatch.ledger.requests import answer_to


@pytest.fixture
def ledger(tmp_path):
    """One micrograph is recorded, and its output folder is out of date."""
    with open_ledger(tmp_path / ".temwatch") as ledger:
        queue.add(ledger, arrival("Au/1.dm3", sample="Au"))
        (file,) = queue.claim(ledger, 1, START)
        recording.record(ledger, file.id, [result("Au 1", 3)])
        yield ledger


def failed(error):
    future = Future()
    future.set_exception(error)
    return future


def test_pictures_that_cannot_be_made_are_given_up(ledger, tmp_path):
    """They are not tried again and again; a full disk is."""
    outcomes = {ValueError("no such colour"): True, OSError(28, "no space left"): False}
    for error, is_given_up in outcomes.items():
        artifacts = ArtifactWriter(
            ledger,
            tmp_path,
            RunMode.service(),
            submit=lambda *_, error=error: failed(error),
            wake=lambda: None,
        )
        artifacts.mark_outdated("Au")
        artifacts.write_outdated(4)
        assert 1 == artifacts.in_hand
        assert 1 == len(artifacts.collect())
        assert is_given_up == (artifacts.samples_written == {"Au"})


def test_a_folder_that_another_record_outdates_is_written_without_a_restart(ledger, tmp_path):
    """As that of a copy that is now a duplicate; a run that ends by itself tries each folder once."""

    def submit(*_):
        return done if is_writable else failed(OSError(30, "read-only"))

    done = Future()
    done.set_result(0.1)
    artifacts = ArtifactWriter(ledger, tmp_path, RunMode.one_shot(), submit=submit, wake=lambda: None)
    is_writable = False
    for _ in range(2):
        artifacts.mark_if_outdated("Au")
        artifacts.write_outdated(4)
        artifacts.collect()
    assert (False, set()) == (artifacts.has_outdated, artifacts.samples_written)
    is_writable = True
    artifacts.mark_if_outdated("Au")
    assert not artifacts.has_outdated  # at the next start
    with ledger.transaction() as connection:
        connection.execute("UPDATE files SET changes = changes + 1")
    artifacts.mark_if_outdated("Au")
    artifacts.write_outdated(4)
    artifacts.collect()
    assert {"Au"} == artifacts.samples_written
    artifacts.write_outdated(4)
    artifacts.mark_if_outdated("Au")
    assert not artifacts.has_outdated


def requests(ledger, tmp_path, error):
    """The requests of a service whose workers fail with this."""
    config = Config.model_validate({"watch": {"folder": tmp_path}, "output": {"folder": tmp_path}})
    return RequestQueue(
        ledger,
        config,
        workers=Workers(resolve=lambda _: failed(error), segment=lambda _, __: failed(error)),
        is_complete=lambda _: True,
        wake=lambda: None,
        publish_soon=lambda _: None,
    )


def take_turns(todo):
    for _ in range(20):
        todo.turn()


def test_a_request_that_fails_unexpectedly_is_answered(ledger, tmp_path):
    """And the next one is done."""
    numbers = [
        post_request(ledger.state, *asked, datetime.now(UTC))
        for asked in (("rebuild", {"sample": "Au"}), ("retry", {"paths": [], "pixel_size_nm": 0.1}))
    ]
    take_turns(requests(ledger, tmp_path, LookupError("an unknown name")))
    with ledger.reader() as reader:
        first, second = (json.loads(answer_to(reader, number)) for number in numbers)
    assert "internal error: LookupError: an unknown name" in first["error"]
    assert {"files": 0, "unknown": []} == second


def test_an_error_of_the_ledger_is_not_caught(ledger, tmp_path):
    """Nothing could be recorded any more."""
    post_request(ledger.state, "rebuild", {"sample": "Au"}, datetime.now(UTC))
    todo = requests(ledger, tmp_path, sqlite3.OperationalError("disk I/O error"))
    with pytest.raises(sqlite3.OperationalError):
        take_turns(todo)
