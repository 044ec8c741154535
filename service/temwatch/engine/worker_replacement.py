"""Replaces workers that died, or that have something in hand and do not advance."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from temwatch.engine import retry
from temwatch.engine.backend import Backend
from temwatch.engine.hang import HangDetector, HangReport
from temwatch.engine.hooks import EngineHooks, EngineStatus
from temwatch.engine.job import Executor, Job
from temwatch.engine.moved_files import MovedFiles
from temwatch.engine.process_backend import ProcessBackend
from temwatch.engine.recovery import Recovery
from temwatch.engine.sequence_tracker import SequenceTracker
from temwatch.errors import StartError

log = structlog.get_logger(__name__)


class WorkerReplacement:
    """Part of the conductor, see `Engine`.

    Parameters
    ----------
    backend, processes, sequence_tracker, jobs, hooks, status
        Those of the engine.
    moved_files : MovedFiles
        Told of a file whose worker hung on the former place of another.
    recovery : Recovery
        Takes jobs that a worker may have died of or hung on, and those that only lost their worker.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        processes: ProcessBackend,
        sequence_tracker: SequenceTracker,
        jobs: Sequence[Job],
        hooks: EngineHooks,
        status: EngineStatus,
        moved_files: MovedFiles,
        recovery: Recovery,
    ) -> None:
        self._backend = backend
        self._processes = processes
        self._sequence_tracker = sequence_tracker
        self._jobs = jobs
        self._hooks = hooks
        self._status = status
        self._moved_files = moved_files
        self._recovery = recovery
        self._hang_detector = HangDetector(
            lambda: processes.busy() | sequence_tracker.busy(),
            processes.segmentation_pool.busy,
            processes.segmentation_pool.helpers,
        )
        self._segmentation_hangs = 0  # in succession

    def turn(self) -> None:
        """Look for workers to replace."""
        self._look_for_dead_workers()
        hung = self._hang_detector.look()
        self._status.workers_hung = self._hang_detector.workers_hung
        self._status.hanging_s = self._hang_detector.hanging_s
        self.replace(hung)

    def replace(self, hung: HangReport) -> None:
        """Begin anew with what hangs."""
        if hung.segmentation:
            self._begin_segmentation_anew()
        if hung.processes:
            self._replace_processes(hung.processes, hung.files)

    def segmentation_advances(self) -> None:
        """A micrograph was segmented."""
        self._segmentation_hangs = 0

    def worker_died(self, failed: Job | None = None) -> None:
        """A worker process ended: start new ones, and run what it may have died of alone."""
        suspects = self._backend.restart_workers(self._jobs, failed)
        log.error("a worker process died", in_hand=[(job.file.id, job.file.path) for job in suspects])
        for job in suspects:
            self._recovery.set_back(job)

    def _look_for_dead_workers(self) -> None:
        """Replace workers that died writing an output folder, or take too long although the share answers."""
        is_told_by_job = any(job.is_run_by(Executor.WORKER_PROCESS) for job in self._jobs)
        if self._processes.has_dead_worker and not is_told_by_job:
            self.worker_died()
        limit_s = time.monotonic() - retry.STUCK_SECONDS
        too_long = [
            job
            for job in self._jobs
            if job.is_run_by(Executor.WORKER_PROCESS, Executor.CLUSTER) and job.task_started_s < limit_s
        ]
        if too_long and self._hooks.is_source_up():
            self.worker_died(too_long[0])

    def _begin_segmentation_anew(self) -> None:
        self._hooks.check_device()  # a device that fails ends the service
        self._segmentation_hangs += 1
        if self._segmentation_hangs > 1:  # whatever holds it is in this process
            raise StartError("the segmentation hangs, though it was begun anew")
        log.error("the segmentation hangs, beginning anew")
        self._processes.segmentation_pool.abandon()

    def _replace_processes(self, pids: frozenset[int], files: frozenset[int]) -> None:
        """The file that a worker hangs on is to blame, unless its share is gone, or it looks at another."""
        log.error("a worker process hangs, replacing it", processes=sorted(pids))
        is_of_pool = bool(pids & self._processes.busy().keys())
        self._sequence_tracker.replace_hung(pids)
        if not is_of_pool:
            return
        for job in self._processes.restart_workers(self._jobs, None):
            if job.file.id not in files or not self._hooks.is_source_up():
                self._recovery.put_back(job)
            elif job.suspects:
                self._moved_files.gave_no_answer(job)
                self._recovery.put_back(job)
            else:
                self._recovery.set_back(job)
