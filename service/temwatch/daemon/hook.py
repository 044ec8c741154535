"""The hook: a command of the configuration for each sample that has come to rest, one after the other.

It gets what record.json holds on its standard input. The ledger remembers what it was given, so that it runs
once for each state of a sample, also over restarts.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from temwatch.config_messages import HookSettings
from temwatch.daemon.at_rest import RestClock
from temwatch.ledger import Ledger, Publication, counters, publications, rest
from temwatch.ledger.rest import SampleProgress
from temwatch.names import printable
from temwatch.outputs import sample_record
from temwatch.pauses import growing_pause_s

log = structlog.get_logger(__name__)

_PUBLICATION = "hook"  # the name by which the ledger remembers the record that the command took
_CHECK_SECONDS = 5.0
_POLL_SECONDS = 0.1
_GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL
_FIRST_PAUSE_SECONDS = 60.0  # after a failure; doubled each time
_LONGEST_PAUSE_SECONDS = 3600.0
_SAID_BYTES = 500  # of what a command that failed wrote, for the log
_OF_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(slots=True)
class _FailedRuns:
    """What failed for a sample, and when to try again (monotonic clock)."""

    count: int
    due_s: float
    reason: str


class Hook:
    """Runs the command; `run` is its thread."""

    def __init__(self, settings: HookSettings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = RestClock(settings.rest_seconds)
        self._done: dict[str, SampleProgress] = {}
        self._failed: dict[str, _FailedRuns] = {}

    def run(self, stop: threading.Event) -> None:
        """Look after samples until `stop` is set; a command that runs then is ended and runs again later."""
        while not stop.wait(min(_CHECK_SECONDS, self._settings.rest_seconds)):
            self.turn(time.monotonic(), stop)

    def turn(self, now_s: float, stop: threading.Event) -> None:
        """Run the command for each sample that has come to rest and is not done yet.

        `now_s` is of the monotonic clock.
        """
        with self._ledger.reader() as reader:
            samples = rest.progress(reader)
        for sample in self._clock.at_rest(samples, now_s):
            failed = self._failed.get(sample)
            is_due = failed is None or now_s >= failed.due_s
            if is_due and self._done.get(sample) != samples[sample] and not stop.is_set():
                try:
                    self._look_after(sample, samples[sample], now_s, stop)
                except OSError as error:  # a full folder for temporary files
                    reason = f"its input cannot be written: {error.strerror or error}"
                    self._note_failure(sample, reason, now_s)
                except sqlite3.Error:
                    raise
                except Exception as error:  # a boundary, see docs/decisions/0012: it costs one run
                    log.exception("internal error", kind="hook", sample=sample)
                    self._note_failure(sample, f"internal error: {error}", now_s)

    def _look_after(self, sample: str, progress: SampleProgress, now_s: float, stop: threading.Event) -> None:
        with tempfile.TemporaryFile() as record:
            with self._ledger.reader() as reader, reader.snapshot():
                taken = publications.published(reader, sample).get(_PUBLICATION)
                sample_record.write(reader, sample, record)
            size = record.tell()
            record.seek(0)
            digest = hashlib.file_digest(record, "sha256").hexdigest()
            record.seek(0)
            is_new = taken is None or taken.signature != digest
            reason = self._run(record, stop) if is_new else None
        if reason is not None:
            if not stop.is_set():
                self._note_failure(sample, reason, now_s)
            return
        if is_new:
            taken = Publication(
                file=_PUBLICATION,
                bytes=size,
                through_id=progress.last_id,
                generation=progress.generation,
                signature=digest,
            )
            publications.record(self._ledger, sample, [taken])
            counters.count(self._ledger, "hook_runs", "done")
            log.info("hook done", sample=sample, failures_before=self._count(sample))
        self._done[sample] = progress
        self._failed.pop(sample, None)

    def _count(self, sample: str) -> int:
        return self._failed[sample].count if sample in self._failed else 0

    def _note_failure(self, sample: str, reason: str, now_s: float) -> None:
        """Once in the log for a reason, however often it is tried again."""
        count = self._count(sample) + 1
        pause_s = growing_pause_s(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, count)
        if all(one.reason != reason for one in self._failed.values()):
            log.warning("hook failed, will retry", sample=sample, reason=reason)
        self._failed[sample] = _FailedRuns(count, now_s + pause_s, reason)
        counters.count(self._ledger, "hook_runs", "failed")

    def _run(self, record: IO[bytes], stop: threading.Event) -> str | None:
        """Run the command once; gives what went wrong, None where nothing did."""
        environment = {key: value for key, value in os.environ.items() if key not in _OF_SYSTEMD}
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    self._settings.command,
                    stdin=record,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    cwd=Path(self._settings.command[0]).anchor,
                    env=environment,
                    start_new_session=True,  # with a process group of its own
                )
            except OSError as error:
                return f"{self._settings.command[0]} cannot be started: {error.strerror}"
            trouble = _wait(process, self._settings.timeout_seconds, stop)
            if trouble is not None:
                return trouble
            if process.returncode == 0:
                return None
            said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID_BYTES))
            words = printable(" ".join(said.read().decode(errors="replace").split()))
        ended = f"exit code {process.returncode}" if process.returncode > 0 else "ended by a signal"
        return f"{ended}: {words}" if words else ended


def _wait(process: subprocess.Popen[bytes], timeout_s: float, stop: threading.Event) -> str | None:
    """Wait for the end; one that takes too long is ended with all that it has started."""
    deadline_s = time.monotonic() + timeout_s
    while process.poll() is None:
        if time.monotonic() > deadline_s or stop.is_set():
            _end(process)
            return "the service stops" if stop.is_set() else f"not done after {timeout_s:g} s"
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group: by SIGTERM, and what is left of it after a moment by SIGKILL."""
    _signal(process.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + _GRACE_SECONDS
    # its leader is not waited for yet: until then nobody else can get the number of the group
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline_s:
            break
        time.sleep(_POLL_SECONDS / 10)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
