"""Callbacks of the engine, and its status for others to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from temwatch.engine.job import Finished, Job
from temwatch.health import FileInHand
from temwatch.ledger import File

_A_WHILE_SECONDS = 1.0


@dataclass(slots=True)
class EngineStatus:
    """Where the engine stands; written by its thread, read by others."""

    turned_s: float = 0.0  # monotonic: last turn of its loop; 0 before the first
    in_hand: int = 0
    last_finished: str = ""
    workers_hung: int = 0
    hanging_s: float = 0.0  # how long a worker that was not replaced has not advanced
    files_in_hand: tuple[FileInHand, ...] = ()
    writing_workbook: str = ""  # sample whose workbook is being written and takes a while
    on_picture: Callable[[], None] = lambda: None  # a file has its picture, and no outlines yet

    def works_on(self, jobs: Sequence[Job], workbook: tuple[str, float] | None = None) -> None:
        """The files in hand now, and the sample whose workbook is being written, with since when."""
        takes_a_while = workbook is not None and time.monotonic() - workbook[1] > _A_WHILE_SECONDS
        self.writing_workbook = workbook[0] if workbook is not None and takes_a_while else ""
        before = {one.file_id for one in self.files_in_hand if one.has_picture}
        self.in_hand = len(jobs)
        self.files_in_hand = tuple(
            FileInHand(file_id=job.file.id, stage=str(job.stage), has_picture=job.has_picture) for job in jobs
        )
        if {one.file_id for one in self.files_in_hand if one.has_picture} - before:
            self.on_picture()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHooks:
    """What the engine calls, always from its own thread.

    Parameters
    ----------
    on_finished : callable
        Called when a file has its rows and pictures, or its reason.
    on_frames : callable
        Called with a stack, its frames recorded so far, and all its frames.
    is_source_up : callable
        Whether the files can be reached; while they cannot, none is begun and no attempt counts.
    is_output_writable : callable
        Whether results can be written, as far as is known; while they cannot, nothing is begun or published.
    check_output : callable
        The same, asked anew after a failure.
    on_decided : callable
        Called with a sample in which somebody has changed something, or that was measured again since.
    check_device : callable
        Called after a failed segmentation; raises StartError where the device no longer works.
    """

    on_finished: Callable[[Finished], None] = lambda _: None
    on_frames: Callable[[File, int, int], None] = lambda *_: None
    is_source_up: Callable[[], bool] = lambda: True
    is_output_writable: Callable[[], bool] = lambda: True
    check_output: Callable[[], bool] = lambda: True
    check_device: Callable[[], None] = lambda: None
    on_decided: Callable[[str], None] = lambda _: None
