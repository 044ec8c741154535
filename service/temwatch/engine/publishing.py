"""When the engine writes tables: rows after every record, whole workbooks once a sample has gone quiet."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog

from temwatch.config import Config
from temwatch.ledger import File, Ledger, Request
from temwatch.outputs import publish

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5.0
_QUIET_SECONDS = 5.0
_LOOK_SECONDS = 0.5


class Publisher:
    """Keeps the tables of every sample in step with the ledger, and tries again where a disk was full."""

    def __init__(self, ledger: Ledger, config: Config) -> None:
        self._ledger = ledger
        self._config = config
        self._folder = config.output.folder
        self._behind: dict[str, float] = {}
        self._changed: dict[str, float] = {}
        self._looked_s = 0.0

    def folder(self, file: File) -> Path:
        """Where the pictures of a file go."""
        return self._folder / file.sample / "micrographs" / file.name

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
        if now - self._looked_s < _LOOK_SECONDS:
            return
        self._looked_s = now
        for request in self._ledger.requests():
            self._ledger.answer(request.id, self._do(request), datetime.now(UTC))
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

    def _do(self, request: Request) -> str:
        """What a command asked of the running service; the answer is JSON."""
        log.info("request", kind=request.kind, **request.arguments)
        try:
            return json.dumps(act(self._ledger, self._config, request.kind, **request.arguments))
        except OSError as error:
            return json.dumps({"error": f"cannot be written: {error}"})


def act(ledger: Ledger, config: Config, kind: str, **arguments: object) -> dict[str, object]:
    """Do what a command asks for, in the process that holds the ledger.

    "retry" takes `paths` (list or None) and `pixel_size_nm` (float or None), "rebuild" takes `sample`.
    """
    match kind, arguments:
        case "retry", {"paths": list() | None as paths, "pixel_size_nm": float() | None as size}:
            files, unknown = ledger.retry(paths, size)
            return {"files": len(files), "unknown": unknown}
        case "rebuild", {"sample": str() as sample}:
            publish.rebuild(ledger, config.output.folder, sample)
            return {}
        case _:
            return {"error": f"this service does not know the request {kind!r}"}
