"""Workbooks and parquet files of the service, written by a worker while others go on measuring."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

import structlog

from temwatch.config import OutputSettings
from temwatch.errors import StartError
from temwatch.ledger import Ledger
from temwatch.outputs import written_apart
from temwatch.outputs.sample_folder import OUTPUTS
from temwatch.outputs.written_apart import WrittenApart

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 30.0
_SHARE = 0.05  # of the time of one worker goes into the files of a sample that grows on and on
_RETRY_SECONDS = 2.0
_INTERNAL_RETRY_SECONDS = 60.0


class SubmitWorkbooks(Protocol):
    """Has a worker write the files of one sample, see `written_apart.write_apart`."""

    def __call__(
        self,
        task: Callable[[Path, Path, str, tuple[str, ...]], WrittenApart],
        state: Path,
        output: Path,
        sample: str,
        formats: tuple[str, ...],
        /,
    ) -> Future[WrittenApart]:
        """Give the future of what was written."""


class WorkbookWriter:
    """Writes the files of one sample at a time, each at most every 30 s and for a twentieth of the time.

    Parameters
    ----------
    ledger : Ledger
        It records what is up to date.
    output : OutputSettings
        Folder of all samples, and the formats; those in `OUTPUTS` are written.
    submit : callable
        Hands the task to a worker.
    wake : callable
        Called, from another thread, when the worker has finished.
    """

    def __init__(
        self,
        ledger: Ledger,
        output: OutputSettings,
        *,
        submit: SubmitWorkbooks,
        wake: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._output = output.folder
        self._formats = tuple(name for name in output.formats if name in OUTPUTS)
        self._submit = submit
        self._wake = wake
        self._waiting: dict[str, None] = {}
        self._due_s: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._sample: str | None = None
        self._since_s = 0.0
        self._future: Future[WrittenApart] | None = None

    @property
    def in_hand(self) -> tuple[str, float] | None:
        """The sample whose files are being written, and the monotonic time since when."""
        return None if self._sample is None else (self._sample, self._since_s)

    def ask(self, sample: str) -> None:
        """The files of this sample are out of date."""
        if self._formats:
            self._waiting[sample] = None

    def turn(self) -> None:
        """Put in place what was written, and have the next sample written that is due."""
        if self._future is not None and self._future.done():
            self._finish(self._future)
        now_s = time.monotonic()
        sample = next((one for one in self._waiting if now_s >= self._due_s.get(one, 0.0)), None)
        if self._future is not None or sample is None:
            return
        del self._waiting[sample]
        self._sample, self._since_s = sample, now_s
        self._future = self._submit(
            written_apart.write_apart, self._ledger.state, self._output, sample, self._formats
        )
        self._future.add_done_callback(lambda _: self._wake())

    def _finish(self, future: Future[WrittenApart]) -> None:
        sample, self._sample, self._future = self._sample, None, None
        assert sample is not None
        try:
            written = future.result()
            written_apart.put_in_place(self._ledger, self._output, written)
        except (sqlite3.Error, StartError):
            raise
        except Exception as error:  # noqa: BLE001 - see docs/decisions/0012: it costs one sample for a while
            self._tell(sample, error)
            pause_s = _RETRY_SECONDS if isinstance(error, OSError) else _INTERNAL_RETRY_SECONDS
            self._waiting[sample] = None
        else:
            self._told.pop(sample, None)
            pause_s = max(_PAUSE_SECONDS, written.seconds / _SHARE)
        self._due_s[sample] = time.monotonic() + pause_s

    def _tell(self, sample: str, trouble: Exception) -> None:
        """Once in the log, however often it is tried again."""
        words = f"{type(trouble).__name__} {trouble}"
        if self._told.get(sample) == words:
            return
        self._told[sample] = words
        if isinstance(trouble, OSError):
            log.warning("cannot write workbook, will retry", sample=sample, reason=str(trouble))
        else:
            log.error("internal error, workbook not written, will retry", sample=sample, exc_info=trouble)
