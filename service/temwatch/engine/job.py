"""One file on its way through the stages, and what the engine tells of it and of itself."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from temwatch.domain import Micrograph, Segmentation, Status
from temwatch.engine import work
from temwatch.ledger import File


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
    resolved: dict[int, work.ResolveResult] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    particles: int = 0
    diameters_nm: list[float] = field(default_factory=list)
    seconds_recorded: float = 0.0
    running: set[Future[object]] = field(default_factory=set)
    failed: Future[object] | None = None  # the first task that failed
    using_pool: bool = False
    since_s: float = 0.0  # monotonic: last sign of a worker that has it in hand

    def took(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage has taken."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def came_back(self, future: Future[object]) -> bool:
        """One of its tasks is done; False where it has failed and others of them still run.

        They are waited for, so that whoever has the file next meets no worker that still draws a frame of it.
        """
        self.running.discard(future)
        error = None if future.cancelled() else future.exception()
        died = isinstance(error, BrokenProcessPool)
        if died or (error and self.failed is None):
            self.failed = future
        if died or self.failed is None:
            return True
        for other in tuple(self.running):
            other.cancel()
        return not self.running

    def outcome(self, future: Future[object]) -> object:
        """What the task gave, or the error of the first that failed."""
        return (self.failed or future).result()
