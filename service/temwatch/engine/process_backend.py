"""The way of a file through this machine: worker processes, and threads that share the network.

While a micrograph is segmented, a worker draws its picture: the only one that needs the pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from temwatch.config import Config
from temwatch.domain import Method, Micrograph, Segmentation, Segmenter
from temwatch.engine import tasks, worker_processes
from temwatch.engine.job import Batch, Job, Post
from temwatch.engine.publishing import folder_of
from temwatch.engine.segmentation_pool import SegmentationPool
from temwatch.outputs import paths


class ProcessBackend:
    """Fulfils `Backend`."""

    def __init__(self, config: Config, segmenter: Segmenter, method: Method, post: Post) -> None:
        self._config = config
        self._method = method
        self._post = post
        self._workers = config.engine.workers or worker_processes.usable_cores()
        self._pool: ProcessPoolExecutor | None = None
        self._lanes = SegmentationPool(segmenter, worker_processes.usable_cores())
        # what the segmenter takes together must be able to wait, and every worker must have something to do
        self._room = 2 * self._workers + segmenter.together

    @property
    def dashboard(self) -> str | None:
        """The service has a page of its own."""
        return None

    @property
    def room(self) -> int:
        """Files that may be in hand at once."""
        return self._room

    def start(self) -> None:
        """Start the workers; those of before are ended."""
        if self._pool is not None:
            worker_processes.kill(self._pool)
        caches = self._config.output.state / "cache"
        self._pool = worker_processes.start(self._workers, caches, self._config.separation.method)

    def close(self) -> None:
        """End workers and threads."""
        if self._pool is not None:
            worker_processes.kill(self._pool)
        self._lanes.close()

    def died(self, error: BaseException) -> bool:
        """All tasks in the pool fail with it."""
        return isinstance(error, BrokenProcessPool)

    def bury(self, jobs: Sequence[Job], job: Job | None) -> list[Job]:
        """Every task of the pool is gone; the one that told of it is no longer among those that run."""
        self.start()
        return [one for one in jobs if one is job or one.using_pool]

    def seen(self, job: Job, read: tasks.ReadResult | None) -> tasks.ReadResult | None:  # noqa: ARG002
        """Workers of this machine see what it sees."""
        return read

    @property
    def broken(self) -> bool:
        """Whether a worker has died since the last start."""
        return self._pool is not None and bool(self._pool._broken)

    def submit(self, task: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Have a worker do something that belongs to no job."""
        assert self._pool is not None
        try:
            return self._pool.submit(task, *arguments)
        except BrokenProcessPool as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def read(self, job: Job) -> None:
        """By a worker, from the share into the spool."""
        job.begins("read")
        self._in_pool(job, "read", 0, tasks.read, read_order(job, self._config))

    def analyse(self, job: Job, read: tasks.ReadResult) -> None:
        """Segment every frame by itself; meanwhile the picture of a single micrograph is drawn."""
        config = self._config
        batch = Batch(first=job.first, frames=len(read.micrographs), micrographs=read.micrographs)
        job.batches.append(batch)
        batch.undrawn = job.copied and job.frames_total is None and is_drawn(batch.micrographs[0], config)
        if batch.undrawn:
            order = tasks.PictureOrder(
                path=job.spooled,
                pixel_size_nm=batch.micrographs[0].pixel_size_nm,
                folder=folder_of(config, job.file),
                name=job.file.name,
            )
            self._in_pool(job, "picture", job.first, tasks.draw, order)
        job.begins("segment")
        for index, micrograph in enumerate(batch.micrographs, job.first):
            self._follow(self._lanes.submit(micrograph.image), job, "segment", index)

    def advance(self, job: Job, stage: str, index: int, outcome: Any) -> None:
        """From the segmentation of a frame to its particles."""
        batch = next(batch for batch in job.batches if index < batch.first + batch.frames)
        match stage:
            case "segment":
                segmentation, seconds = outcome
                job.took("segment", seconds)
                if index == batch.first:
                    job.begins("resolve")
                order = self._order(job, batch.micrographs[index - batch.first], segmentation)
                self._in_pool(job, "resolve", index, tasks.analyse, order)
            case "picture":
                job.took("publish", outcome)
                batch.undrawn = False
            case "resolve":
                batch.resolved[index - batch.first] = outcome

    def _order(self, job: Job, micrograph: Micrograph, segmentation: Segmentation) -> tasks.AnalyseOrder:
        config = self._config
        drawing = None
        if (not job.copied or job.frames_total is not None) and is_drawn(micrograph, config):
            drawing = drawing_of(job, micrograph, config)
        return tasks.AnalyseOrder(
            resolve=tasks.ResolveOrder(
                pixel_size_nm=micrograph.pixel_size_nm,
                segmentation=segmentation,
                separation=config.separation,
                method=self._method,
            ),
            origin=tasks.origin(micrograph),
            drawing=drawing,
        )

    def _in_pool(self, job: Job, stage: str, index: int, task: Callable[..., object], order: object) -> None:
        job.since_s = time.monotonic()
        self._follow(self.submit(task, order), job, stage, index)

    def _follow(self, future: Future[Any], job: Job, stage: str, index: int) -> None:
        job.running[future] = stage
        future.add_done_callback(lambda done: self._post(done, job, stage, index))


def read_order(job: Job, config: Config) -> tasks.ReadOrder:
    """What a worker needs to know to read the next of a file."""
    return tasks.ReadOrder(
        source=job.file.location,
        spooled=job.spooled,
        copy=job.copied,
        pixel_size_nm=job.file.pixel_size_nm or config.samples.pixel_size_nm,
        sequence=job.file.sequence,
        frame=job.file.frame,
        elapsed_s=job.file.elapsed_s,
        interval_s=config.sequences.frame_interval_s,
        small_pictures=paths.sequence_folder(
            config.output.folder, job.file.sample, job.file.sequence or job.file.name
        )
        if config.output.pictures
        else None,
        name=job.file.name,
        first=job.first,
        sha256=job.sha256,
    )


def is_drawn(micrograph: Micrograph, config: Config) -> bool:
    """Whether a micrograph or frame gets pictures."""
    frame = micrograph.frame
    return config.output.pictures and (
        frame is None or frame.index % config.sequences.picture_every_frames == 0
    )


def drawing_of(job: Job, micrograph: Micrograph, config: Config) -> tasks.Drawing:
    """Where the pictures of a micrograph or frame go, and what is drawn on."""
    frame = micrograph.frame if job.frames_total is not None else None
    name = paths.picture_name(job.file.name, None if frame is None else frame.index)
    return tasks.Drawing(folder=folder_of(config, job.file), name=name, image=micrograph.image)
