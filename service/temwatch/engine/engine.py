"""Takes files from the ledger through read, segment, resolve, record and publish.

One thread conducts: it alone writes the ledger and the tables. Reading and resolving are done by worker
processes, segmenting by one thread that owns the network. What is in flight is bounded, and so is memory.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime, timedelta

import structlog

from temwatch.config import Config
from temwatch.domain import Analysis, Method, Segmentation, Segmenter, Status
from temwatch.engine import patience, pool, work
from temwatch.engine.following import Follower
from temwatch.engine.job import Finished, Job, Pulse
from temwatch.engine.lane import Lane
from temwatch.engine.publishing import Publisher
from temwatch.errors import InputError, Unreadable
from temwatch.ledger import File, Ledger, Recorded, Result

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
        self._segmenter = segmenter
        self._method = method
        self._listen = listen
        self._on_progress = on_progress
        self._source_up = source_up
        self._check_device = check_device
        self._publisher = Publisher(ledger, config, self._resolve_again)
        self._follower = Follower(ledger, config, self._publisher.publish, self.wake)
        self._mail: queue.SimpleQueue[tuple[Future[object], Job, str, int] | None] = queue.SimpleQueue()
        self._jobs: list[Job] = []
        self._workers = config.engine.workers or pool.usable_cores()
        self._spool = config.output.state / "spool"
        self._pool: ProcessPoolExecutor | None = None
        self._segmenting = Lane("segment")
        self._retry_after_s: Sequence[float] = ()
        self._held_until_s = 0.0

    def wake(self) -> None:
        """Tell the conductor that the ledger may have something new."""
        self._mail.put(None)

    def run(self, stop: threading.Event, *, until_empty: bool = False, grace_s: float = 20.0) -> None:
        """Work until `stop` is set, or until nothing is pending; only the former has patience with files.

        Once stopped, what is in hand is finished if that takes less than `grace_s`, else it goes back.
        """
        self._retry_after_s = () if until_empty else patience.RETRY_AFTER_S
        shutil.rmtree(self._spool, ignore_errors=True)
        self._spool.mkdir(parents=True)
        self._start_workers()
        self._publisher.publish_all()
        deadline_s: float | None = None
        try:
            while True:
                self.pulse.beat_s = time.monotonic()
                if stop.is_set():
                    deadline_s = deadline_s or time.monotonic() + grace_s
                    if not self._jobs or time.monotonic() > deadline_s:
                        break
                else:
                    follows = self._follower.turn(patient=not until_empty)
                    self._claim()
                    if until_empty and not self._jobs and not follows:
                        break
                self._look_for_stuck_workers()
                self.pulse.in_flight = len(self._jobs)
                self._publisher.now_and_then(idle=not self._jobs)
                try:
                    mail = self._mail.get(timeout=0 if self._publisher.busy else _IDLE_SECONDS)
                except queue.Empty:
                    continue
                if mail is not None:
                    self._advance(*mail)
        finally:
            if self._pool is not None:
                pool.kill(self._pool)
            self._segmenting.close()
            self._follower.close()
            for job in self._jobs:
                self._ledger.release(job.file.id)
            self._publisher.finish(everything=until_empty and not stop.is_set())
            shutil.rmtree(self._spool, ignore_errors=True)

    def _claim(self) -> None:
        """Take up files while there is room; one on which a worker died before runs alone."""
        if time.monotonic() < self._held_until_s or not self._source_up():
            return
        limit = self._workers + 1
        while len(self._jobs) < limit and not any(job.file.crashes for job in self._jobs):
            claimed = self._ledger.claim(1, datetime.now(UTC))
            if not claimed:
                return
            file = claimed[0]
            if file.crashes and self._jobs:
                self._ledger.release(file.id)
                return
            job = Job(
                file=file,
                spooled=self._spool / f"{file.id}{file.location.suffix}",
                copied=file.size_bytes <= self.config.watch.spool_limit_bytes,
                first=file.frames_recorded,
            )
            self._jobs.append(job)
            log.info("micrograph taken up", id=file.id, sample=file.sample, path=file.path)
            self._read(job)

    def _read(self, job: Job) -> None:
        override = job.file.pixel_size_nm or self.config.samples.pixel_size_nm
        order = work.ReadOrder(
            source=job.file.location,
            spooled=job.spooled,
            copy=job.copied,
            pixel_size_nm=override,
            sequence=job.file.sequence,
            frame=job.file.frame,
            elapsed_s=job.file.elapsed_s,
            interval_s=self.config.sequences.frame_interval_s,
            small_pictures=self._publisher.small_pictures(job.file),
            name=job.file.name,
            first=job.first,
            sha256=job.sha256,
        )
        self._in_pool(job, "read", 0, work.read, order)

    def _in_pool(self, job: Job, stage: str, index: int, task: Callable[..., object], order: object) -> None:
        assert self._pool is not None
        job.using_pool, job.since_s = True, time.monotonic()
        log.debug("stage", stage=stage, id=job.file.id, path=job.file.path)
        try:
            future: Future[object] = self._pool.submit(task, order)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        self._follow(future, job, stage, index)

    def _follow(self, future: Future[object], job: Job, stage: str, index: int) -> None:
        job.running.add(future)
        future.add_done_callback(lambda done: self._mail.put((done, job, stage, index)))

    def _advance(self, future: Future[object], job: Job, stage: str, index: int) -> None:
        """One task of a job is done: take the next step, or turn its failure into a row with its reason."""
        if job not in self._jobs:
            return  # it ended meanwhile: its worker died
        if not job.came_back(future):
            return
        try:
            outcome = job.outcome(future)
        except BrokenProcessPool:
            self._worker_died()
            return
        except InputError as error:
            self._put_off_or_reject(job, error)
            return
        except MemoryError:
            self._reject(job, Unreadable("out_of_memory", "needs more memory than there is"))
            return
        except Exception as error:  # the one place: a defect costs one micrograph, not the service
            if patience.is_full_disk(error):
                self._wait_for_space(job, error)
                return
            if stage == "segment":
                self._check_device()  # a sick device is no defect of the micrograph: it ends the service
            log.exception("a defect of temwatch", id=job.file.id, path=job.file.path, stage=stage)
            self._reject(job, Unreadable("internal", f"{stage}: {type(error).__name__}: {error}"))
            return
        job.since_s = time.monotonic()
        match outcome:
            case work.ReadResult():
                self._was_read(job, outcome)
            case work.ResolveResult():
                job.resolved[index] = outcome
                if len(job.resolved) == len(job.micrographs):
                    self._was_resolved(job)
            case (list() as segmentations, float() as seconds):
                self._was_segmented(job, segmentations, seconds)

    def _was_read(self, job: Job, read: work.ReadResult) -> None:
        job.took("read", read.seconds)
        if job.sha256 is None:
            job.sha256, job.frames_total = read.sha256, read.frames_total
            known = self._ledger.recognise(
                job.file.id, read.sha256, at=datetime.now(UTC), seconds=sum(job.stages.values())
            )
            if known is not None:
                self._publish(job)
                self._finish(job, known)
                return
        job.micrographs, job.resolved, job.using_pool = read.micrographs, {}, False
        images = [micrograph.image for micrograph in read.micrographs]

        def segment() -> tuple[list[Segmentation], float]:
            started = time.monotonic()
            return self._segmenter.segment(images), time.monotonic() - started

        log.debug("stage", stage="segment", id=job.file.id, path=job.file.path)
        self._follow(self._segmenting.submit(segment), job, "segment", 0)

    def _was_segmented(self, job: Job, segmentations: list[Segmentation], seconds: float) -> None:
        job.took("segment", seconds)
        job.segmentations = segmentations
        folder = self._publisher.folder(job.file)
        for index, micrograph in enumerate(job.micrographs):
            every = self.config.sequences.picture_every_frames
            drawn = micrograph.frame is None or micrograph.frame.index % every == 0
            name = job.file.name
            if job.frames_total is not None and micrograph.frame is not None:
                name = f"{name}_{micrograph.frame.index:06d}"
            drawing = work.Drawing(folder=folder, name=name, image=micrograph.image)
            order = work.ResolveOrder(
                pixel_size_nm=micrograph.pixel_size_nm,
                segmentation=segmentations[index],
                separation=self.config.separation,
                method=self._method,
                drawing=drawing if self.config.output.pictures and drawn else None,
            )
            self._in_pool(job, "resolve", index, work.resolve, order)

    def _was_resolved(self, job: Job) -> None:
        """A batch is complete: one transaction, then its rows are published."""
        for resolved in job.resolved.values():
            job.took("resolve", resolved.seconds)
            job.took("publish", resolved.seconds_pictures)
            job.particles += len(resolved.analysis.particles)
            job.diameters_nm += (particle.equivalent_diameter_nm for particle in resolved.analysis.particles)
        frames = len(job.micrographs)
        seconds = sum(job.stages.get(stage, 0.0) for stage in ("read", "segment", "resolve"))
        results = [
            Result(
                sha256=micrograph.sha256,
                segmentation=segmentation,
                analysis=job.resolved[index].analysis,
                analysed_at=datetime.now(UTC),
                seconds=(seconds - job.seconds_recorded) / frames,
                acquired_at=micrograph.acquired_at,
                frame=micrograph.frame,
                metadata=micrograph.metadata,
            )
            for index, (micrograph, segmentation) in enumerate(
                zip(job.micrographs, job.segmentations, strict=True)
            )
        ]
        job.seconds_recorded = seconds
        done = job.first + frames
        finished = job.frames_total is None or done >= job.frames_total
        log.debug("stage", stage="record", id=job.file.id, path=job.file.path)
        started = time.monotonic()
        recorded = self._ledger.record(job.file.id, results, finished=finished, frames_total=job.frames_total)
        job.took("record", time.monotonic() - started)
        self._publish(job)
        if recorded.status is not Status.PENDING:
            self._finish(job, recorded)
        else:
            self._on_progress(job.file, done, job.frames_total or done)
            job.first = done
            self._read(job)

    def _put_off_or_reject(self, job: Job, error: InputError) -> None:
        """A fault that may pass gets further attempts; while the share is gone none of them counts."""
        waits_s, failed_before = self._retry_after_s, job.file.attempts
        if not waits_s or not patience.may_pass(error):
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
        self._held_until_s = time.monotonic() + patience.FULL_DISK_PAUSE_S
        self._put_back(job, 0, None)

    def _put_back(self, job: Job, wait_s: float, reason: str | None) -> None:
        self._end(job)
        self._ledger.release(
            job.file.id, not_before=datetime.now(UTC) + timedelta(seconds=wait_s), reason=reason
        )

    def _reject(self, job: Job, error: InputError) -> None:
        """The row of a file that gives no result, with its reason."""
        started = time.monotonic()
        recorded = self._ledger.reject_file(
            job.file.id,
            status=Status(error.status),
            code=error.code,
            reason=str(error),
            sha256=job.sha256,
            at=datetime.now(UTC),
            seconds=sum(job.stages.values()),
        )
        job.took("record", time.monotonic() - started)
        self._publish(job)
        self._finish(job, recorded, str(error))

    def _publish(self, job: Job) -> None:
        log.debug("stage", stage="publish", id=job.file.id, path=job.file.path)
        started = time.monotonic()
        self._publisher.publish(job.file.sample)
        job.took("publish", time.monotonic() - started)

    def _finish(self, job: Job, recorded: Recorded, reason: str = "") -> None:
        self._end(job)
        status = recorded.status
        if recorded.duplicate_of is not None:
            reason = f"same content as {recorded.duplicate_of}"
        what = f"{job.particles} particles" if status is Status.DONE else f"{status} {reason}".strip()
        self.pulse.last = f"{job.file.name}: {what}"
        seconds = sum(job.stages.values())
        log.info(
            "micrograph finished",
            id=job.file.id,
            sample=job.file.sample,
            path=job.file.path,
            status=str(status),
            particles=job.particles,
            reason=reason or None,
            seconds=round(seconds, 3),
        )
        self._listen(
            Finished(
                file=job.file,
                status=status,
                reason=reason,
                micrograph_id=recorded.micrograph_ids[-1] if recorded.micrograph_ids else None,
                frames=job.frames_total or 0,
                particles=job.particles,
                diameters_nm=tuple(job.diameters_nm),
                stages=job.stages,
                arrival_to_result_s=(datetime.now(UTC) - job.file.detected_at).total_seconds(),
            )
        )

    def _end(self, job: Job) -> None:
        self._jobs.remove(job)
        job.spooled.unlink(missing_ok=True)

    def _worker_died(self) -> None:
        """A worker process ended: start new ones, and run what it may have died of alone."""
        suspects = [job for job in self._jobs if job.using_pool]
        log.error("a worker process died", in_hand=[(job.file.id, job.file.path) for job in suspects])
        self._start_workers()
        for job in suspects:
            delay = self._retry_after_s[job.file.crashes] if self._retry_after_s else 0
            crashes = self._ledger.crashed(
                job.file.id, not_before=datetime.now(UTC) + timedelta(seconds=delay)
            )
            if crashes >= patience.MAX_CRASHES:
                reason = f"the worker process died on it {crashes} times; see the log"
                self._reject(job, Unreadable("crashed", reason))
            else:
                self._end(job)

    def _start_workers(self) -> None:
        if self._pool is not None:
            pool.kill(self._pool)
        self._pool = pool.start(
            self._workers, self.config.output.state / "cache", self.config.separation.method
        )

    def _look_for_stuck_workers(self) -> None:
        """A worker that does not come back is ended, unless the share is what it waits for."""
        limit_s = time.monotonic() - patience.STUCK_SECONDS
        if self._source_up() and any(job.using_pool and job.since_s < limit_s for job in self._jobs):
            self._worker_died()

    def _resolve_again(self, order: work.ResolveOrder) -> Analysis:
        """What a rebuild asks for: one analysis from a stored segmentation, by a worker."""
        assert self._pool is not None
        return self._pool.submit(work.resolve, order).result().analysis
