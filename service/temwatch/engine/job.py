"""One file on its way through the stages, and what the engine tells of it and of itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from temwatch.domain import Image, Micrograph, Segmentation, Status
from temwatch.engine import work
from temwatch.ledger import File, Recorded


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
    tasks: int = 0  # that workers have in hand
    since_s: float = 0.0  # monotonic: last sign of a worker that has it in hand

    def took(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage has taken."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    @property
    def using_pool(self) -> bool:
        """Whether a worker has something of it in hand."""
        return self.tasks > 0

    def images(self) -> list[Image]:
        """What there is to segment."""
        return [micrograph.image for micrograph in self.micrographs]


Post = Callable[[Future[Any], Job, str, int], None]
"""Tells the conductor of a task that is done: its outcome, the job, the stage and the frame of the batch."""


class Way(Protocol):
    """How files are analysed: by the processes of this machine, or by a cluster."""

    room: int
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

    def died(self, error: BaseException) -> bool:
        """Whether the failure of a task means that a worker died."""
