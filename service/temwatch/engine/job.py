"""One file on its way through the stages, and the summary of it once it is recorded."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import structlog

from temwatch.domain import Micrograph, Stage, Status
from temwatch.engine import spooled_image
from temwatch.engine.outcomes import Analysed, Failed, PictureDone, ReadDone, Resolved, StageResult
from temwatch.ledger import File, PackedAnalysis, Recorded
from temwatch.ledger.moves import FormerPlace
from temwatch.lone_particles import LoneParticles
from temwatch.names import plural

log = structlog.get_logger(__name__)

_BATCHES_AHEAD = 2  # of a stack: one is read while the one before is analysed


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

    @property
    def in_words(self) -> str:
        """The result in a few words, or why there is none."""
        if self.status is Status.DONE:
            return plural(self.particles, "particle")
        return f"{self.status} {self.reason}".strip()

    def log(self) -> None:
        """Write a line to the log."""
        log.info(
            "micrograph finished",
            id=self.file.id,
            sample=self.file.sample,
            path=self.file.path,
            status=str(self.status),
            particles=self.particles,
            reason=self.reason or None,
            seconds=round(sum(self.stages.values()), 3),
        )


class Executor(Enum):
    """What runs a task."""

    WORKER_PROCESS = "a process of this machine; a file may kill it"
    THREAD = "a thread of this process"
    CLUSTER = "a worker of the Dask cluster"


class Task(NamedTuple):
    """A task in hand: its stage, and what runs it."""

    stage: Stage
    executor: Executor


class MemoryShare(NamedTuple):
    """Bytes that one file may take: beside the others in hand, and if it is alone."""

    now_bytes: int
    alone_bytes: int


@dataclass(slots=True, eq=False)
class Batch:
    """A micrograph, or frames of a stack that were read together, until their rows are recorded."""

    first: int  # index of the first micrograph in the file
    count: int
    micrographs: tuple[Micrograph, ...] = ()
    resolved: dict[int, Resolved] = field(default_factory=dict)  # by index
    awaits_picture: bool = False  # the picture must be there before the rows are

    @property
    def is_complete(self) -> bool:
        """Whether it can be recorded."""
        return len(self.resolved) == self.count and not self.awaits_picture


@dataclass(slots=True, eq=False)
class Job:
    """One file on its way; of a stack, one batch is read while the one before is analysed."""

    file: File
    spooled: Path
    is_copied: bool
    next_index: int  # of the micrograph that is read next
    memory: MemoryShare | None = None
    sha256: str | None = None
    frames_total: int | None = None
    batches: list[Batch] = field(default_factory=list)
    has_picture: bool = False
    sample_prior: LoneParticles | None = None  # in nm; None where the method does not ask for it
    suspects: tuple[FormerPlace, ...] = ()  # a worker looks which of these it was before it was moved
    held: ReadDone | None = None  # what was read, while it is traced whether the file was moved
    tasks: dict[Future[StageResult], Task] = field(default_factory=dict)
    stages: dict[Stage, float] = field(default_factory=dict)  # seconds
    particles: int = 0
    diameters_nm: list[float] = field(default_factory=list)
    recorded: Recorded | None = None
    reason: str = ""
    arrival_to_result_s: float = 0.0
    task_started_s: float = 0.0  # monotonic: a task was started or has finished
    _failure: Failed | None = None  # of the first task that failed
    _read_failure: Failed | None = None  # of a read ahead, put off until what was read is recorded
    _seconds_recorded: float = 0.0

    @classmethod
    def begin(cls, file: File, spool: Path, spool_limit_bytes: int) -> Job:
        """The job of a file that was claimed; a file above the limit is read where it lies."""
        return cls(
            file=file,
            spooled=spool / f"{file.id}{file.location.suffix}",
            is_copied=file.size_bytes <= spool_limit_bytes,
            next_index=file.frames_recorded,
        )

    @property
    def about(self) -> dict[str, object]:
        """Its file, for the log."""
        return {"id": self.file.id, "sample": self.file.sample, "path": self.file.path}

    def log_start(self, stage: Stage) -> None:
        """Write a line to the log, at level debug."""
        log.debug("stage", stage=stage, **self.about)

    def took(self, stage: Stage, seconds: float) -> None:
        """Add to the time that a stage has taken."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def is_run_by(self, *executors: Executor) -> bool:
        """Whether one of these runs one of its tasks."""
        return any(task.executor in executors for task in self.tasks.values())

    @property
    def should_read_ahead(self) -> bool:
        """Whether to read its next frames now, so that no worker waits for them."""
        has_more = self.frames_total is not None and self.next_index < self.frames_total
        is_reading = any(task.stage is Stage.READ for task in self.tasks.values())
        return has_more and len(self.batches) < _BATCHES_AHEAD and not is_reading and not self._read_failure

    def add_batch(self, micrographs: tuple[Micrograph, ...], *, awaits_picture: bool) -> Batch:
        """Micrographs that were read and are analysed now."""
        batch = Batch(
            first=self.next_index,
            count=len(micrographs),
            micrographs=micrographs,
            awaits_picture=awaits_picture,
        )
        self.batches.append(batch)
        self.next_index += len(micrographs)
        return batch

    @property
    def stage(self) -> Stage:
        """The stage that it has reached."""
        return next(
            (task.stage for task in reversed(self.tasks.values()) if task.stage is not Stage.PUBLISH),
            Stage.READ,
        )

    def micrograph(self, index: int) -> Micrograph:
        """A micrograph of the batches in hand."""
        batch = self._batch(index)
        return batch.micrographs[index - batch.first]

    def add(self, result: PictureDone | Resolved | Analysed) -> None:
        """Enter a result; it may complete a batch."""
        match result:
            case PictureDone(index=index, seconds=seconds):
                self.took(Stage.PUBLISH, seconds)
                self._batch(index).awaits_picture = False
                self.has_picture = True
            case Resolved(index=index):
                self._batch(index).resolved[index] = result
            case Analysed(resolved=resolved):
                self.frames_total = result.frames_total
                for stage, seconds in result.seconds.items():
                    self.took(stage, seconds)
                by_index = {one.index: one for one in resolved}
                self.batches.append(Batch(first=min(by_index), count=len(resolved), resolved=by_index))

    def take_complete_batch(self, now: datetime) -> tuple[int, list[PackedAnalysis]] | None:
        """The first batch, ready to be recorded, with the index of its first micrograph; it is removed."""
        if not self.batches or not self.batches[0].is_complete:
            return None
        batch = self.batches.pop(0)
        spooled_image.remove(batch.micrographs)
        results = [batch.resolved[batch.first + offset] for offset in range(batch.count)]
        for resolved in results:
            self.took(Stage.RESOLVE, resolved.seconds)
            self.took(Stage.PUBLISH, resolved.seconds_pictures)
            self.particles += len(resolved.diameters_nm)
            self.diameters_nm += resolved.diameters_nm
        seconds = sum(self.stages.get(stage, 0.0) for stage in (Stage.READ, Stage.SEGMENT, Stage.RESOLVE))
        each_s = (seconds - self._seconds_recorded) / max(1, len(results))
        self._seconds_recorded = seconds
        return batch.first, [resolved.packed.at(now, each_s, self.file.settings) for resolved in results]

    def task_finished(self, future: Future[StageResult]) -> StageResult | Failed | None:
        """The outcome to go on with, now that one of its tasks has finished.

        None where a task has failed and others still run: they are waited for, so that whoever has the file
        next meets no worker that still draws a frame of it. A read that fails is put off until what was read
        before it is recorded.
        """
        task = self.tasks.pop(future)
        error = CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            failure = Failed(stage=task.stage, error=error)
            if isinstance(error, BrokenProcessPool):
                return failure  # nothing of it runs any more
            if task.stage is Stage.READ and self.batches and self._failure is None:
                self._read_failure = failure
                return None
            self._failure = self._failure or failure
        if self._failure is None:
            return future.result()
        for other in tuple(self.tasks):
            other.cancel()
        return None if self.tasks else self._failure

    def take_read_failure(self) -> Failed | None:
        """The read that failed ahead, once everything before it is recorded."""
        return None if self.batches else self._read_failure

    def discard(self) -> None:
        """Cancel tasks that have not started, and free memory and spool."""
        for batch in self.batches:
            spooled_image.remove(batch.micrographs)
        self.batches = []
        for future in tuple(self.tasks):
            future.cancel()
        self.spooled.unlink(missing_ok=True)

    def finished(self) -> Finished:
        """Summary of the file, once it is recorded."""
        assert self.recorded is not None
        ids = self.recorded.micrograph_ids
        return Finished(
            file=self.file,
            status=self.recorded.status,
            reason=self.reason,
            micrograph_id=ids[-1] if ids else None,
            frames=self.frames_total or 0,
            particles=self.particles,
            diameters_nm=tuple(self.diameters_nm),
            stages={str(stage): seconds for stage, seconds in self.stages.items()},
            arrival_to_result_s=self.arrival_to_result_s,
        )

    def _batch(self, index: int) -> Batch:
        return next(batch for batch in self.batches if batch.first <= index < batch.first + batch.count)


class TaskFinished(NamedTuple):
    """Mail for the conductor: a task of a job has finished."""

    job: Job
    future: Future[StageResult]
