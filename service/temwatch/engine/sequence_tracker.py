"""Tracks the particles of sequences through the recorded frames, beside the engine's own work.

One worker process links batch after batch, in the order of the frames; the conductor records each batch in
one transaction. Another draws, at a lower priority. A frame that arrives after later ones were linked makes
tracking go back to before it, so that the tracks do not depend on the order of arrival.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import structlog

from temwatch import library_internals
from temwatch.config import Config
from temwatch.engine import retry, sequence_tasks, worker_processes
from temwatch.engine.run_mode import RunMode
from temwatch.errors import MissingExtra
from temwatch.ledger import Ledger, Publication, Reader, publications, relocations
from temwatch.ledger.sequences import numbering, progress
from temwatch.ledger.sequences.progress import Progress
from temwatch.outputs import film, sample_folder, sequence_files

log = structlog.get_logger(__name__)

_BATCH_FRAMES = 64
_LOOK_SECONDS = 30.0
_NUMBER_SECONDS = 0.25  # a large tree that waits for a second to be over must not be counted at every turn
_IDLE_INTERVALS = 10  # a sequence has ended, for now, when so many frames have failed to come


@dataclass(frozen=True, slots=True, eq=False)
class _SequenceTask:
    """What a worker has in hand."""

    order: sequence_tasks.LinkOrder | sequence_tasks.DrawOrder
    future: Future[object]


class _Worker:
    """A process with one task at a time; `wake` is called, from another thread, when it has finished it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pool: worker_processes.WorkerPool | None = None
        self._task: _SequenceTask | None = None

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    def start(
        self, task: Callable[..., object], order: sequence_tasks.LinkOrder | sequence_tasks.DrawOrder
    ) -> None:
        if self._pool is None:
            self._pool, _ = worker_processes.start(1, None)
        future = worker_processes.submit(self._pool, None, task, order)
        self._task = _SequenceTask(order, future)
        future.add_done_callback(lambda _: self._wake())

    def take(self) -> _SequenceTask | None:
        """The task, once it is done."""
        task = self._task
        if task is None or not task.future.done():
            return None
        self._task = None
        if isinstance(task.future.exception(), BrokenProcessPool):
            self.end()
        return task

    def busy(self) -> dict[int, int | None]:
        return {} if self._pool is None else self._pool.busy()

    def end(self) -> None:
        if self._pool is not None:
            library_internals.kill_workers(self._pool)
            self._pool = None


class SequenceTracker:
    """Links one batch at a time and draws one sequence at a time; the conductor calls `turn` in its loop.

    Parameters
    ----------
    ledger, config
        As for the engine.
    publish : callable
        Called with the sample whose tables have something new.
    wake : callable
        Called, from another thread, when a worker has finished a task.
    """

    def __init__(
        self, ledger: Ledger, config: Config, publish: Callable[[str], None], wake: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._config = config
        self._publish = publish
        self._wake = wake
        self._linker, self._drawer = (_Worker(wake) for _ in range(2))
        self._reader: Reader | None = None
        self._turn_of = 0
        self._crashes: dict[int, int] = {}
        self._given_up: set[int] = set()
        self._to_draw: set[int] = set()
        self._drawn_again: set[int] = set()
        self._looked_s = self._numbered_s = -math.inf

    def turn(self, mode: RunMode) -> bool:
        """Take the next step; returns whether there is one to wait for.

        A run that ends when nothing is pending waits for no frame that is missing: every gap is final, and
        so is the end of every sequence that has no file waiting.
        """
        now = datetime.now(UTC)
        gap_s = 0.0 if mode.ends_when_empty else self._config.sequences.gap_seconds
        if mode.ends_when_empty or time.monotonic() - self._numbered_s > _NUMBER_SECONDS:
            self._numbered_s = time.monotonic()
            numbering.number(
                self._ledger, now=now, gap_s=gap_s, interval_s=self._config.sequences.frame_interval_s
            )
        for worker in (self._linker, self._drawer):
            if (task := worker.take()) is not None:
                self._take(task)
        is_linking = self._linker.is_busy or self._begin_next(now, gap_s, mode)
        is_drawing = self._drawer.is_busy or self._begin_drawing()
        return is_linking or is_drawing

    def busy(self) -> dict[int, int | None]:
        """Worker processes that have something in hand."""
        return self._linker.busy() | self._drawer.busy()

    def replace_hung(self, pids: Collection[int]) -> None:
        """End the workers that hang: what they had in hand counts as if they had died of it."""
        for worker in (self._linker, self._drawer):
            if worker.busy().keys() & set(pids):
                worker.end()

    def close(self) -> None:
        """End the workers; what they had in hand is done at the next start."""
        self._linker.end()
        self._drawer.end()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _begin_next(self, now: datetime, gap_s: float, mode: RunMode) -> bool:
        """Give the worker the next thing to do, every sequence in its turn; False where there is none."""
        moved, reader = False, self._open_reader()
        unfinished = progress.sequences(reader, unfinished=True)
        for sequence in sorted(unfinished, key=lambda one: (one.id <= self._turn_of, one.id)):
            if sequence.id in self._given_up:
                continue
            through = -1 if sequence.through is None else sequence.through
            if sequence.ended and sequence.first is not None:
                self._go_back(sequence, min(sequence.first, through + 1))
                moved = True
                continue
            waiting = progress.ready_frames(reader, sequence, limit=_BATCH_FRAMES, now=now, gap_s=gap_s)
            if any(frame.micrograph_id is not None for frame in waiting):
                self._submit(sequence_tasks.link, sequence, tuple(waiting))
            elif waiting:
                moved = progress.record(self._ledger, sequence, (), b"", [frame.id for frame in waiting])
            elif sequence.first is not None and sequence.first <= through:
                self._go_back(sequence, sequence.first)
                moved = True
            elif self._has_ended(reader, sequence, now, mode):
                self._submit(sequence_tasks.close, sequence, ())
            if self._linker.is_busy:
                self._turn_of = sequence.id
                return True
        return moved

    @cached_property
    def _films(self) -> bool:
        """Whether films are wanted and can be written; said once, when the first sequence is drawn."""
        wanted = self._config.output.pictures
        if wanted and not film.encoder_is_installed():
            log.warning("drawing sequences without films", reason=str(MissingExtra("imageio_ffmpeg")))
            return False
        return wanted

    def _open_reader(self) -> Reader:
        """One for all turns: most turns only find that there is nothing to do."""
        if self._reader is None:
            self._reader = self._ledger.reader()
        return self._reader

    def _begin_drawing(self) -> bool:
        """Draw a sequence that has grown or ended; a film of a thousand frames must not hold up linking."""
        now_s = time.monotonic()
        look = now_s - self._looked_s > _LOOK_SECONDS  # a rebuild makes what was drawn stale
        if not look and not self._to_draw:
            return False
        reader = self._open_reader()
        there = {sequence.id: sequence for sequence in progress.sequences(reader)}
        if look:
            self._to_draw, self._looked_s = set(there), now_s
        for number in sorted(self._to_draw):
            sequence = there.get(number)  # None: its files were moved
            if sequence is not None and relocations.is_awaited(reader, sequence.sample, sequence.name):
                continue
            self._to_draw.discard(number)  # until it has grown
            if sequence is not None and sequence.last_id and sequence_files.is_due(reader, sequence):
                self._draw(sequence)
                return True
        return False

    def draw_again(self) -> bool:
        """Draw a sequence whose curves are of tracks that were replaced, though it may still grow.

        Each once; returns whether there is one to wait for.
        """
        reader = self._open_reader()
        for sequence in progress.sequences(reader):
            if sequence.id not in self._drawn_again and sequence_files.is_outdated(reader, sequence):
                self._drawn_again.add(sequence.id)
                self._draw(sequence)
                return True
        return False

    def _draw(self, sequence: Progress) -> None:
        output = self._config.output
        order = sequence_tasks.DrawOrder(
            ledger=self._ledger.state, progress=sequence, output=output.folder, film=self._films
        )
        self._drawer.start(sequence_tasks.draw, order)

    def _go_back(self, sequence: Progress, frame: int) -> None:
        again = progress.rewind(self._ledger, sequence, frame)
        log.info("tracking again", sample=sequence.sample, sequence=sequence.name, frame=frame, frames=again)
        self._wake()

    def _has_ended(self, reader: Reader, sequence: Progress, now: datetime, mode: RunMode) -> bool:
        idle = progress.idle_since(reader, sequence)
        if idle is None:
            return False
        last, interval_s = idle
        wait_s = max(self._config.sequences.gap_seconds, _IDLE_INTERVALS * interval_s)
        ends = mode.ends_when_empty or not 0 <= (now - last).total_seconds() < wait_s
        ends = ends or progress.is_complete(reader, sequence)
        return ends and not progress.has_pending_files(reader, sequence)

    def _submit(
        self,
        task: Callable[[sequence_tasks.LinkOrder], object],
        sequence: Progress,
        waiting: tuple[progress.PendingFrame, ...],
    ) -> None:
        order = sequence_tasks.LinkOrder(
            ledger=self._ledger.state, progress=sequence, waiting=waiting, settings=self._config.sequences
        )
        self._linker.start(task, order)

    def _take(self, task: _SequenceTask) -> None:
        """Record what a worker found, or deal with its failure."""
        sequence = task.order.progress
        error = task.future.exception()
        if isinstance(task.order, sequence_tasks.DrawOrder):
            self._was_drawn(sequence, error, task.future)
            return
        if isinstance(error, BrokenProcessPool):
            self._crashes[sequence.id] = self._crashes.get(sequence.id, 0) + 1
            if self._crashes[sequence.id] >= retry.MAX_CRASHES:
                self._give_up(sequence, error)
            return
        if isinstance(error, sequence_tasks.StaleState):
            progress.rewind(self._ledger, sequence, 0)
            return
        if error is not None:
            self._give_up(sequence, error)
            return
        self._crashes.pop(sequence.id, None)
        self._to_draw.add(sequence.id)
        match task.future.result():
            case sequence_tasks.LinkResult(frames=frames, state=state):
                done = [waiting.id for waiting in task.order.waiting]
                if progress.record(self._ledger, sequence, frames, state, done):
                    _log_gaps(sequence, frames)
            case tuple() as events:
                progress.end(self._ledger, sequence, events)
                log.info(
                    "sequence ended",
                    sample=sequence.sample,
                    sequence=sequence.name,
                    through=sequence.through,
                )
        self._publish(sequence.sample)

    def _was_drawn(self, sequence: Progress, error: BaseException | None, future: Future[object]) -> None:
        if error is not None:  # tried again when the sequence has grown, and at the next start
            log.warning(
                "cannot draw sequence", sample=sequence.sample, sequence=sequence.name, reason=str(error)
            )
            return
        drawn = future.result()
        assert isinstance(drawn, Publication)
        publications.record(self._ledger, sequence.sample, [drawn])

    def _give_up(self, sequence: Progress, error: BaseException) -> None:
        """An internal error costs the tracks of one sequence until the next start; its particles stay."""
        self._given_up.add(sequence.id)
        log.error(
            "cannot track sequence",
            sample=sequence.sample,
            sequence=sequence.name,
            through=sequence.through,
            reason=f"{type(error).__name__}: {error}",
            exc_info=error,
        )


def _log_gaps(sequence: Progress, frames: tuple[progress.LinkedFrame, ...]) -> None:
    before = sequence.through
    for frame in frames:
        if before is not None and frame.frame > before + 1:
            log.warning(
                "gap in a sequence",
                sample=sequence.sample,
                sequence=sequence.name,
                first=before + 1,
                last=frame.frame - 1,
            )
        before = frame.frame


def catch_up(ledger: Ledger, config: Config) -> None:
    """Track and draw everything that is recorded, for a command that holds the ledger itself."""
    woken = threading.Event()
    sequence_tracker = SequenceTracker(
        ledger, config, lambda sample: sample_folder.publish(ledger, config.output.folder, sample), woken.set
    )
    try:
        while sequence_tracker.turn(RunMode.service()) or sequence_tracker.draw_again():
            woken.wait(1.0)
            woken.clear()
    finally:
        sequence_tracker.close()
