"""Rows whose calibration was corrected, or whose sample has other settings, are measured again.

They are resolved from the stored segmentation. Only where the polarity has changed is the file read and
segmented once more; where it is gone the row stays, and a note says so.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, NamedTuple, TypeVar

import structlog

from temwatch import setting_keys
from temwatch.analysis import pipeline
from temwatch.analysis.appearance.min_confidence import with_min_confidence
from temwatch.config import Config
from temwatch.domain import Analysis, Segmentation, Segmenter
from temwatch.engine.futures import FirstDone
from temwatch.engine.job import MemoryShare
from temwatch.engine.methods import polarity_of, renewed, separation_of
from temwatch.engine.orders import ReadOrder, ResolveOrder, read_again_order
from temwatch.engine.outcomes import NeedsMemory
from temwatch.engine.sample_prior import with_missing_prior
from temwatch.errors import InputError, StartError, Unreadable
from temwatch.ledger import Ledger, MicrographRow, Reader, analyses, waiting_rows
from temwatch.ledger.waiting_rows import WaitingRow
from temwatch.notes import Note
from temwatch.pauses import growing_pause_s

log = structlog.get_logger(__name__)

MOST_ATTEMPTS = 2
"""So often a row is tried before it is set aside for a while; it may be what a worker dies of."""

_FIRST_PAUSE_S = 600.0
_LONGEST_PAUSE_S = 4 * 3600.0
_PUBLISH_SECONDS = 10.0

_Result = TypeVar("_Result")


class SegmentedAgain(NamedTuple):
    """A segmentation made once more, and by what."""

    segmentation: Segmentation
    segmenter: Segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Those who resolve and segment, so many at a time.

    `segment` has the micrograph of an order read and segmented with this polarity; it gives None while the
    files cannot be reached. `share` is the memory that one of them may take.
    """

    resolve: Callable[[ResolveOrder], Future[Analysis]]
    segment: Callable[[ReadOrder, str], Future[SegmentedAgain] | None]
    together: int = 1
    share: MemoryShare | None = None


class FilesOutOfReach(OSError):
    """Some rows go on waiting, because their files cannot be read now."""


class Attempts:
    """Rows that could not be measured again, how often, and when they may be tried once more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[WaitingRow, int] = {}
        self._not_before_s: dict[WaitingRow, float] = {}

    def failed(self, item: WaitingRow) -> None:
        """Count a failure; from the second on, the row pauses, each time twice as long."""
        count = self._failures[item] = self._failures.get(item, 0) + 1
        if count >= MOST_ATTEMPTS:
            pause_s = growing_pause_s(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, count - MOST_ATTEMPTS + 1)
            self._not_before_s[item] = self._clock() + pause_s
            log.warning("cannot be measured again, will retry", micrograph=item.micrograph_id, wait_s=pause_s)

    def ended(self, item: WaitingRow) -> None:
        """The row waits no longer."""
        self._failures.pop(item, None)
        self._not_before_s.pop(item, None)

    @property
    def set_aside(self) -> set[WaitingRow]:
        """Rows that pause."""
        now_s = self._clock()
        return {item for item, due_s in self._not_before_s.items() if now_s < due_s}

    @property
    def has_suspects(self) -> bool:
        """Whether rows that failed before may be tried now."""
        return not self._failures.keys() <= self.set_aside


class _PutOff(Enum):
    """Why a row cannot be measured now."""

    FILE_OUT_OF_REACH = auto()
    NEEDS_MEMORY = auto()


_Steps = Generator["Future[Any] | _PutOff", None, "str | None"]


def measuring_again(
    ledger: Ledger,
    config: Config,
    workers: Workers,
    publish_soon: Callable[[str], None],
    attempts: Attempts | None = None,
) -> Generator[Future[Any] | None, None, set[str]]:
    """Measure every row that waits; gives their samples.

    Which rows wait stands in the ledger, so that a later call goes on after a kill. `attempts` that failed
    are counted; a row that was tried `MOST_ATTEMPTS` times is passed over for a while. After a failure they
    are measured one at a time, so that no row is blamed for another. One that needs more than its share of
    memory is measured alone, after the others.

    Raises
    ------
    FilesOutOfReach
        All others are measured.
    """
    attempts = Attempts() if attempts is None else attempts
    samples: set[str] = set()
    put_off: dict[_PutOff, set[WaitingRow]] = {why: set() for why in _PutOff}
    published_s = time.monotonic()
    in_hand: dict[WaitingRow, _Steps] = {}
    awaited: dict[WaitingRow, Future[Any]] = {}
    done = FirstDone()
    is_alone = False
    while True:
        done.begin_turn()
        most = 1 if is_alone or attempts.has_suspects else workers.together
        while len(in_hand) < most:
            with ledger.reader() as reader:
                item = next_item(reader, attempts, {*in_hand}.union(*put_off.values()))
            if item is None:
                break
            in_hand[item] = _measure(ledger, config, item, workers, workers.share)
        if not in_hand:
            if not put_off[_PutOff.NEEDS_MEMORY]:
                break
            item, is_alone = put_off[_PutOff.NEEDS_MEMORY].pop(), True
            in_hand[item] = _measure(ledger, config, item, workers, _whole(workers.share))
        for item in [one for one in in_hand if one not in awaited or awaited[one].done()]:
            awaited.pop(item, None)
            sample = None
            try:
                step = next(in_hand[item])
                if isinstance(step, Future):
                    awaited[item] = step
                    done.watch(step)
                    continue
                put_off[step].add(item)
            except StopIteration as end:
                attempts.ended(item)
                sample = end.value
            except (sqlite3.Error, StartError):
                raise
            except (BrokenProcessPool, CancelledError):
                attempts.failed(item)
                raise
            except InputError as error:
                log.warning("file cannot be read again", micrograph=item.micrograph_id, reason=str(error))
                attempts.failed(item)
            except Exception:  # a boundary, see docs/decisions/0012: it costs one row
                log.exception("internal error", kind="measure again", micrograph=item.micrograph_id)
                attempts.failed(item)
            del in_hand[item]
            is_alone = False
            if sample is not None:
                samples.add(sample)
                if time.monotonic() - published_s > _PUBLISH_SECONDS:
                    published_s = time.monotonic()
                    publish_soon(sample)
        yield done.first if len(awaited) == len(in_hand) and awaited else None
    for sample in samples:
        publish_soon(sample)
    if out_of_reach := len(put_off[_PutOff.FILE_OUT_OF_REACH]):
        raise FilesOutOfReach(f"{out_of_reach} files are to be read again")
    return samples


def next_item(reader: Reader, attempts: Attempts, without: Collection[WaitingRow] = ()) -> WaitingRow | None:
    """The next row that waits, was not tried too often, and is not in `without`."""
    return waiting_rows.next_waiting(reader, attempts.set_aside.union(without))


def _whole(share: MemoryShare | None) -> MemoryShare | None:
    return None if share is None else MemoryShare(share.alone_bytes, share.alone_bytes)


def _measure(
    ledger: Ledger, config: Config, item: WaitingRow, workers: Workers, share: MemoryShare | None
) -> _Steps:
    """Measure one row; gives its sample, None where nothing of it has changed.

    Yields what has to be done first, or why that has to be put off.
    """
    with ledger.reader() as reader, reader.snapshot():
        row = reader.micrograph(item.micrograph_id)
        if row is None:
            return None
        recorded = reader.methods()[item.method]
        segmentation = analyses.segmentation(reader, item.micrograph_id)
        file = reader.file(row.file_id)
        assert file is not None
    separation, method = separation_of(recorded), recorded
    segmented: Segmentation | None = None
    note: Note | None = None
    if item.settings is not None:
        separation = setting_keys.separation(config.separation, item.settings)
        method = renewed(recorded, config, item.settings)
        polarity = setting_keys.polarity(config.segmentation, item.settings)
        if polarity_of(recorded) not in (None, polarity):
            future = workers.segment(read_again_order(file, row, config, share), polarity)
            if future is None:
                yield _PutOff.FILE_OUT_OF_REACH
                return None
            try:
                again = yield from _awaited(future)
            except NeedsMemory:
                yield _PutOff.NEEDS_MEMORY
                return None
            except Unreadable as error:
                if error.code != "vanished":
                    raise
                note = Note.FILE_GONE
            else:
                segmented = replace(again.segmentation, sample_prior=segmentation.sample_prior)
                segmentation = segmented
                certain = setting_keys.min_confidence(config.segmentation, item.settings)
                method = pipeline.describe(with_min_confidence(again.segmenter, certain), separation)
        if method.digest == item.method and item.pixel_size_nm is None:
            waiting_rows.settle(ledger, item, note)
            return None if note is None else row.sample
        size_nm = _size_nm(item, row)
        given = with_missing_prior(ledger, row.file_id, segmentation, separation, size_nm)
        segmented = given or segmented
    order = ResolveOrder(
        pixel_size_nm=_size_nm(item, row),
        segmentation=segmented or segmentation,
        separation=separation,
        method=method,
    )
    analysis = yield from _awaited(workers.resolve(order))
    if note is not None:
        analysis = replace(analysis, notes=(*analysis.notes, note))
    return row.sample if _replace(ledger, item, analysis, segmented) else None


def _size_nm(item: WaitingRow, row: MicrographRow) -> float:
    size = item.pixel_size_nm or row.pixel_size_nm
    assert size is not None  # it has a result
    return size


def _replace(ledger: Ledger, item: WaitingRow, analysis: Analysis, segmented: Segmentation | None) -> bool:
    """Whether the row was replaced; it may have been retried, replaced or undone meanwhile."""
    with ledger.reader() as reader:
        if not waiting_rows.is_wanted(reader.connection, item):
            return False
    return analyses.replace(
        ledger, item.micrograph_id, analysis, datetime.now(UTC), wanted=item, segmented=segmented
    )


def _awaited(future: Future[_Result]) -> Generator[Future[Any], None, _Result]:
    while not future.done():
        yield future
    return future.result()
