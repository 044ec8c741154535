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

from temwatch.domain import Image, Micrograph, Segmentation, Status
from temwatch.engine import work
from temwatch.ledger import File, Packed, Recorded

log = structlog.get_logger(__name__)


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
class Job:
    """One file on its way; for a stack, the batch of frames that is in hand."""

    file: File
    spooled: Path
    copied: bool
    first: int
    sha256: str | None = None
    frames_total: int | None = None
    micrographs: tuple[Micrograph, ...] = ()
    segmentations: list[Segmentation] = field(default_factory=list)
    resolved: dict[int, work.Resolved] = field(default_factory=dict)
    undrawn: bool = False  # its picture must be there before its rows are
    stages: dict[str, float] = field(default_factory=dict)
    particles: int = 0
    diameters_nm: list[float] = field(default_factory=list)
    seconds_recorded: float = 0.0
    recorded: Recorded | None = None
    reason: str = ""
    arrival_to_result_s: float = 0.0
    running: dict[Future[Any], str] = field(default_factory=dict)  # tasks in hand, by stage
    failed: tuple[Future[Any], str] | None = None  # the first task that failed
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

    def results(self, now: datetime) -> list[Packed]:
        """What was found in the batch, ready to be recorded; the batch is let go."""
        found = [self.resolved[index] for index in range(len(self.resolved))]
        for resolved in found:
            self.took("resolve", resolved.seconds)
            self.took("publish", resolved.seconds_pictures)
            self.particles += len(resolved.diameters_nm)
            self.diameters_nm += resolved.diameters_nm
        seconds = sum(self.stages.get(stage, 0.0) for stage in ("read", "segment", "resolve"))
        each_s, self.seconds_recorded = (seconds - self.seconds_recorded) / max(1, len(found)), seconds
        self.resolved, self.micrographs = {}, ()
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
        meets no worker that still draws a frame of it.
        """
        self.running.pop(future, None)
        error = None if future.cancelled() else future.exception()
        if isinstance(error, BrokenProcessPool):
            return future, stage  # nothing of it runs any more
        if error and self.failed is None:
            self.failed = future, stage
        if self.failed is None:
            return future, stage
        for other in tuple(self.running):
            other.cancel()
        return None if self.running else self.failed

    def images(self) -> list[Image]:
        """What there is to segment."""
        return [micrograph.image for micrograph in self.micrographs]


Post = Callable[[Future[Any], Job, str, int], None]
"""Tells the conductor of a task that is done: its outcome, the job, the stage and the frame of the batch."""


class Way(Protocol):
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

    def analyse(self, job: Job) -> None:
        """Have what was read analysed; every post on the way goes to `advance`."""

    def advance(self, job: Job, stage: str, index: int, outcome: Any) -> bool:
        """Take the next step; True once every frame of the batch is in `job.resolved`."""

    def seen(self, job: Job, read: work.ReadResult | None) -> work.ReadResult | None:
        """What was read; None where that takes another task, whose end is posted as "read" again."""

    def died(self, error: BaseException) -> bool:
        """Whether the failure of a task means that a worker died."""

    def bury(self, jobs: Sequence[Job], job: Job | None) -> list[Job]:
        """Start what has died anew; gives those of `jobs` that were in its hands, `job` told of it."""
