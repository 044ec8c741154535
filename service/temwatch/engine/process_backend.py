"""The backend of this machine: worker processes, and threads that share the segmenter.

While a micrograph is segmented, a worker draws its picture: the only one that needs the pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from temwatch import library_internals, memory, operating_system
from temwatch.config import Config
from temwatch.domain import Method, Micrograph, Segmenter, Stage
from temwatch.engine import orders, tasks, worker_processes
from temwatch.engine.backend import OnFinished
from temwatch.engine.futures import when_done
from temwatch.engine.job import Executor, Job, MemoryShare, Task
from temwatch.engine.measuring_again import SegmentedAgain, Workers
from temwatch.engine.methods import Methods
from temwatch.engine.outcomes import ReadDone, Segmented, StageResult
from temwatch.engine.sample_prior import with_prior
from temwatch.engine.segmentation_pool import SegmentationPool
from temwatch.ledger.moves import FormerPlace

_Order = TypeVar("_Order")
_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class ProcessBackend:
    """Fulfils `Backend`."""

    def __init__(self, config: Config, segmenter: Segmenter, method: Method, on_finished: OnFinished) -> None:
        self._config = config
        self.methods = Methods(config, segmenter, method)
        self._on_finished = on_finished
        cores = operating_system.usable_cores()
        self._workers = config.engine.workers or cores
        self._pool: worker_processes.WorkerPool | None = None
        self._segmentation_pool = SegmentationPool(segmenter, cores)
        # a full batch for the segmenter waits while every worker has something to do
        self._capacity = 2 * self._workers + segmenter.together

    @property
    def dashboard(self) -> None:
        """None: the service's own page shows the work."""
        return

    @property
    def capacity(self) -> int:
        """Files that may be in hand at once."""
        return self._capacity

    def start(self) -> None:
        """Start the workers, and return when the first has compiled its code."""
        self.replace_workers().result()

    def replace_workers(self) -> Future[int]:
        """Start others and kill those there were, without waiting for either; the future is the first's."""
        old = self._pool
        self._pool, first = worker_processes.start(self._workers, self._config.separation.method)
        if old is not None:
            library_internals.kill_workers(old)
        return first

    def close(self) -> None:
        """End workers and threads."""
        if self._pool is not None:
            library_internals.kill_workers(self._pool)
        self._segmentation_pool.close()

    def is_worker_death(self, error: BaseException) -> bool:
        """Every task in a pool with a dead worker fails with it."""
        return isinstance(error, BrokenProcessPool)

    def restart_workers(self, jobs: Sequence[Job], failed: Job | None) -> list[Job]:
        """All tasks of the pool are lost, and any of them may be the one that the worker died of."""
        self.replace_workers()
        return [job for job in jobs if job is failed or job.is_run_by(Executor.WORKER_PROCESS)]

    @property
    def has_dead_worker(self) -> bool:
        """Whether a worker has died since the last start."""
        return self._pool is not None and library_internals.has_dead_worker(self._pool)

    def submit(
        self, task: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> Future[_Result]:
        """Have a worker do something, from any thread; see `worker_processes.submit`."""
        assert self._pool is not None
        return worker_processes.submit(self._pool, None, task, *arguments, **named)

    def workers(self, is_source_up: Callable[[], bool]) -> Workers:
        """What requests have the workers do."""

        def segment(order: orders.ReadOrder, polarity: str) -> Future[SegmentedAgain] | None:
            return self._segment_again(order, polarity) if is_source_up() else None

        budget_bytes = memory.budget_bytes(self._workers)
        return Workers(
            resolve=lambda order: self.submit(tasks.resolve, order),
            segment=segment,
            together=self._workers,
            share=MemoryShare(budget_bytes // self._capacity, budget_bytes),
        )

    def _segment_again(self, order: orders.ReadOrder, polarity: str) -> Future[SegmentedAgain]:
        """Read and segment a micrograph that has its row."""
        result: Future[SegmentedAgain] = Future()

        def segmented(found: StageResult) -> None:
            assert isinstance(found, Segmented)
            segmenter = self._segmentation_pool.segmenter(polarity)
            result.set_result(SegmentedAgain(found.segmentation, segmenter))

        def read(micrograph: Micrograph) -> None:
            when_done(self._segmentation_pool.submit(micrograph.image, 0, polarity), result, segmented)

        result.add_done_callback(lambda _: order.pixels(order.first).unlink(missing_ok=True))
        when_done(self.submit(tasks.read_again, order), result, read)
        return result

    def busy(self) -> dict[int, int | None]:
        """Worker processes that have something in hand, and which file."""
        return {} if self._pool is None else self._pool.busy()

    @property
    def segmentation_pool(self) -> SegmentationPool:
        """The threads of this process."""
        return self._segmentation_pool

    def trace(self, job: Job, suspects: tuple[FormerPlace, ...]) -> None:
        """Have a worker look which of the files that a job may have been is gone: a share may not answer."""
        self._start_in_worker(job, Stage.READ, tasks.trace, suspects)

    def read(self, job: Job) -> None:
        """By a worker, from the share into the spool."""
        job.log_start(Stage.READ)
        self._start_in_worker(job, Stage.READ, tasks.read, orders.read_order(job, self._config))

    def analyse(self, job: Job, read: ReadDone) -> None:
        """Segment every micrograph; meanwhile the picture of a single one is drawn."""
        first = job.next_index
        is_single = job.is_copied and job.frames_total is None
        drawn_meanwhile = is_single and orders.is_drawn(
            read.micrographs[0], orders.picture_every_frames(self._config)
        )
        batch = job.add_batch(read.micrographs, awaits_picture=drawn_meanwhile)
        if drawn_meanwhile:
            order = orders.picture_order(job, batch.micrographs[0], self._config)
            self._start_in_worker(job, Stage.PUBLISH, tasks.draw_micrograph, order)
        job.log_start(Stage.SEGMENT)
        for index, micrograph in enumerate(batch.micrographs, first):
            self._start(
                job,
                Task(Stage.SEGMENT, Executor.THREAD),
                self._segmentation_pool.submit(
                    micrograph.image, index, self.methods.polarity(job.file.settings)
                ),
            )

    def resolve(self, job: Job, segmented: Segmented) -> None:
        """By a worker, which also draws all pictures of a frame or of a file that is not in the spool."""
        job.log_start(Stage.RESOLVE)
        micrograph = job.micrograph(segmented.index)
        is_stack = job.frames_total is not None
        is_drawn = orders.is_drawn(micrograph, orders.picture_every_frames(self._config))
        order = orders.AnalyseOrder(
            index=segmented.index,
            resolve=orders.ResolveOrder(
                pixel_size_nm=micrograph.pixel_size_nm,
                segmentation=with_prior(segmented.segmentation, job.sample_prior, micrograph.pixel_size_nm),
                separation=self.methods.separation(job.file.settings),
                method=self.methods.method(job.file.settings),
            ),
            origin=orders.origin(micrograph),
            drawing=orders.drawing(job, micrograph, self._config)
            if is_drawn and (is_stack or not job.is_copied)
            else None,
        )
        self._start_in_worker(job, Stage.RESOLVE, tasks.analyse, order)

    def _start_in_worker(
        self, job: Job, stage: Stage, task: Callable[[_Order], StageResult], order: _Order
    ) -> None:
        job.task_started_s = time.monotonic()
        assert self._pool is not None
        future = worker_processes.submit(self._pool, job.file.id, task, order)
        self._start(job, Task(stage, Executor.WORKER_PROCESS), future)

    def _start(self, job: Job, task: Task, future: Future[StageResult]) -> None:
        job.tasks[future] = task
        future.add_done_callback(lambda done: self._on_finished(job, done))
