"""The way of a file through a Dask cluster; the only module that knows of dask.

A file is first hashed where it lies, so that what the ledger knows is never shipped. Then one task reads,
segments, separates and measures it on a worker, which holds the network once. What comes back are rows of the
ledger and the micrograph's picture; everything is written here. Workers read from a file system they share
with this machine; those that do not see the file are sent its bytes.
"""

from __future__ import annotations

import functools
import tempfile
import time
import warnings
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from distributed import Client, KilledWorker, get_worker
from distributed import Future as DaskFuture

from temwatch.acquisition import spool
from temwatch.analysis import pipeline, segmentation
from temwatch.config import Config, SegmentationSettings, SeparationSettings
from temwatch.domain import Method, Micrograph, Segmenter
from temwatch.engine import tasks
from temwatch.engine.job import Batch, Job, Post
from temwatch.engine.process_backend import ProcessBackend, read_order
from temwatch.engine.publishing import folder_of
from temwatch.errors import StartError, Unreadable
from temwatch.outputs import paths, pictures

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 2.0
_AHEAD = 2  # tasks a thread of the cluster: while one is worked on, the next is on its way


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOrder:
    """One file for a worker; `size_bytes` and `mtime_ns` tell whether it sees the same one."""

    read: tasks.ReadOrder
    size_bytes: int
    mtime_ns: int
    segmentation: SegmentationSettings
    separation: SeparationSettings
    method: Method
    picture_every_frames: int | None
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a worker found in a file; pictures are png by the beginning of their names."""

    resolved: tuple[tasks.Resolved, ...]
    frames_total: int | None
    seconds: dict[str, float]
    micrographs_png: dict[str, bytes]


class DaskBackend:
    """Fulfils `Backend`; the output folders are written by workers of this machine."""

    def __init__(self, config: Config, method: Method, post: Post, local: ProcessBackend) -> None:
        self._config = config
        self._method = method
        self._post = post
        self._local = local
        self._sent: dict[int, bytes] = {}  # by job: content for workers that do not see the file
        self._tasks: set[DaskFuture] = set()
        self._room, self._looked_s = 0, 0.0
        address = config.engine.dask
        try:
            self._client = Client(address, timeout=_ANSWER_SECONDS, set_as_default=False, name="temwatch")
        except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError
            text = str(error) or type(error).__name__
            raise StartError(f"no Dask scheduler answers at {address}: {text.splitlines()[0]}") from None
        log.info("cluster", scheduler=address, dashboard=self._client.dashboard_link)

    @property
    def dashboard(self) -> str:
        """Where the cluster shows what it does."""
        return str(self._client.dashboard_link)

    @property
    def room(self) -> int:
        """As many files as the cluster can work on, and as many again on their way; workers come and go."""
        if time.monotonic() - self._looked_s > _LOOK_SECONDS:
            self._room = _AHEAD * max(1, sum(self._client.nthreads().values()))
            self._looked_s = time.monotonic()
        return self._room

    def start(self) -> None:
        """Start the workers of this machine; those of the cluster are not ours to start."""
        self._local.start()

    def close(self) -> None:
        """Let the cluster forget what it was asked for."""
        for task in list(self._tasks):
            task.cancel()
        self._client.close(timeout=_ANSWER_SECONDS)
        self._local.close()

    def died(self, error: BaseException) -> bool:
        """The scheduler gives a file to another worker several times before it says so."""
        return isinstance(error, KilledWorker) or self._local.died(error)

    def bury(self, jobs: Sequence[Job], job: Job | None) -> list[Job]:
        """The cluster's other files go on."""
        if self._local.broken:
            self._local.start()
        return [job] if job is not None and job in jobs else []

    def read(self, job: Job) -> None:
        """Hash it, on a worker if one sees it."""
        self._submit(job, "read", look, self._order(job))

    def analyse(self, job: Job, read: tasks.ReadResult) -> None:  # noqa: ARG002 - it was only hashed
        """The rest of the way in one task."""
        order = replace(self._order(job), content=self._sent.pop(job.file.id, None))
        self._submit(job, "analyse", analyse, order)

    def seen(self, job: Job, read: tasks.ReadResult | None) -> tasks.ReadResult | None:
        """What was read; where no worker sees the file its content is read here, and posted again."""
        if read is None:
            self._here(job, "read", tasks.content, job.file.location)
            return None
        if read.content is not None:
            self._sent[job.file.id] = read.content
        return read

    def advance(self, job: Job, stage: str, index: int, outcome: Any) -> None:  # noqa: ARG002
        """After the analysis its pictures are put in place, and then it may be recorded."""
        if stage == "put":
            job.took("publish", outcome)
            job.batches[0].undrawn = False
            return
        found: Found = outcome
        job.frames_total = found.frames_total
        for name, seconds in found.seconds.items():
            job.took(name, seconds)
        resolved = dict(enumerate(found.resolved))
        undrawn = bool(found.micrographs_png)
        job.batches.append(Batch(first=0, frames=len(resolved), resolved=resolved, undrawn=undrawn))
        if undrawn:
            self._here(job, "put", tasks.put, folder_of(self._config, job.file), found.micrographs_png)

    def _order(self, job: Job) -> ClusterOrder:
        config = self._config
        return ClusterOrder(
            read=replace(
                read_order(job, config),
                spooled=Path(job.file.name + job.spooled.suffix),
                small_pictures=None,  # a worker writes nothing but its spool: without a film
            ),
            size_bytes=job.file.size_bytes,
            mtime_ns=job.file.mtime_ns,
            segmentation=config.segmentation,
            separation=config.separation,
            method=self._method,
            picture_every_frames=config.sequences.picture_every_frames if config.output.pictures else None,
        )

    def _here(self, job: Job, stage: str, task: Callable[..., object], *arguments: object) -> None:
        """By a worker of this machine."""
        job.since_s = time.monotonic()
        future = self._local.submit(task, *arguments)
        job.running[future] = stage
        future.add_done_callback(lambda done: self._post(done, job, stage, 0))

    def _submit(self, job: Job, stage: str, task: Callable[..., object], order: ClusterOrder) -> None:
        job.since_s = time.monotonic()
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # what a worker has begun is waited for
        job.running[future] = stage
        with warnings.catch_warnings():
            # content goes with its task, through the scheduler: what lies on a worker is lost with it
            warnings.filterwarnings("ignore", message="Sending large graph")
            asked = self._client.submit(task, order, pure=False)
        self._tasks.add(asked)

        def done(answered: DaskFuture) -> None:
            self._tasks.discard(answered)
            try:
                future.set_result(answered.result())
            except CancelledError:
                future.set_exception(StartError(f"the Dask scheduler at {self._config.engine.dask} is gone"))
            except Exception as error:  # noqa: BLE001 - an executor too hands on whatever it was
                future.set_exception(error)
            self._post(future, job, stage, 0)

        asked.add_done_callback(done)


def look(order: ClusterOrder) -> tasks.ReadResult | None:
    """On a worker: the sha256 of a file, None where it is not seen here, or another one is."""
    started = time.monotonic()
    try:
        status = order.read.source.stat()
    except OSError:
        return None
    if (status.st_size, status.st_mtime_ns) != (order.size_bytes, order.mtime_ns):
        return None
    sha256 = spool.fetch(order.read.source, None)
    return tasks.ReadResult(
        micrographs=(), sha256=sha256, frames_total=None, seconds=time.monotonic() - started
    )


def analyse(order: ClusterOrder) -> Found:
    """On a worker: everything from the file to the rows of its particles.

    Raises
    ------
    StartError
        This worker would find something else: another version of temwatch, or other weights.
    Unreadable
        The file has changed since it was hashed.
    """
    segmenter = _segmenter(order.segmentation)
    method = pipeline.describe(segmenter, order.separation)
    if method.digest != order.method.digest:
        raise StartError(
            f"the worker {get_worker().address} has other weights or another version "
            f"({method.software_version}, here {order.method.software_version})"
        )
    with tempfile.TemporaryDirectory(prefix="temwatch-", dir=get_worker().local_directory) as folder:
        return _analysed(order, segmenter, Path(folder))


def _analysed(order: ClusterOrder, segmenter: Segmenter, folder: Path) -> Found:
    read, seconds = replace(order.read, spooled=folder / order.read.spooled.name), dict[str, float]()
    if order.content is not None:
        read.spooled.write_bytes(order.content)
        read = replace(read, copy=True)
    elif read.copy:
        started = time.monotonic()
        if spool.fetch(read.source, read.spooled) != read.sha256:
            raise Unreadable("changed", "changed while it was read; it is taken up again when it is complete")
        seconds["read"] = time.monotonic() - started
    resolved: list[tasks.Resolved] = []
    png: dict[str, bytes] = {}
    for batch in _batches(read):
        seconds["read"] = seconds.get("read", 0.0) + batch.seconds
        started = time.monotonic()
        found = segmenter.segment([micrograph.image for micrograph in batch.micrographs])
        seconds["segment"] = seconds.get("segment", 0.0) + time.monotonic() - started
        for micrograph, one in zip(batch.micrographs, found, strict=True):
            resolve = tasks.ResolveOrder(
                pixel_size_nm=micrograph.pixel_size_nm,
                segmentation=one,
                separation=order.separation,
                method=order.method,
            )
            resolved.append(
                tasks.analyse(tasks.AnalyseOrder(resolve=resolve, origin=tasks.origin(micrograph)))
            )
            if _is_drawn(micrograph, order.picture_every_frames):
                name = order.read.spooled.stem
                if batch.frames_total is not None and micrograph.frame is not None:
                    name = paths.picture_name(name, micrograph.frame.index)
                pictures.write_micrograph(folder, "drawn", micrograph.image, micrograph.pixel_size_nm)
                png[name] = paths.picture(folder, "drawn", "micrograph").read_bytes()
    return Found(
        resolved=tuple(resolved), frames_total=batch.frames_total, seconds=seconds, micrographs_png=png
    )


def _batches(read: tasks.ReadOrder) -> Iterator[tasks.ReadResult]:
    """A micrograph, or the frames of a stack as many at a time as memory should hold."""
    first = read.first
    while True:
        batch = tasks.read(replace(read, first=first))
        yield batch
        first += len(batch.micrographs)
        if batch.frames_total is None or first >= batch.frames_total:
            return


def _is_drawn(micrograph: Micrograph, every: int | None) -> bool:
    return every is not None and (micrograph.frame is None or micrograph.frame.index % every == 0)


@functools.lru_cache(1)
def _segmenter(settings: SegmentationSettings) -> Segmenter:
    """The network of this worker, loaded for its first file."""
    return segmentation.build(settings)
