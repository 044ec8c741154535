"""Takes files from the ledger through read, segment, resolve, record and publish.

One thread conducts: it alone writes the ledger and the tables. What happens to a file before its record is
the business of a `Backend`; what is in hand is bounded, and so is memory.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import structlog

from temwatch.config import Config
from temwatch.domain import Method, Segmenter, Status
from temwatch.engine import retry, tasks
from temwatch.engine.job import Backend, Finished, Job, Pulse
from temwatch.engine.process_backend import ProcessBackend
from temwatch.engine.publishing import Publisher
from temwatch.engine.sequence_tracker import SequenceTracker
from temwatch.errors import InputError, StartError, Unreadable
from temwatch.ledger import File, Ledger, Recorded, queue, recording
from temwatch.outputs import paths

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
        listen: Callable[[Finished], None] = lambda _: None,
        on_progress: Callable[[File, int, int], None] = lambda *_: None,
        source_up: Callable[[], bool] = lambda: True,
        check_device: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.pulse = Pulse()
        self._ledger = ledger
        self._listen = listen
        self._on_progress = on_progress
        self._source_up = source_up
        self._check_device = check_device
        self._mail: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._local = ProcessBackend(config, segmenter, method, self._post)
        self._way: Backend = self._local
        if config.engine.dask:
            from temwatch.engine.dask_backend import DaskBackend  # dask: half a second to import

            self._way = DaskBackend(config, method, self._post, self._local)
        self._publisher = Publisher(
            ledger, config, submit=self._local.submit, post=self._mail.put, tell=self._tell
        )
        self._follower = SequenceTracker(ledger, config, self._publisher.publish, self.wake)
        self._jobs: list[Job] = []
        self._spool = paths.spool(config.output.state)
        self._retry_after_s: Sequence[float] = ()
        self._held_until_s = 0.0

    @property
    def dashboard(self) -> str | None:
        """Where the cluster shows what it does; None without one."""
        return self._way.dashboard

    def wake(self) -> None:
        """Tell the conductor that the ledger may have something new."""
        self._mail.put(None)

    def _post(self, future: Future[Any], job: Job, stage: str, index: int) -> None:
        self._mail.put(partial(self._advance, future, job, stage, index))

    def run(self, stop: threading.Event, *, until_empty: bool = False, grace_s: float = 20.0) -> None:
        """Work until `stop` is set, or until nothing is pending; only the former has patience with files.

        Once stopped, what is in hand is finished if that takes less than `grace_s`, else it goes back.
        """
        self._retry_after_s = () if until_empty else retry.RETRY_AFTER_S
        shutil.rmtree(self._spool, ignore_errors=True)
        self._spool.mkdir(parents=True)
        self._way.start()
        self._publisher.publish_all()
        self._publisher.folders.patient = not until_empty
        deadline_s: float | None = None
        try:
            while True:
                self.pulse.beat_s = time.monotonic()
                if stop.is_set():
                    if deadline_s is None:
                        deadline_s = time.monotonic() + grace_s
                        self._publisher.folders.try_once_more()
                    if not self._busy() or time.monotonic() > deadline_s:
                        break
                else:
                    follows = self._follower.turn(patient=not until_empty)
                    self._claim()
                    if until_empty and not self._busy() and not follows:
                        break
                self._publisher.folders.take_left(self._way.room)
                self._look_for_dead_workers()
                self.pulse.in_flight = len(self._jobs)
                self._publisher.now_and_then(idle=not self._jobs)
                self._turn()
        finally:
            self._way.close()
            self._follower.close()
            for job in self._jobs:
                queue.release(self._ledger, job.file.id)
            self._publisher.finish(everything=until_empty and not stop.is_set())
            shutil.rmtree(self._spool, ignore_errors=True)

    def _turn(self) -> None:
        """Take one piece of mail; where there is none, or it has been long, publish what is recorded."""
        try:
            mail = self._mail.get(timeout=0 if self._publisher.hurries else _IDLE_SECONDS)
        except Empty:
            self._publisher.publish_recorded(at_once=True)
            return
        if mail is not None:
            mail()
        self._publisher.publish_recorded(at_once=False)

    def _claim(self) -> None:
        """Take up files while there is room; one on which a worker died before runs alone."""
        if time.monotonic() < self._held_until_s or not self._source_up():
            return
        while self._has_room():
            claimed = queue.claim(self._ledger, 1, datetime.now(UTC))
            if not claimed:
                return
            file = claimed[0]
            if file.crashes and self._jobs:
                queue.release(self._ledger, file.id)
                return
            job = Job(
                file=file,
                spooled=self._spool / f"{file.id}{file.location.suffix}",
                copied=file.size_bytes <= self.config.watch.spool_limit_bytes,
                first=file.frames_recorded,
            )
            self._jobs.append(job)
            log.info("micrograph taken up", id=file.id, sample=file.sample, path=file.path)
            self._way.read(job)

    def _has_room(self) -> bool:
        in_hand = len(self._jobs) + self._publisher.in_hand
        return in_hand < self._way.room and not any(job.file.crashes for job in self._jobs)

    def _busy(self) -> bool:
        return bool(self._jobs) or self._publisher.waits

    def _advance(self, future: Future[Any], job: Job, stage: str, index: int) -> None:
        """One task of a job is done: take the next step, or turn its failure into a row with its reason."""
        if job not in self._jobs:
            return  # it ended meanwhile: its worker died
        back = job.came_back(future, stage)
        if back is None:
            return
        future, stage = back
        try:
            outcome = future.result()
        except InputError as error:
            self._put_off_or_reject(job, error)
            return
        except MemoryError:
            self._reject(job, Unreadable("out_of_memory", "needs more memory than there is"))
            return
        except StartError:
            raise  # the cluster is gone, or its workers would find something else
        except Exception as error:  # the one place: a defect costs one micrograph, not the service
            if self._way.died(error):
                self._worker_died(job)
                return
            if retry.is_full_disk(error):
                self._wait_for_space(job, error)
                return
            if stage == "segment":
                self._check_device()  # a sick device is no defect of the micrograph: it ends the service
            log.exception("a defect of temwatch", id=job.file.id, path=job.file.path, stage=stage)
            self._reject(job, Unreadable("internal", f"{stage}: {type(error).__name__}: {error}"))
            return
        job.since_s = time.monotonic()
        if stage == "read":
            self._was_read(job, outcome)
        else:
            self._way.advance(job, stage, index, outcome)
            while job in self._jobs and job.batches and job.batches[0].is_complete:
                self._was_resolved(job)

    def _was_read(self, job: Job, outcome: tasks.ReadResult | None) -> None:
        read = self._way.seen(job, outcome)
        if read is None:
            return
        job.took("read", read.seconds)
        if job.sha256 is None:
            job.sha256, job.frames_total = read.sha256, read.frames_total
            known = recording.recognise(
                self._ledger, job.file.id, read.sha256, at=datetime.now(UTC), seconds=sum(job.stages.values())
            )
            if known is not None:
                self._was_recorded(job, known)
                return
        self._way.analyse(job, read)
        job.first += len(read.micrographs)
        if job.wants_more:
            self._way.read(job)

    def _was_resolved(self, job: Job) -> None:
        """A batch is complete: one transaction, then its rows are published."""
        first = job.batches[0].first
        results = job.results(datetime.now(UTC))
        done = first + len(results)
        finished = job.frames_total is None or done >= job.frames_total
        job.begins("record")
        started = time.monotonic()
        recorded = recording.record(
            self._ledger, job.file.id, results, finished=finished, frames_total=job.frames_total
        )
        job.took("record", time.monotonic() - started)
        if recorded.status is not Status.PENDING:
            self._was_recorded(job, recorded)
        else:
            self._publisher.publish(job.file.sample)
            self._on_progress(job.file, done, job.frames_total or done)
            if job.wants_more:
                self._way.read(job)
            elif job.ahead and not job.batches:
                self._post(job.ahead, job, "read", done)

    def _was_recorded(self, job: Job, recorded: Recorded, reason: str = "") -> None:
        """The ledger knows what became of a file; its tables and what lies beside it come next."""
        self._end(job)
        if recorded.duplicate_of is not None:
            reason = f"same content as {recorded.duplicate_of}"
        job.recorded, job.reason = recorded, reason
        self._publisher.take(job)

    def _tell(self, job: Job) -> None:
        told = job.finished()
        done = told.status is Status.DONE
        what = f"{told.particles} particles" if done else f"{told.status} {told.reason}".strip()
        self.pulse.last = f"{job.file.name}: {what}"
        log.info(
            "micrograph finished",
            id=job.file.id,
            sample=job.file.sample,
            path=job.file.path,
            status=str(told.status),
            particles=told.particles,
            reason=told.reason or None,
            seconds=round(sum(told.stages.values()), 3),
        )
        self._listen(told)

    def _put_off_or_reject(self, job: Job, error: InputError) -> None:
        """A fault that may pass gets further attempts; while the share is gone none of them counts."""
        waits_s, failed_before = self._retry_after_s, job.file.attempts
        if not waits_s or not retry.may_pass(error):
            self._reject(job, error)
        elif not self._source_up():
            self._put_back(job, waits_s[0], None)
        elif failed_before < len(waits_s):
            wait_s = waits_s[failed_before]
            log.warning(
                "trying again later", id=job.file.id, path=job.file.path, reason=str(error), wait_s=wait_s
            )
            self._put_back(job, wait_s, error.code)
        else:
            self._reject(job, error)

    def _wait_for_space(self, job: Job, error: Exception) -> None:
        """A full disk is no fault of the file: all wait, and none is failed."""
        if not self._retry_after_s:
            self._reject(
                job, Unreadable("no_space", "the disk for spool or results is full; free some space")
            )
            return
        log.warning("the disk is full, everything waits", reason=str(error))
        self._held_until_s = time.monotonic() + retry.FULL_DISK_PAUSE_S
        self._put_back(job, 0, None)

    def _put_back(self, job: Job, wait_s: float, reason: str | None) -> None:
        self._end(job)
        queue.release(
            self._ledger, job.file.id, not_before=datetime.now(UTC) + timedelta(seconds=wait_s), reason=reason
        )

    def _reject(self, job: Job, error: InputError) -> None:
        """The row of a file that gives no result, with its reason."""
        started = time.monotonic()
        recorded = recording.reject_file(
            self._ledger,
            job.file.id,
            status=Status(error.status),
            code=error.code,
            reason=str(error),
            sha256=job.sha256,
            at=datetime.now(UTC),
            seconds=sum(job.stages.values()),
        )
        job.took("record", time.monotonic() - started)
        self._was_recorded(job, recorded, str(error))

    def _end(self, job: Job) -> None:
        self._jobs.remove(job)
        job.batches = []
        for task in tuple(job.running):
            task.cancel()
        job.spooled.unlink(missing_ok=True)

    def _worker_died(self, told: Job | None = None) -> None:
        """A worker process ended: start new ones, and run what it may have died of alone."""
        suspects = self._way.bury(self._jobs, told)
        log.error("a worker process died", in_hand=[(job.file.id, job.file.path) for job in suspects])
        for job in suspects:
            delay = self._retry_after_s[job.file.crashes] if self._retry_after_s else 0
            crashes = queue.crashed(
                self._ledger, job.file.id, not_before=datetime.now(UTC) + timedelta(seconds=delay)
            )
            if crashes >= retry.MAX_CRASHES:
                reason = f"the worker process died on it {crashes} times; see the log"
                self._reject(job, Unreadable("crashed", reason))
            else:
                self._end(job)

    def _look_for_dead_workers(self) -> None:
        """Some die of an output folder; some do not come back, unless the share is what they wait for."""
        if self._local.broken and not any(job.using_pool for job in self._jobs):
            self._worker_died()  # else a job tells of it, and which one it was
        limit_s = time.monotonic() - retry.STUCK_SECONDS
        stuck = [job for job in self._jobs if job.using_pool and job.since_s < limit_s]
        if stuck and self._source_up():
            self._worker_died(stuck[0])
