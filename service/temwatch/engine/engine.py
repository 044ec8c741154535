"""Takes files from the ledger through read, segment, resolve, record and publish.

One thread conducts: it alone writes the ledger and the tables. Reading and resolving are done by worker
processes, segmenting by one thread that owns the network. What is in flight is bounded, and so is memory.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from temwatch.config import Config
from temwatch.domain import Method, Micrograph, Segmentation, Segmenter, Status
from temwatch.engine import pool, work
from temwatch.engine.publishing import Publisher
from temwatch.errors import InputError, Unreadable
from temwatch.ledger import File, Ledger, Recorded, Result

log = structlog.get_logger(__name__)

MAX_CRASHES = 3
"""A file on which this many workers died is failed; from the first on it runs alone."""

_IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What became of one file; `stages` holds seconds by stage."""

    file: File
    status: Status
    reason: str
    micrograph_id: int | None
    frames: int
    particles: int
    diameters_nm: tuple[float, ...]
    stages: dict[str, float]
    arrival_to_result_s: float


@dataclass(slots=True)
class Pulse:
    """What the engine tells of itself; written by its thread, read by health, metrics and systemd."""

    beat_s: float = 0.0
    in_flight: int = 0
    last: str = ""


@dataclass(slots=True, eq=False)
class _Job:
    """One file on its way; for a stack, the batch of frames that is in hand."""

    file: File
    spooled: Path
    copied: bool
    first: int
    sha256: str | None = None
    frames_total: int | None = None
    micrographs: tuple[Micrograph, ...] = ()
    segmentations: list[Segmentation] = field(default_factory=list)
    resolved: dict[int, work.ResolveResult] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    particles: int = 0
    diameters_nm: list[float] = field(default_factory=list)
    seconds_recorded: float = 0.0
    using_pool: bool = False

    def took(self, stage: str, seconds: float) -> None:
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds


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
    ) -> None:
        self.config = config
        self.pulse = Pulse()
        self._ledger = ledger
        self._segmenter = segmenter
        self._method = method
        self._listen = listen
        self._on_progress = on_progress
        self._publisher = Publisher(ledger, config)
        self._mail: queue.SimpleQueue[tuple[Future[object], _Job, str, int] | None] = queue.SimpleQueue()
        self._jobs: list[_Job] = []
        self._workers = config.engine.workers or pool.usable_cores()
        self._spool = config.output.state / "spool"
        self._pool: ProcessPoolExecutor | None = None
        self._segmenting = ThreadPoolExecutor(1, thread_name_prefix="segment")

    def wake(self) -> None:
        """Tell the conductor that the ledger may have something new."""
        self._mail.put(None)

    def run(self, stop: threading.Event, *, until_empty: bool = False, grace_s: float = 20.0) -> None:
        """Work until `stop` is set, or until nothing is pending.

        Once stopped, what is in hand is finished if that takes less than `grace_s`, else it goes back.
        """
        shutil.rmtree(self._spool, ignore_errors=True)
        self._spool.mkdir(parents=True)
        self._pool = pool.start(self._workers, self.config.output.state / "cache")
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
                    self._claim()
                    if until_empty and not self._jobs:
                        break
                self.pulse.in_flight = len(self._jobs)
                self._publisher.now_and_then(idle=not self._jobs)
                try:
                    mail = self._mail.get(timeout=_IDLE_SECONDS)
                except queue.Empty:
                    continue
                if mail is not None:
                    self._advance(*mail)
        finally:
            for job in self._jobs:
                self._ledger.release(job.file.id)
            pool.kill(self._pool)
            self._segmenting.shutdown(wait=False, cancel_futures=True)
            self._publisher.finish(everything=until_empty and not stop.is_set())
            shutil.rmtree(self._spool, ignore_errors=True)

    def _claim(self) -> None:
        """Take up files while there is room; one on which a worker died before runs alone."""
        limit = self._workers + 1
        while len(self._jobs) < limit and not any(job.file.crashes for job in self._jobs):
            claimed = self._ledger.claim(1, datetime.now(UTC))
            if not claimed:
                return
            file = claimed[0]
            if file.crashes and self._jobs:
                self._ledger.release(file.id)
                return
            job = _Job(
                file=file,
                spooled=self._spool / f"{file.id}{file.location.suffix}",
                copied=file.size_bytes <= self.config.watch.spool_limit_bytes,
                first=file.frames_recorded,
            )
            self._jobs.append(job)
            self._read(job)

    def _read(self, job: _Job) -> None:
        override = job.file.pixel_size_nm or self.config.samples.pixel_size_nm
        order = work.ReadOrder(
            source=job.file.location,
            spooled=job.spooled,
            copy=job.copied,
            pixel_size_nm=override,
            sequence=job.file.sequence,
            frame=job.file.frame,
            first=job.first,
            sha256=job.sha256,
        )
        self._in_pool(job, "read", 0, work.read, order)

    def _in_pool(self, job: _Job, stage: str, index: int, task: Callable[..., object], order: object) -> None:
        assert self._pool is not None
        job.using_pool = True
        try:
            future: Future[object] = self._pool.submit(task, order)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda done: self._mail.put((done, job, stage, index)))

    def _advance(self, future: Future[object], job: _Job, stage: str, index: int) -> None:
        """One task of a job is done: take the next step, or turn its failure into a row with its reason."""
        if job not in self._jobs:
            return  # it ended meanwhile: another frame of it failed, or its worker died
        try:
            outcome = future.result()
        except BrokenProcessPool:
            self._worker_died()
            return
        except InputError as error:
            self._reject(job, error)
            return
        except MemoryError:
            self._reject(job, Unreadable("out_of_memory", "needs more memory than there is"))
            return
        except Exception as error:  # the one place: a defect costs one micrograph, not the service
            log.exception("a defect of temwatch", path=job.file.path, stage=stage)
            self._reject(job, Unreadable("internal", f"{stage}: {type(error).__name__}: {error}"))
            return
        match outcome:
            case work.ReadResult():
                self._was_read(job, outcome)
            case work.ResolveResult():
                job.resolved[index] = outcome
                if len(job.resolved) == len(job.micrographs):
                    self._was_resolved(job)
            case (list() as segmentations, float() as seconds):
                self._was_segmented(job, segmentations, seconds)

    def _was_read(self, job: _Job, read: work.ReadResult) -> None:
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

        future: Future[object] = self._segmenting.submit(segment)
        future.add_done_callback(lambda done: self._mail.put((done, job, "segment", 0)))

    def _was_segmented(self, job: _Job, segmentations: list[Segmentation], seconds: float) -> None:
        job.took("segment", seconds)
        job.segmentations = segmentations
        folder = self._publisher.folder(job.file)
        for index, micrograph in enumerate(job.micrographs):
            every = self.config.sequences.picture_every_frames
            drawn = micrograph.frame is None or micrograph.frame.index % every == 0
            name = job.file.name
            if job.frames_total is not None and micrograph.frame is not None:
                name = f"{name}_{micrograph.frame.index:06d}"
            order = work.ResolveOrder(
                micrograph=micrograph,
                segmentation=segmentations[index],
                separation=self.config.separation,
                method=self._method,
                pictures=folder if self.config.output.pictures and drawn else None,
                name=name,
            )
            self._in_pool(job, "resolve", index, work.resolve, order)

    def _was_resolved(self, job: _Job) -> None:
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

    def _reject(self, job: _Job, error: InputError) -> None:
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

    def _publish(self, job: _Job) -> None:
        started = time.monotonic()
        self._publisher.publish(job.file.sample)
        job.took("publish", time.monotonic() - started)

    def _finish(self, job: _Job, recorded: Recorded, reason: str = "") -> None:
        self._end(job)
        status = recorded.status
        if recorded.duplicate_of is not None:
            reason = f"same content as {recorded.duplicate_of}"
        what = f"{job.particles} particles" if status is Status.DONE else f"{status} {reason}".strip()
        self.pulse.last = f"{job.file.name}: {what}"
        seconds = sum(job.stages.values())
        log.info(
            "micrograph finished",
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

    def _end(self, job: _Job) -> None:
        self._jobs.remove(job)
        job.spooled.unlink(missing_ok=True)

    def _worker_died(self) -> None:
        """A worker process ended: start new ones, and run what it may have died of alone."""
        assert self._pool is not None
        suspects = [job for job in self._jobs if job.using_pool]
        log.error("a worker process died", in_hand=[job.file.path for job in suspects])
        pool.kill(self._pool)
        self._pool = pool.start(self._workers, self.config.output.state / "cache")
        for job in suspects:
            if self._ledger.crashed(job.file.id) >= MAX_CRASHES:
                self._reject(
                    job,
                    Unreadable("crashed", f"the worker process died on it {MAX_CRASHES} times; see the log"),
                )
            else:
                self._end(job)
