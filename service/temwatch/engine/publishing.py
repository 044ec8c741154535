"""When the engine writes tables: rows after every record, whole workbooks in the background."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from temwatch.config import Config
from temwatch.domain import Stage
from temwatch.engine.artifacts import ArtifactWriter
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Job
from temwatch.engine.run_mode import RunMode
from temwatch.engine.workbook_writer import WorkbookWriter
from temwatch.errors import StartError
from temwatch.ledger import Ledger
from temwatch.outputs import relocating, sample_folder
from temwatch.outputs.incremental_statistics import IncrementalStatistics

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 2.0
_INTERNAL_RETRY_SECONDS = 60.0
_QUIET_SECONDS = 5.0
_MAX_AGE_SECONDS = 30.0  # of a workbook while its sample never goes quiet
_CHECK_SECONDS = 0.5
_MAX_LAG_SECONDS = 0.5  # so far a table may lag, to be written once for all that came meanwhile
_SUMMARY_SHARE = 0.02  # of the time goes into summary.json while micrographs arrive


class Publisher:
    """Keeps the files of every sample in step with the ledger, and tries again where a disk was full.

    Parameters
    ----------
    ledger, config, mode
        As for the engine.
    artifacts : ArtifactWriter
        Writes the output folders.
    on_published : callable
        Called with a job when its tables and its output folder are written, or will be at the next start.
    workbooks : WorkbookWriter
        Writes workbooks and parquet files of a service in the background.
    hooks : EngineHooks
        While the output is not writable, nothing is tried; `on_decided` hears of decisions.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        mode: RunMode,
        artifacts: ArtifactWriter,
        on_published: Callable[[Job], None],
        workbooks: WorkbookWriter,
        hooks: EngineHooks,
    ) -> None:
        self._ledger = ledger
        self._config = config
        self._mode = mode
        self._artifacts = artifacts
        self._on_published = on_published
        self._workbooks = workbooks
        self._is_output_writable = hooks.is_output_writable
        self._on_decided = hooks.on_decided
        self._told: dict[str, str] = {}  # by sample: the trouble that is in the log already
        self._folder = config.output.folder
        self._recorded: list[Job] = []
        self._recorded_since_s = 0.0
        self._awaiting_artifacts: dict[int, Job] = {}  # by file: the rows are published, pictures are to come
        self._retry_at_s: dict[str, float] = {}
        self._changed_s: dict[str, float] = {}
        self._first_changed_s: dict[str, float] = {}
        self._statistics = IncrementalStatistics()
        self._summary_due_s: dict[str, float] = {}
        self._checked_s = 0.0

    @property
    def in_hand(self) -> int:
        """Files that wait for their tables or their pictures."""
        return len(self._recorded) + self._artifacts.in_hand

    @property
    def is_busy(self) -> bool:
        """Whether there is something to publish yet."""
        return bool(self._recorded) or self._artifacts.is_busy or self._artifacts.has_outdated

    @property
    def has_unpublished(self) -> bool:
        """Whether tables are behind the ledger."""
        return bool(self._recorded or self._artifacts.samples_written) and self._is_output_writable()

    @property
    def workbook_in_hand(self) -> tuple[str, float] | None:
        """The sample whose workbook a worker writes, and the monotonic time since when."""
        return self._workbooks.in_hand

    def add(self, job: Job) -> None:
        """The ledger knows what became of a file."""
        if not self._recorded:
            self._recorded_since_s = time.monotonic()
        self._recorded.append(job)

    def publish_recorded(self) -> None:
        """Tables of every sample that has new rows, once for all of them; then pictures, by workers."""
        jobs = self._publish_rows()
        for job in jobs:
            if self._is_output_writable() and self._artifacts.write(job.file.sample, job.file.id):
                self._awaiting_artifacts[job.file.id] = job
            else:
                self._on_published(job)
        for sample in {job.file.sample for job in jobs}:
            self._artifacts.mark_if_outdated(sample)

    def publish_overdue(self) -> None:
        """The same, where rows have waited for long enough."""
        if self._recorded and time.monotonic() - self._recorded_since_s > _MAX_LAG_SECONDS:
            self.publish_recorded()

    def publish_all(self) -> None:
        """Bring every sample up to date, after a start or a crash."""
        with self._ledger.reader() as reader:
            samples = [row.sample for row in reader.samples()]
        for sample in samples:
            self.publish(sample)
            self._artifacts.mark_outdated(sample)
        self._vacate()

    def publish(self, sample: str) -> None:
        """Write the rows that are recorded and not yet published."""
        if not self._is_output_writable():
            self._retry_at_s[sample] = time.monotonic() + _RETRY_SECONDS
            return
        written = self._artifacts.take_written(sample)
        trouble = _attempt(lambda: sample_folder.publish_tables(self._ledger, self._folder, sample, written))
        if trouble is not None:
            self._tell("tables", sample, trouble)
            self._retry_at_s[sample] = time.monotonic() + _pause_s(trouble)
            return
        self._retry_at_s.pop(sample, None)
        if written:
            self._vacate()
        self._told.pop(sample, None)
        self._changed_s[sample] = now_s = time.monotonic()
        self._first_changed_s.setdefault(sample, now_s)
        if now_s >= self._summary_due_s.get(sample, 0.0):
            self._write_whole(sample, ())
            took_s = time.monotonic() - now_s
            self._summary_due_s[sample] = now_s + took_s / _SUMMARY_SHARE

    def _vacate(self) -> None:
        """Remove the folders of samples that were renamed; what cannot be is at the next start."""
        trouble = _attempt(lambda: relocating.vacate(self._ledger, self._folder))
        if trouble is not None:
            self._tell("folders of samples that were renamed", "", trouble)

    def publish_soon(self, sample: str) -> None:
        """Rows of a sample that are published have changed: write its tables and folders again."""
        self._retry_at_s[sample] = 0.0
        self._artifacts.mark_outdated(sample)
        self._on_decided(sample)

    def collect_artifacts(self) -> None:
        """Output folders that workers have written since the last call."""
        for folder in self._artifacts.collect():
            job = self._awaiting_artifacts.pop(folder.file_id, None)
            if job is not None:
                job.took(Stage.PUBLISH, folder.seconds)
                self._on_published(job)

    def catch_up(self) -> None:
        """Try again what could not be written, and have the workbooks written that are due."""
        now_s = time.monotonic()
        if now_s - self._checked_s < _CHECK_SECONDS:
            return
        self._checked_s = now_s
        for sample, due_s in list(self._retry_at_s.items()):
            if now_s >= due_s:
                self.publish(sample)
        if self._mode.ends_when_empty:  # at its end it writes them all
            return
        for sample, changed_s in list(self._changed_s.items()):
            is_quiet = now_s - changed_s >= _QUIET_SECONDS
            if is_quiet or now_s - self._first_changed_s[sample] >= _MAX_AGE_SECONDS:
                self._write_workbooks(sample, is_quiet=is_quiet)
        if self._is_output_writable():
            self._workbooks.turn()

    def finish(self, *, interrupted: bool) -> Exception | None:
        """At the end of the run: nothing is behind the ledger but what is written for quiet samples only.

        A run that ends by itself writes that too, before it returns. Gives what kept a table or a format from
        being written.
        """
        trouble = None
        for job in (*self._publish_rows(), *self._awaiting_artifacts.values()):
            self._on_published(job)  # pictures that no worker has drawn are drawn at the next start
        for sample in list(self._retry_at_s):
            self.publish(sample)
        is_complete = self._mode.ends_when_empty and not interrupted
        for sample in list(self._changed_s):
            trouble = self._write_whole(sample, self._config.output.formats if is_complete else ()) or trouble
        return OSError("the tables cannot be written") if self._retry_at_s else trouble

    def _publish_rows(self) -> list[Job]:
        jobs, self._recorded = self._recorded, []
        for sample in {job.file.sample for job in jobs} | self._artifacts.samples_written:
            mine = [job for job in jobs if job.file.sample == sample]
            for job in mine:
                job.log_start(Stage.PUBLISH)
            started = time.monotonic()
            self.publish(sample)
            for job in mine:
                job.took(Stage.PUBLISH, (time.monotonic() - started) / len(mine))
                elapsed_s = (datetime.now(UTC) - job.file.detected_at).total_seconds()
                job.arrival_to_result_s = max(0.0, elapsed_s)  # the clock may have been set back
        return jobs

    def _write_workbooks(self, sample: str, *, is_quiet: bool) -> None:
        """Have the workbook written; of a quiet sample also the summary, once more."""
        del self._changed_s[sample], self._first_changed_s[sample]
        self._workbooks.ask(sample)
        if not is_quiet:
            self._changed_s[sample] = self._first_changed_s[sample] = time.monotonic()
            return
        trouble = self._write_whole(sample, ())
        if trouble is None:
            self._statistics.forget(sample)
        else:
            later_s = time.monotonic() + _pause_s(trouble)
            self._changed_s.setdefault(sample, later_s)
            self._first_changed_s.setdefault(sample, later_s)

    def _write_whole(self, sample: str, formats: tuple[str, ...]) -> Exception | None:
        if not self._is_output_writable():
            return OSError("the results cannot be written")
        trouble = _attempt(
            lambda: sample_folder.write_formats(self._ledger, self._folder, sample, formats, self._statistics)
        )
        if trouble is not None:
            self._tell("workbook", sample, trouble)
        return trouble

    def _tell(self, what: str, sample: str, trouble: Exception) -> None:
        """Once in the log, however often it is tried again."""
        words = f"{what} {type(trouble).__name__} {trouble}"
        if self._told.get(sample) == words:
            return
        self._told[sample] = words
        if isinstance(trouble, OSError):
            log.warning(f"cannot write {what}, will retry", sample=sample, reason=str(trouble))
        else:
            log.error(f"internal error, {what} not written, will retry", sample=sample, exc_info=trouble)


def _attempt(write: Callable[[], None]) -> Exception | None:
    """What kept a sample from being written; an error of the ledger itself ends the service."""
    try:
        write()
    except (sqlite3.Error, StartError):
        raise
    except Exception as error:  # noqa: BLE001 - see docs/decisions/0012: it costs one sample for a while
        return error
    return None


def _pause_s(trouble: Exception) -> float:
    return _RETRY_SECONDS if isinstance(trouble, OSError) else _INTERNAL_RETRY_SECONDS
