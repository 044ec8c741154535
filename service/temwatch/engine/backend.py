"""The interface between the conductor and the workers that analyse files.

`ProcessBackend` uses the processes of this machine, `DaskBackend` a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from temwatch.engine.job import Job
from temwatch.engine.outcomes import ReadDone, Segmented, StageResult

OnFinished = Callable[[Job, "Future[StageResult]"], None]
"""Called, from any thread, when a task of a job has finished."""


class Backend(Protocol):
    """Starts the tasks of a file; each is entered in the job, and its end goes to an `OnFinished`."""

    @property
    def dashboard(self) -> str | None:
        """Address of a page that shows the work, where there is one."""

    @property
    def capacity(self) -> int:
        """Files that may be in hand at once."""

    def start(self) -> None:
        """Start the workers, and return when they can work."""

    def close(self) -> None:
        """End the workers at once; what they were doing goes back to the ledger."""

    def read(self, job: Job) -> None:
        """Have the file, or its next frames, read; ends in `ReadDone`."""

    def analyse(self, job: Job, read: ReadDone) -> None:
        """Have what was read analysed; ends in `Analysed`, or in a `Segmented` for each micrograph."""

    def resolve(self, job: Job, segmented: Segmented) -> None:
        """Have a segmentation turned into particles; ends in `Resolved`."""

    def is_worker_death(self, error: BaseException) -> bool:
        """Whether this error of a task says that its worker process died."""

    def restart_workers(self, jobs: Sequence[Job], failed: Job | None) -> list[Job]:
        """Replace workers that died, without waiting; gives the jobs they may have died of.

        Parameters
        ----------
        jobs : sequence of Job
            All that are in hand.
        failed : Job or None
            The one whose task has failed with it, where there is one.
        """
