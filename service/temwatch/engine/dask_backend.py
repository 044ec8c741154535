"""The backend of a Dask cluster; the only module that knows dask.

A file is first hashed where it lies, so that what the ledger has already is never sent. Then one task reads,
segments, separates and measures it on a worker of the cluster, which holds the segmenter once. It returns
rows for the ledger and the micrograph's picture; everything is written on this machine. Workers read from a
file system that they share with this machine; those that do not see the file are sent its bytes.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import structlog
from distributed import Client, KilledWorker, Worker, get_worker
from distributed import Future as DaskFuture

from temwatch.acquisition import spool
from temwatch.analysis import pipeline, segmentation
from temwatch.config import Config, SegmentationSettings, SeparationSettings
from temwatch.domain import Method, Segmenter, Stage
from temwatch.engine import orders, tasks
from temwatch.engine.backend import OnFinished
from temwatch.engine.futures import when_done
from temwatch.engine.job import Executor, Job, Task
from temwatch.engine.outcomes import Analysed, ReadDone, Resolved, Segmented, StageResult
from temwatch.engine.process_backend import ProcessBackend
from temwatch.engine.sample_prior import with_prior
from temwatch.errors import StartError, Unreadable
from temwatch.lone_particles import LoneParticles
from temwatch.outputs import paths, pictures

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 10.0
_COUNT_SECONDS = 2.0
_TASKS_PER_THREAD = 2  # of the cluster: while one is worked on, the next is on its way

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOrder:
    """One file for a worker; `size_bytes` and `mtime_ns` tell whether it sees the same one."""

    read: orders.ReadOrder
    size_bytes: int
    mtime_ns: int
    segmentation: SegmentationSettings
    separation: SeparationSettings
    method: Method
    picture_every_frames: int | None
    content: bytes | None = None
    sample_prior: LoneParticles | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterResult:
    """What a worker returns of a file; pictures are png by the beginning of their names."""

    analysed: Analysed
    micrographs_png: dict[str, bytes]


class DaskBackend:
    """Fulfils `Backend`; workers of this machine do what has to be read or written here."""

    def __init__(self, config: Config, on_finished: OnFinished, processes: ProcessBackend) -> None:
        self._config = config
        self._on_finished = on_finished
        self._processes = processes
        self._methods = processes.methods
        self._submitted: set[DaskFuture] = set()
        self._capacity, self._counted_s = 0, 0.0
        address = config.engine.dask
        try:
            self._client = Client(address, timeout=_ANSWER_SECONDS, set_as_default=False, name="temwatch")
        except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError
            text = str(error) or type(error).__name__
            raise StartError(f"no Dask scheduler answers at {address}: {text.splitlines()[0]}") from None
        log.info("cluster", scheduler=address, dashboard=self._client.dashboard_link)

    @property
    def dashboard(self) -> str:
        """The cluster's own page."""
        return str(self._client.dashboard_link)

    @property
    def capacity(self) -> int:
        """As many files as the cluster can work on, and as many again on their way; workers come and go."""
        if time.monotonic() - self._counted_s > _COUNT_SECONDS:
            self._capacity = _TASKS_PER_THREAD * max(1, sum(self._client.nthreads().values()))
            self._counted_s = time.monotonic()
        return self._capacity

    def start(self) -> None:
        """Start the workers of this machine; those of the cluster run already."""
        self._processes.start()

    def close(self) -> None:
        """Cancel the tasks of the cluster, and end the workers of this machine."""
        for task in list(self._submitted):
            task.cancel()
        self._client.close(timeout=_ANSWER_SECONDS)
        self._processes.close()

    def is_worker_death(self, error: BaseException) -> bool:
        """The scheduler tries a file on several workers before it says so."""
        return isinstance(error, KilledWorker) or self._processes.is_worker_death(error)

    def restart_workers(self, jobs: Sequence[Job], failed: Job | None) -> list[Job]:
        """Only those of this machine; the other files go on in the cluster."""
        if self._processes.has_dead_worker:
            self._processes.replace_workers()
        return [job for job in jobs if job is failed]

    def read(self, job: Job) -> None:
        """Hash it on a worker that sees it, else read its content on this machine."""
        result = self._start(job, Stage.READ)

        def hashed(read: ReadDone | None) -> None:
            if read is not None:
                result.set_result(read)
            else:
                content = self._processes.submit(tasks.read_content, orders.read_order(job, self._config))
                when_done(content, result, result.set_result)

        self._ask(hash_in_place, self._order(job), result, hashed)

    def analyse(self, job: Job, read: ReadDone) -> None:
        """Everything else in one task; then the pictures are written on this machine."""
        result = self._start(job, Stage.SEGMENT)

        def analysed(answer: ClusterResult) -> None:
            if not answer.micrographs_png:
                result.set_result(answer.analysed)
                return

            def written(seconds: float) -> None:
                spent = {**answer.analysed.seconds, Stage.PUBLISH: seconds}
                result.set_result(replace(answer.analysed, seconds=spent))

            folder = orders.artifact_folder(self._config, job.file)
            pictures_written = self._processes.submit(tasks.write_drawn, folder, answer.micrographs_png)
            when_done(pictures_written, result, written)

        self._ask(analyse, replace(self._order(job), content=read.content), result, analysed)

    def resolve(self, job: Job, segmented: Segmented) -> None:
        """On this machine; the cluster resolves what it has segmented in the same task."""
        self._processes.resolve(job, segmented)

    def _order(self, job: Job) -> ClusterOrder:
        config = self._config
        return ClusterOrder(
            read=replace(
                orders.read_order(job, config),
                spooled=Path(job.file.name + job.spooled.suffix),
                memory=None,  # each worker of the cluster has its own
                small_pictures=None,  # workers of the cluster write only to their spool: no film
            ),
            size_bytes=job.file.size_bytes,
            mtime_ns=job.file.mtime_ns,
            segmentation=config.segmentation.model_copy(
                update={"particles": self._methods.polarity(job.file.settings)}
            ),
            separation=self._methods.separation(job.file.settings),
            method=self._methods.method(job.file.settings),
            picture_every_frames=orders.picture_every_frames(config),
            sample_prior=job.sample_prior,
        )

    def _start(self, job: Job, stage: Stage) -> Future[StageResult]:
        """A task of the job, whose result comes when the last of its steps is done."""
        job.task_started_s = time.monotonic()
        result: Future[StageResult] = Future()
        result.set_running_or_notify_cancel()  # what a worker has begun is waited for
        job.tasks[result] = Task(stage, Executor.CLUSTER)
        result.add_done_callback(lambda done: self._on_finished(job, done))
        return result

    def _ask(
        self,
        task: Callable[[ClusterOrder], _Result],
        order: ClusterOrder,
        result: Future[StageResult],
        then: Callable[[_Result], None],
    ) -> None:
        """Have the cluster do `task`, then go on with its return value; an error ends in `result`."""
        with warnings.catch_warnings():
            # content travels with its task, through the scheduler: data kept on a worker are lost with it
            warnings.filterwarnings("ignore", message="Sending large graph")
            submitted = self._client.submit(task, order, pure=False)
        self._submitted.add(submitted)

        def answered(future: DaskFuture) -> None:
            self._submitted.discard(future)
            try:
                then(future.result())
            except CancelledError:
                result.set_exception(StartError(f"the Dask scheduler at {self._config.engine.dask} is gone"))
            except Exception as error:  # noqa: BLE001 - as in any executor, the future carries it
                result.set_exception(error)

        submitted.add_done_callback(answered)


def hash_in_place(order: ClusterOrder) -> ReadDone | None:
    """On a worker: the sha256 of a file, None where it is not seen here, or another one is."""
    started = time.monotonic()
    try:
        status = order.read.source.stat()
    except OSError:
        return None
    if (status.st_size, status.st_mtime_ns) != (order.size_bytes, order.mtime_ns):
        return None
    tasks.check_header(order.read)
    sha256 = spool.fetch(order.read.source, None)
    return ReadDone(sha256=sha256, seconds=time.monotonic() - started)


def analyse(order: ClusterOrder) -> ClusterResult:
    """On a worker: everything from the file to the rows of its particles.

    Raises
    ------
    StartError
        This worker would find other particles: it has another version of temwatch, or other weights.
    Unreadable
        The file has changed since it was hashed.
    """
    worker = get_worker()
    segmenter = _segmenter(worker, order.segmentation)
    method = pipeline.describe(segmenter, order.separation)
    if method.digest != order.method.digest:
        raise StartError(
            f"the worker {worker.address} has other weights or another version "
            f"({method.software_version}, here {order.method.software_version})"
        )
    with tempfile.TemporaryDirectory(prefix="temwatch-", dir=worker.local_directory) as folder:
        return _analyse_in(Path(folder), order, segmenter)


def _analyse_in(folder: Path, order: ClusterOrder, segmenter: Segmenter) -> ClusterResult:
    """The same with a folder for copies, which is gone afterwards."""
    read, read_s, segment_s = replace(order.read, spooled=folder / order.read.spooled.name), 0.0, 0.0
    if order.content is not None:
        read.spooled.write_bytes(order.content)
        read = replace(read, copy=True)
    elif read.copy:
        started = time.monotonic()
        if spool.fetch(read.source, read.spooled) != read.sha256:
            raise Unreadable("changed", "changed while it was read; it is analysed again once it is complete")
        read_s = time.monotonic() - started
    resolved: list[Resolved] = []
    png: dict[str, bytes] = {}
    for batch in _batches(read):
        read_s += batch.seconds
        started = time.monotonic()
        segmentations = segmenter.segment([micrograph.image for micrograph in batch.micrographs])
        segment_s += time.monotonic() - started
        for micrograph, one in zip(batch.micrographs, segmentations, strict=True):
            resolve = orders.ResolveOrder(
                pixel_size_nm=micrograph.pixel_size_nm,
                segmentation=with_prior(one, order.sample_prior, micrograph.pixel_size_nm),
                separation=order.separation,
                method=order.method,
            )
            index = order.read.first + len(resolved)
            resolved.append(
                tasks.analyse(
                    orders.AnalyseOrder(index=index, resolve=resolve, origin=orders.origin(micrograph))
                )
            )
            if orders.is_drawn(micrograph, order.picture_every_frames):
                name = orders.picture_name(
                    order.read.spooled.stem, micrograph, in_stack=batch.frames_total is not None
                )
                pictures.write_micrograph(folder, "drawn", micrograph.image, micrograph.pixel_size_nm)
                png[name] = paths.picture(folder, "drawn", "micrograph").read_bytes()
    return ClusterResult(
        analysed=Analysed(
            resolved=tuple(resolved),
            frames_total=batch.frames_total,
            seconds={Stage.READ: read_s, Stage.SEGMENT: segment_s},
        ),
        micrographs_png=png,
    )


def _batches(read: orders.ReadOrder) -> Iterator[ReadDone]:
    """A micrograph, or the frames of a stack as many at a time as memory should hold."""
    first = read.first
    while True:
        batch = tasks.read(replace(read, first=first))
        yield batch
        first += len(batch.micrographs)
        if batch.frames_total is None or first >= batch.frames_total:
            return


def _segmenter(worker: Worker, settings: SegmentationSettings) -> Segmenter:
    """The segmenter of this worker, built for its first file and kept by the worker for the next."""
    segmenters: dict[SegmentationSettings, Segmenter] = vars(worker).setdefault("temwatch_segmenters", {})
    same_network = settings.model_copy(update={"particles": "dark"})
    segmenter = segmenters.get(same_network)
    if segmenter is None:
        segmenter = segmentation.build(same_network)
        segmenters.clear()  # a network takes much memory: the last one only
        segmenters[same_network] = segmenter
    return segmentation.for_particles(segmenter, settings.particles)
