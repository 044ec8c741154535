"""One file on its way through the stages, and what the engine tells of it and of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import structlog

from temwatch.domain import Micrograph, Status
from temwatch.engine import tasks
from temwatch.ledger import File, PackedAnalysis, Recorded

log = structlog.get_logger(__name__)

_BATCHES = 2


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
class Batch:
    """A micrograph, or frames of a stack that were read together, until their rows are recorded."""

    first: int  # frame of the stack
    frames: int
    micrographs: tuple[Micrograph, ...] = ()
    resolved: dict[int, tasks.Resolved] = field(default_factory=dict)
    undrawn: bool = False  # its picture must be there before its rows are

    @property
    def is_complete(self) -> bool:
        """Whether it can be recorded."""
        return len(self.resolved) == self.frames and not self.undrawn


@dataclass(slots=True, eq=False)
class Job:
    """One file on its way; of a stack, one batch is read while the one before is worked on."""

    file: File
    spooled: Path
    copied: bool
    first: int  # frame that is read next
    sha256: str | None = None
    frames_total: int | None = None
    batches: list[Batch] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    particles: int = 0
    diameters_nm: list[float] = field(default_factory=list)
    seconds_recorded: float = 0.0
    recorded: Recorded | None = None
    reason: str = ""
    arrival_to_result_s: float = 0.0
    running: dict[Future[Any], str] = field(default_factory=dict)  # tasks in hand, by stage
    failed: tuple[Future[Any], str] | None = None  # the first task that failed
    ahead: Future[Any] | None = None  # a read that failed while there was something to record
    since_s: float = 0.0  # monotonic: last sign of a worker that has it in hand

    def begins(self, stage: str) -> None:
        """Say so in the log."""
        log.debug("stage", stage=stage, id=self.file.id, path=self.file.path)

    def took(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage has taken."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    @property
    def using_pool(self) -> bool:
        """Whether a worker process, or a cluster, has something of it in hand."""
        return any(stage != "segment" for stage in self.running.values())

    @property
    def wants_more(self) -> bool:
        """Whether the next frames are to be read, so that nobody waits for them."""
        left = self.frames_total is not None and self.first < self.frames_total
        return (
            left and len(self.batches) < _BATCHES and "read" not in self.running.values() and not self.ahead
        )

    def results(self, now: datetime) -> list[PackedAnalysis]:
        """What was found in the first batch, ready to be recorded; the batch is let go."""
        batch = self.batches.pop(0)
        found = [batch.resolved[index] for index in range(batch.frames)]
        for resolved in found:
            self.took("resolve", resolved.seconds)
            self.took("publish", resolved.seconds_pictures)
            self.particles += len(resolved.diameters_nm)
            self.diameters_nm += resolved.diameters_nm
        seconds = sum(self.stages.get(stage, 0.0) for stage in ("read", "segment", "resolve"))
        each_s, self.seconds_recorded = (seconds - self.seconds_recorded) / max(1, len(found)), seconds
        return [resolved.packed.at(now, each_s) for resolved in found]

    def finished(self) -> Finished:
        """What is told of it once it is recorded."""
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
            stages=self.stages,
            arrival_to_result_s=self.arrival_to_result_s,
        )

    def came_back(self, future: Future[Any], stage: str) -> tuple[Future[Any], str] | None:
        """One of its tasks is done: what to go on with, this one or the first that failed, and its stage.

        None where one has failed and others still run. They are waited for, so that whoever has the file next
        meets no worker that still draws a frame of it. Before a read that fails, what was read is recorded.
        """
        self.running.pop(future, None)
        error = None if future.cancelled() else future.exception()
        if isinstance(error, BrokenProcessPool):
            return future, stage  # nothing of it runs any more
        if error and stage == "read" and self.batches and self.failed is None:
            self.ahead = future
            return None
        if error and self.failed is None:
            self.failed = future, stage
        if self.failed is None:
            return future, stage
        for other in tuple(self.running):
            other.cancel()
        return None if self.running else self.failed


Post = Callable[[Future[Any], Job, str, int], None]
"""Tells the conductor of a task that is done: its outcome, the job, the stage and the frame of the stack."""


class Backend(Protocol):
    """How files are analysed: by the processes of this machine, or by a cluster."""

    @property
    def dashboard(self) -> str | None:
        """Address of a page that shows the work, where there is one."""

    @property
    def room(self) -> int:
        """Files that may be in hand at once."""

    def start(self) -> None:
        """Start the workers, or start them anew where one has died."""

    def close(self) -> None:
        """End the workers at once; what they were doing goes back to the ledger."""

    def read(self, job: Job) -> None:
        """Have the next of a file read; ends in a post of stage "read"."""

    def analyse(self, job: Job, read: tasks.ReadResult) -> None:
        """Have what was read analysed; every post on the way goes to `advance`."""

    def advance(self, job: Job, stage: str, index: int, outcome: Any) -> None:
        """Take the next step; at the last, a batch of the job is complete."""

    def seen(self, job: Job, read: tasks.ReadResult | None) -> tasks.ReadResult | None:
        """What was read; None where that takes another task, whose end is posted as "read" again."""

    def died(self, error: BaseException) -> bool:
        """Whether the failure of a task means that a worker died."""

    def bury(self, jobs: Sequence[Job], job: Job | None) -> list[Job]:
        """Start what has died anew; gives those of `jobs` that were in its hands, `job` told of it."""
