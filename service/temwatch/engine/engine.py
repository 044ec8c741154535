"""Takes files from the ledger through read, segment, resolve, record and publish.

One thread, the conductor, alone writes the ledger and the tables, and it waits only for its mail. A `Backend`
does everything with a file before its record. The number of files in hand is limited, and so is memory.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import assert_never

import structlog

from temwatch.acquisition import spool
from temwatch.config import Config
from temwatch.domain import Method, Segmenter, Stage, Status
from temwatch.engine import kinship, outcomes, retry, sample_prior
from temwatch.engine.admission import Admission
from temwatch.engine.artifacts import ArtifactWriter
from temwatch.engine.backend import Backend
from temwatch.engine.hooks import EngineHooks, EngineStatus
from temwatch.engine.job import Job, TaskFinished
from temwatch.engine.moved_files import MovedFiles
from temwatch.engine.process_backend import ProcessBackend
from temwatch.engine.publishing import Publisher
from temwatch.engine.recovery import Recovery
from temwatch.engine.requests import RequestQueue
from temwatch.engine.run_mode import RunMode
from temwatch.engine.sequence_tracker import SequenceTracker
from temwatch.engine.workbook_writer import WorkbookWriter
from temwatch.engine.worker_replacement import WorkerReplacement
from temwatch.errors import StartError
from temwatch.ledger import Ledger, Recorded, queue, recording
from temwatch.outputs import leftovers, paths

log = structlog.get_logger(__name__)

_IDLE_SECONDS = 1.0


class Engine:
    """The conductor; `run` is its thread."""

    def __init__(
        self,
        *,
        config: Config,
        ledger: Ledger,
        segmenter: Segmenter,
        method: Method,
        mode: RunMode,
        hooks: EngineHooks | None = None,
    ) -> None:
        self.status = EngineStatus()
        self._config = config
        self._ledger = ledger
        self._mode = mode
        self._hooks = hooks or EngineHooks()
        self._mail: SimpleQueue[TaskFinished | None] = SimpleQueue()
        self._processes = ProcessBackend(config, segmenter, method, self._on_task_finished)
        self._backend: Backend = self._processes
        if config.engine.dask:
            from temwatch.engine.dask_backend import DaskBackend  # dask: half a second to import

            self._backend = DaskBackend(config, self._on_task_finished, self._processes)
        submit = self._processes.submit
        self._artifacts = ArtifactWriter(ledger, config.output.folder, mode, submit=submit, wake=self.wake)
        books = WorkbookWriter(ledger, config.output, submit=submit, wake=self.wake)
        done, hooks = self._on_published, self._hooks
        self._publisher = Publisher(ledger, config, mode, self._artifacts, done, books, hooks)
        soon = self._publisher.publish_soon
        self._requests = RequestQueue(
            ledger,
            config,
            workers=self._processes.workers(hooks.is_source_up),
            is_complete=self._artifacts.is_complete,
            wake=self.wake,
            publish_soon=soon,
        )
        self._moved_files = MovedFiles(ledger, config, trace=self._processes.trace, publish_soon=soon)
        self._sequence_tracker = SequenceTracker(ledger, config, self._publisher.publish, self.wake)
        self._jobs: list[Job] = []
        self._admission = Admission(config.engine.workers)
        self._recovery = Recovery(ledger, mode, self._hooks, end=self._end, record=self._advance)
        self._worker_replacement = WorkerReplacement(
            backend=self._backend,
            processes=self._processes,
            sequence_tracker=self._sequence_tracker,
            jobs=self._jobs,
            hooks=self._hooks,
            status=self.status,
            moved_files=self._moved_files,
            recovery=self._recovery,
        )
        self._spool = paths.spool(config.output.state)
        self._deadline_s: float | None = None

    @property
    def dashboard(self) -> str | None:
        """Address of the cluster's own page; None without a cluster."""
        return self._backend.dashboard

    def wake(self) -> None:
        """From any thread: the ledger may have something new, or a worker has finished."""
        self._mail.put(None)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set or, in a run that ends by itself, until nothing is pending."""
        spool.clear(self._spool)
        leftovers.remove_meanwhile(self._config.output.folder, self._config.output.state)
        self._backend.start()
        self._publisher.publish_all()
        try:
            while self._start_work(stop):
                if self._hooks.is_output_writable():
                    self._artifacts.write_outdated(self._backend.capacity)
                self._worker_replacement.turn()
                self.status.works_on(self._jobs, self._publisher.workbook_in_hand)
                self._publisher.collect_artifacts()
                self._requests.turn()
                self._publisher.catch_up()
                self._take_mail()
        finally:
            self._backend.close()
            self._sequence_tracker.close()
            # where this process ran out of memory, one of them was too much
            is_crash = isinstance(sys.exception(), MemoryError)
            for job in self._jobs:
                (queue.release_crashed if is_crash else queue.release)(self._ledger, job.file.id)
            unpublished = self._publisher.finish(interrupted=stop.is_set())
            spool.clear(self._spool)
        if unpublished is not None and self._mode.ends_when_empty:
            raise StartError(f"results cannot be written: {unpublished}; run it again later")

    def _start_work(self, stop: threading.Event) -> bool:
        """Start what can be started; False where the run is over."""
        self.status.turned_s = time.monotonic()
        is_busy = bool(self._jobs) or self._publisher.is_busy
        if stop.is_set():
            if self._deadline_s is None:
                self._deadline_s = time.monotonic() + self._mode.grace_s
                self._artifacts.try_last_time()
            return is_busy and time.monotonic() <= self._deadline_s
        is_tracking = self._sequence_tracker.turn(self._mode)
        self._claim()
        return not self._mode.ends_when_empty or is_busy or bool(self._jobs) or is_tracking

    def _claim(self) -> None:
        """Start files while there is room; a file on which a worker died before runs alone."""
        is_up = self._hooks.is_source_up() and self._hooks.is_output_writable()
        if time.monotonic() < self._recovery.paused_until_s or not is_up:
            return
        while self._has_room():
            claimed = queue.claim(self._ledger, 1, datetime.now(UTC), self._mode.longest_wait)
            if not claimed:
                return
            file = claimed[0]
            if not self._admission.admits(file, self._jobs, self._backend.capacity):
                queue.release(self._ledger, file.id)
                return
            job = Job.begin(file, self._spool, self._config.watch.spool_limit_bytes)
            job.memory = self._admission.share(file)
            self._jobs.append(job)
            if file.crashes >= retry.MAX_CRASHES:
                self._recovery.reject(job, retry.crashed(file.crashes, "the service or a worker"))
                continue
            log.info("micrograph started", **job.about)
            if not self._moved_files.is_traced(job):
                self._backend.read(job)

    def _has_room(self) -> bool:
        in_hand = len(self._jobs) + self._publisher.in_hand
        return in_hand < self._backend.capacity and not any(job.file.crashes for job in self._jobs)

    def _on_task_finished(self, job: Job, future: Future[outcomes.StageResult]) -> None:
        self._mail.put(TaskFinished(job, future))

    def _take_mail(self) -> None:
        """Take one piece of mail; publish if there is none, or if rows have waited too long."""
        has_step = self._requests.has_step and not self._artifacts.has_outdated
        try:
            mail = self._mail.get(timeout=0 if has_step or self._publisher.has_unpublished else _IDLE_SECONDS)
        except Empty:
            self._publisher.publish_recorded()
            return
        if mail is not None and mail.job in self._jobs:  # else it has ended meanwhile: its worker died
            outcome = mail.job.task_finished(mail.future)
            if outcome is not None:
                mail.job.task_started_s = time.monotonic()
                self._advance(mail.job, outcome)
        self._publisher.publish_overdue()

    def _advance(self, job: Job, outcome: outcomes.Outcome) -> None:
        """Take the next step of a job, or turn its failure into a row with its reason."""
        match outcome:
            case outcomes.ReadDone(needs_bytes=int() as needed):
                self._admission.remember(job.file, needed)
                self._recovery.put_back(job)
            case outcomes.ReadDone():
                self._analyse_unless_known(job, outcome)
            case outcomes.Traced():
                self._read_unless_moved(job, outcome)
            case outcomes.Segmented():
                self._worker_replacement.segmentation_advances()
                job.took(Stage.SEGMENT, outcome.seconds)
                self._backend.resolve(job, outcome)
            case outcomes.PictureDone() | outcomes.Resolved() | outcomes.Analysed():
                job.add(outcome)
                self._record_complete_batches(job)
            case Recorded():
                self._end(job)
                self._admission.forget(job.file)
                job.recorded = outcome
                job.reason = outcome.reason or job.reason
                self._publisher.add(job)
            case outcomes.Failed():
                self._recover(job, outcome)
            case _:
                assert_never(outcome)

    def _read_unless_moved(self, job: Job, traced: outcomes.Traced) -> None:
        if self._moved_files.move(job, traced):
            self._end(job)
            self._admission.forget(job.file)
        elif job.held is None:
            self._backend.read(job)
        else:
            self._analyse_unless_known(job, job.held)

    def _analyse_unless_known(self, job: Job, read: outcomes.ReadDone) -> None:
        if job.sha256 is None and self._moved_files.is_traced(job, read):
            return
        job.held = None
        job.took(Stage.READ, read.seconds)
        if job.sha256 is None:
            job.sha256, job.frames_total = read.sha256, read.frames_total
            known = recording.recognise(
                self._ledger, job.file.id, read.sha256, at=datetime.now(UTC), seconds=sum(job.stages.values())
            )
            if known is not None:
                self._advance(job, known)
                return
            separation = self._processes.methods.separation(job.file.settings)
            job.sample_prior = sample_prior.give(self._ledger, job.file.id, separation)
        self._backend.analyse(job, read)
        if job.should_read_ahead:
            self._backend.read(job)

    def _record_complete_batches(self, job: Job) -> None:
        """One transaction for each batch; its rows are published, and a stack is read on."""
        while job in self._jobs and (batch := job.take_complete_batch(datetime.now(UTC))) is not None:
            first, results = batch
            done = first + len(results)
            is_last = job.frames_total is None or done >= job.frames_total
            job.log_start(Stage.RECORD)
            started = time.monotonic()
            kin = kinship.find(self._ledger, job.file, results, self._config.samples)
            recorded = recording.record(
                self._ledger, job.file.id, results, finished=is_last, frames_total=job.frames_total, kin=kin
            )
            job.took(Stage.RECORD, time.monotonic() - started)
            if recorded.status is not Status.PENDING:
                self._advance(job, recorded)
                return
            self._publisher.publish(job.file.sample)
            self._hooks.on_frames(job.file, done, job.frames_total or done)
            if job.should_read_ahead:
                self._backend.read(job)
            elif (failed := job.take_read_failure()) is not None:
                self._advance(job, failed)

    def _on_published(self, job: Job) -> None:
        finished = job.finished()
        self.status.last_finished = f"{job.file.name}: {finished.in_words}"
        finished.log()
        self._hooks.on_finished(finished)

    def _recover(self, job: Job, failed: outcomes.Failed) -> None:
        """The boundary of one micrograph: an error of its tasks costs this micrograph and no other."""
        error = failed.error
        if isinstance(error, StartError) or not isinstance(error, Exception):
            raise error  # no fault of the micrograph: the cluster is gone, or its workers differ
        if self._backend.is_worker_death(error):
            self._worker_replacement.worker_died(job)
        else:
            self._recovery.recover(job, failed)

    def _end(self, job: Job) -> None:
        self._jobs.remove(job)
        job.discard()
