"""Joins the logs of holders that lie beside the frames of a sequence with the frames, by time.

A log grows while frames come. It is joined once no frame has come for a moment, and again when it has grown,
until it reaches beyond the last frame.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from temwatch.config import SequenceSettings
from temwatch.errors import UsageError
from temwatch.ledger import Ledger, Reader
from temwatch.ledger.sequences import holder_values
from temwatch.ledger.sequences.holder_values import FrameTimes, JoinedLog
from temwatch.ledger.sequences.progress import Progress, sequences
from temwatch.names import as_text
from temwatch.outputs import holder_log

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 10.0  # between two looks at one sequence; doubled while nothing changes
_LONGEST_PAUSE_SECONDS = 3600.0
_LARGEST_LOG_BYTES = 64 * 1024**2
_MOST_LOGS = 8
_TREE_FOLDERS = 3  # hour, minute and second above a frame in Gatan's tree


@dataclass(slots=True)
class _Looked:
    """When a sequence was last looked at, and how it was then."""

    last_id: int
    due_s: float
    pause_s: float = _FIRST_PAUSE_SECONDS


class HolderLogs:
    """Looks for logs; `run` is its thread."""

    def __init__(self, settings: SequenceSettings, ledger: Ledger, wake: Callable[[], None]) -> None:
        self._gap_s = settings.log_gap_seconds
        self._ledger = ledger
        self._wake = wake
        self._looked: dict[int, _Looked] = {}
        self._told: dict[int, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        with self._ledger.reader() as reader:  # one for all turns: most find that there is nothing to do
            while not stop.wait(_LOOK_SECONDS):
                self.turn(reader, time.monotonic())

    def turn(self, reader: Reader, now_s: float) -> None:
        """Join what is due; `now_s` is of the monotonic clock."""
        for sequence in sequences(reader):
            looked = self._looked.get(sequence.id)
            if looked is None or looked.last_id != sequence.last_id:
                self._looked[sequence.id] = _Looked(sequence.last_id, now_s + _FIRST_PAUSE_SECONDS)
            elif now_s >= looked.due_s:
                looked.due_s = now_s + looked.pause_s
                looked.pause_s = min(2 * looked.pause_s, _LONGEST_PAUSE_SECONDS)
                try:
                    self._look_at(sequence)
                except sqlite3.Error:
                    raise
                except Exception:  # a boundary, see docs/decisions/0012: it costs one look at one sequence
                    log.exception("internal error", kind="holder log", sequence=sequence.name)

    def _look_at(self, sequence: Progress) -> None:
        with self._ledger.reader() as reader, reader.snapshot():
            place = holder_values.first_file(reader, sequence)
            before = holder_values.joined(reader, sequence)
        if place is None or (before and before.is_complete and before.last_id == sequence.last_id):
            return
        try:
            logs = logs_beside(*place)
            signature = _signature(logs)
        except OSError:
            return  # the folder cannot be reached; what was joined stays
        if not logs or (before and (before.signature, before.last_id) == (signature, sequence.last_id)):
            return
        with self._ledger.reader() as reader, reader.snapshot():
            times = holder_values.frame_times(reader, sequence)
        self._join(sequence, logs, signature, times)

    def _join(self, sequence: Progress, logs: list[Path], signature: str, times: FrameTimes) -> None:
        values: dict[str, NDArray[np.float64]] = {}
        ends_s, far_ends_s, unusable = [math.inf], [math.inf], []
        for log_file in logs:  # another table may lie beside a log, or the log of another day
            try:
                found, end_s = holder_log.frame_values([log_file], times.elapsed_s, times.start, self._gap_s)
            except UsageError as error:
                unusable.append(str(error))
                continue
            near = {name: numbers for name, numbers in found.items() if np.isfinite(numbers).any()}
            values = near | values
            if found:
                (ends_s if near else far_ends_s).append(end_s)
        is_far = not values and len(far_ends_s) > 1
        if not values and unusable and not is_far:
            self._tell(sequence, "; ".join(unusable))
            return
        if is_far:
            self._tell(sequence, f"{logs[0]}: no row with a number that can be is near a frame in time")
        elif not values:
            self._tell(sequence, f"{logs[0]}: no column of temperature, pressure or bias with a known unit")
        last_s = min(far_ends_s if is_far else ends_s)
        known = times.elapsed_s[np.isfinite(times.elapsed_s)]
        is_complete = bool(known.size and last_s >= known[-1] + self._gap_s)
        joined = JoinedLog(signature=signature, last_id=sequence.last_id, is_complete=is_complete)
        if holder_values.record(self._ledger, sequence, joined, times.frames.tolist(), values):
            log.info("log of the holder joined", sample=sequence.sample, sequence=sequence.name)
            self._wake()

    def _tell(self, sequence: Progress, reason: str) -> None:
        if self._told.get(sequence.id) != reason:
            self._told[sequence.id] = reason
            about = {"sample": sequence.sample, "sequence": sequence.name}
            log.warning("log beside the frames not joined", **about, reason=reason)


def logs_beside(first: Path, is_stack: bool, is_in_tree: bool) -> list[Path]:
    """The csv files that may be logs of a sequence, by name.

    Of a stack `a.dm4` these are `a.csv` and `a_....csv` beside it, of other sequences all in their folder.

    Raises
    ------
    OSError
        The folder cannot be listed.
    """
    if is_stack:
        names = {path.name: path for path in first.parent.iterdir()}
        found = [names[name] for name in names if _is_of(first.stem, name)]
    else:
        folder = first.parents[_TREE_FOLDERS] if is_in_tree else first.parent
        found = [path for path in folder.iterdir() if path.suffix.lower() == ".csv"]
    small = [path for path in sorted(found) if path.is_file() and path.stat().st_size <= _LARGEST_LOG_BYTES]
    return small[:_MOST_LOGS]


def _is_of(stem: str, name: str) -> bool:
    base, dot, end = name.rpartition(".")
    return dot == "." and end.lower() == "csv" and (base == stem or base.startswith(f"{stem}_"))


def _signature(logs: list[Path]) -> str:
    stats = [(path, path.stat()) for path in logs]
    return ";".join(f"{as_text(path.name)}:{stat.st_size}:{stat.st_mtime_ns}" for path, stat in stats)
