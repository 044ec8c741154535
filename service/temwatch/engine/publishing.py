"""When the engine writes tables: rows after every record, whole workbooks once a sample has gone quiet."""

from __future__ import annotations

import json
import time
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path

import structlog

from temwatch.config import Config
from temwatch.engine import steering
from temwatch.ledger import File, Ledger, Request
from temwatch.outputs import film, publish

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 2.0
_QUIET_SECONDS = 5.0
_LOOK_SECONDS = 0.5


class Publisher:
    """Keeps the tables of every sample in step with the ledger, and tries again where a disk was full."""

    def __init__(self, ledger: Ledger, config: Config, resolve: steering.Resolve) -> None:
        self._ledger = ledger
        self._config = config
        self._resolve = resolve
        self._underway: tuple[Request, steering.Steps] | None = None
        self._folder = config.output.folder
        self._behind: dict[str, float] = {}
        self._changed: dict[str, float] = {}
        self._looked_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether a request has steps to come."""
        return self._underway is not None

    def folder(self, file: File) -> Path:
        """Where the pictures of a file go."""
        return self._folder / file.sample / "micrographs" / file.name

    def small_pictures(self, file: File) -> Path | None:
        """Where pictures for the film go, if the file turns out to be of a sequence."""
        if not self._config.output.pictures:
            return None
        return film.folder_of(self._folder, file.sample, file.sequence or file.name)

    def publish_all(self) -> None:
        """Bring every sample up to date, after a start or a crash."""
        with self._ledger.reader() as reader:
            samples = [row.sample for row in reader.samples()]
        for sample in samples:
            self.publish(sample)

    def publish(self, sample: str) -> None:
        """Write the rows that are recorded and not yet published."""
        try:
            publish.publish(self._ledger, self._folder, sample)
        except OSError as error:
            log.warning("tables cannot be written, trying again", sample=sample, reason=str(error))
            self._behind[sample] = time.monotonic() + _RETRY_SECONDS
            return
        self._behind.pop(sample, None)
        self._changed[sample] = time.monotonic()

    def now_and_then(self, *, idle: bool) -> None:
        """Answer requests and catch up; with time to spare, write the workbooks of samples at rest."""
        now = time.monotonic()
        if self._underway:
            self._go_on(*self._underway)
        if now - self._looked_s < _LOOK_SECONDS:
            return
        self._looked_s = now
        if not self._underway:
            for request in self._ledger.requests()[:1]:
                log.info("request", kind=request.kind, **request.arguments)
                steps = steering.act(
                    self._ledger, self._config, request.kind, request.arguments, self._resolve
                )
                self._underway = request, steps
        for sample, due in list(self._behind.items()):
            if now >= due:
                self.publish(sample)
        for sample, changed in list(self._changed.items()):
            if idle and now - changed >= _QUIET_SECONDS:
                self._workbooks(sample)

    def finish(self, *, everything: bool) -> None:
        """At the end of the run; the one-shot command wants `everything` written before it returns."""
        for sample in list(self._behind):
            self.publish(sample)
        if everything:
            for sample in list(self._changed):
                self._workbooks(sample)

    def _workbooks(self, sample: str) -> None:
        del self._changed[sample]
        try:
            publish.write_formats(self._ledger, self._folder, sample, self._config.output.formats)
        except OSError as error:
            log.warning("workbook cannot be written, trying again", sample=sample, reason=str(error))
            self._changed[sample] = time.monotonic() + _RETRY_SECONDS

    def _go_on(self, request: Request, steps: steering.Steps) -> None:
        """One more step of what a command asked of the running service; the answer is JSON."""
        try:
            next(steps)
            return
        except StopIteration as end:
            answer = end.value
        except OSError as error:
            answer = {"error": f"cannot be written: {error}"}
        except BrokenProcessPool:
            answer = {"error": "a worker process died on it; see the log"}
        self._underway = None
        self._looked_s = 0.0  # another may wait
        self._ledger.answer(request.id, json.dumps(answer), datetime.now(UTC))
