"""When the engine writes tables: rows after every record, whole workbooks once a sample has gone quiet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from temwatch.config import Config
from temwatch.domain import Analysis
from temwatch.engine import requests, tasks
from temwatch.engine.artifacts import ArtifactWriter, Folder
from temwatch.engine.job import Job
from temwatch.ledger import File, Ledger, Request
from temwatch.ledger.requests import answer_request, open_requests
from temwatch.outputs import paths, sample_folder
from temwatch.outputs.incremental_statistics import Running

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 2.0
_QUIET_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_UNPUBLISHED_SECONDS = 0.5  # so far a table may lag, to be written once for all that came meanwhile
_SUMMARY_SHARE = 0.02  # of the time goes into summary.json while micrographs arrive


def folder_of(config: Config, file: File) -> Path:
    """Where the pictures of a file go."""
    return paths.micrograph_folder(config.output.folder, file.sample, file.name)


class Publisher:
    """Keeps the files of every sample in step with the ledger, and tries again where a disk was full."""

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        *,
        submit: Callable[..., Future[Any]],
        post: Callable[[Callable[[], None]], None],
        tell: Callable[[Job], None],
    ) -> None:
        self.folders = ArtifactWriter(
            ledger,
            config.output.folder,
            submit,
            lambda future, folder: post(partial(self._was_furnished, future, folder)),
        )
        self._ledger = ledger
        self._config = config
        self._submit = submit
        self._tell = tell
        self._recorded: list[Job] = []
        self._recorded_since_s = 0.0
        self._unfurnished: dict[int, Job] = {}  # by file: its rows are published, its pictures are to come
        self._underway: tuple[Request, requests.Steps] | None = None
        self._folder = config.output.folder
        self._behind: dict[str, float] = {}
        self._changed: dict[str, float] = {}
        self._running = Running()
        self._summary_due_s: dict[str, float] = {}
        self._looked_s = 0.0

    @property
    def in_hand(self) -> int:
        """Files that wait for their tables or their pictures."""
        return len(self._recorded) + self.folders.in_hand

    @property
    def waits(self) -> bool:
        """Whether there is something to publish yet."""
        return bool(self._recorded) or self.folders.busy or self.folders.waits

    @property
    def hurries(self) -> bool:
        """Whether there is something to do as soon as there is no mail."""
        asked = self._underway is not None and not self.folders.waits
        return asked or bool(self._recorded or self.folders.samples())

    def take(self, job: Job) -> None:
        """The ledger knows what became of a file."""
        if not self._recorded:
            self._recorded_since_s = time.monotonic()
        self._recorded.append(job)

    def publish_recorded(self, *, at_once: bool) -> None:
        """Tables of every sample that has new rows, once for all of them; then pictures, by workers."""
        waited_s = time.monotonic() - self._recorded_since_s
        if not at_once and not (self._recorded and waited_s > _UNPUBLISHED_SECONDS):
            return
        for job in self._publish_rows():
            if self.folders.take(job.file.sample, job.file.id):
                self._unfurnished[job.file.id] = job
            else:
                self._tell(job)

    def _publish_rows(self) -> list[Job]:
        jobs, self._recorded = self._recorded, []
        for sample in {job.file.sample for job in jobs} | self.folders.samples():
            mine = [job for job in jobs if job.file.sample == sample]
            for job in mine:
                job.begins("publish")
            started = time.monotonic()
            self.publish(sample)
            for job in mine:
                job.took("publish", (time.monotonic() - started) / len(mine))
                job.arrival_to_result_s = (datetime.now(UTC) - job.file.detected_at).total_seconds()
        return jobs

    def _was_furnished(self, future: Future[Any], folder: Folder) -> None:
        """Its pictures are there; where they are not, they come later."""
        seconds = self.folders.done(future, folder)
        job = self._unfurnished.pop(folder.file_id, None)
        if job is not None:
            job.took("publish", seconds)
            self._tell(job)

    def publish_all(self) -> None:
        """Bring every sample up to date, after a start or a crash."""
        with self._ledger.reader() as reader:
            samples = [row.sample for row in reader.samples()]
        for sample in samples:
            self.publish(sample)
            self.folders.look(sample)

    def publish(self, sample: str) -> None:
        """Write the rows that are recorded and not yet published."""
        written = self.folders.written(sample)
        try:
            sample_folder.publish_tables(self._ledger, self._folder, sample, written)
        except OSError as error:
            log.warning("tables cannot be written, trying again", sample=sample, reason=str(error))
            self._behind[sample] = time.monotonic() + _RETRY_SECONDS
            return
        self._behind.pop(sample, None)
        self._changed[sample] = now = time.monotonic()
        if now >= self._summary_due_s.get(sample, 0.0):
            self._write_whole(sample, ())
            took_s = time.monotonic() - now
            self._summary_due_s[sample] = now + took_s / _SUMMARY_SHARE

    def now_and_then(self, *, idle: bool) -> None:
        """Answer requests and catch up; with time to spare, write the workbooks of samples at rest."""
        now = time.monotonic()
        if self._underway:
            self._go_on(*self._underway)
        if now - self._looked_s < _LOOK_SECONDS:
            return
        self._looked_s = now
        if not self._underway:
            for request in open_requests(self._ledger)[:1]:
                log.info("request", kind=request.kind, **request.arguments)
                steps = requests.act(
                    self._ledger,
                    self._config,
                    request.kind,
                    request.arguments,
                    self._resolve_again,
                    self.folders.is_complete,
                )
                self._underway = request, steps
        for sample, due in list(self._behind.items()):
            if now >= due:
                self.publish(sample)
        for sample, changed in list(self._changed.items()):
            if idle and now - changed >= _QUIET_SECONDS:
                self._workbooks(sample)

    def finish(self, *, everything: bool) -> None:
        """At the end of the run: nothing lags behind the ledger but what was asked for by format.

        The one-shot command wants `everything` written before it returns.
        """
        for job in (*self._publish_rows(), *self._unfurnished.values()):
            self._tell(job)  # pictures that no worker has drawn are drawn at the next start
        for sample in list(self._behind):
            self.publish(sample)
        for sample in list(self._changed):
            self._write_whole(sample, self._config.output.formats if everything else ())

    def _workbooks(self, sample: str) -> None:
        del self._changed[sample]
        if self._write_whole(sample, self._config.output.formats):
            self._running.forget(sample)
        else:
            self._changed[sample] = time.monotonic() + _RETRY_SECONDS

    def _write_whole(self, sample: str, formats: tuple[str, ...]) -> bool:
        try:
            sample_folder.write_formats(self._ledger, self._folder, sample, formats, self._running)
        except OSError as error:
            log.warning("workbook cannot be written, trying again", sample=sample, reason=str(error))
            return False
        return True

    def _go_on(self, request: Request, steps: requests.Steps) -> None:
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
        answer_request(self._ledger, request.id, json.dumps(answer), datetime.now(UTC))

    def _resolve_again(self, order: tasks.ResolveOrder) -> Analysis:
        """What a rebuild asks for: one analysis from a stored segmentation, by a worker."""
        analysis: Analysis = self._submit(tasks.resolve, order).result()
        return analysis
