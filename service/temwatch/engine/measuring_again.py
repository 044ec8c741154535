"""Rows whose calibration was corrected, or whose sample has other settings, are measured again.

They are resolved from the stored segmentation. Only where the polarity has changed is the file read and
segmented once more; where it is gone the row stays, and a note says so.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import structlog

from temwatch import setting_keys
from temwatch.analysis import pipeline
from temwatch.config import Config
from temwatch.domain import Analysis, Segmentation, Segmenter
from temwatch.engine.futures import first_of
from temwatch.engine.methods import polarity_of, renewed, separation_of
from temwatch.engine.orders import ReadOrder, ResolveOrder, read_again_order
from temwatch.errors import InputError, StartError, Unreadable
from temwatch.ledger import Ledger, MicrographRow, Reader, analyses, waiting_rows
from temwatch.ledger.waiting_rows import WaitingRow
from temwatch.notes import Note

log = structlog.get_logger(__name__)

MOST_ATTEMPTS = 2
"""So often a row is tried; it may be what a worker dies of."""

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
    files cannot be reached.
    """

    resolve: Callable[[ResolveOrder], Future[Analysis]]
    segment: Callable[[ReadOrder, str], Future[SegmentedAgain] | None]
    together: int = 1


class FilesOutOfReach(OSError):
    """Some rows go on waiting, because their files cannot be read now."""


Attempts = dict[WaitingRow, int]
_Steps = Generator["Future[Any] | None", None, "str | None"]


def measuring_again(
    ledger: Ledger,
    config: Config,
    workers: Workers,
    publish_soon: Callable[[str], None],
    attempts: Attempts | None = None,
) -> Generator[Future[Any] | None, None, set[str]]:
    """Measure every row that waits; gives their samples.

    Which rows wait stands in the ledger, so that a later call goes on after a kill. `attempts` that failed
    are counted; a row that was tried `MOST_ATTEMPTS` times is passed over and goes on waiting. After a
    failure they are measured one at a time, so that no row is blamed for another.

    Raises
    ------
    FilesOutOfReach
        All others are measured.
    """
    attempts = {} if attempts is None else attempts
    samples: set[str] = set()
    out_of_reach: set[WaitingRow] = set()
    published_s = time.monotonic()
    in_hand: dict[WaitingRow, _Steps] = {}
    awaited: dict[WaitingRow, Future[Any]] = {}
    while True:
        most = 1 if attempts else workers.together
        while len(in_hand) < most:
            with ledger.reader() as reader:
                item = next_item(reader, attempts, {*in_hand, *out_of_reach})
            if item is None:
                break
            in_hand[item] = _measure(ledger, config, item, workers)
        if not in_hand:
            break
        for item in [one for one in in_hand if one not in awaited or awaited[one].done()]:
            awaited.pop(item, None)
            sample = None
            try:
                future = next(in_hand[item])
                if future is not None:
                    awaited[item] = future
                else:
                    out_of_reach.add(item)
                    del in_hand[item]
                continue
            except StopIteration as end:
                sample = end.value
            except (sqlite3.Error, StartError):
                raise
            except (BrokenProcessPool, CancelledError):
                _count(attempts, item)
                raise
            except InputError as error:
                log.warning("file cannot be read again", micrograph=item.micrograph_id, reason=str(error))
                _count(attempts, item)
            except Exception:  # a boundary, see docs/decisions/0012: it costs one row
                log.exception("internal error", kind="measure again", micrograph=item.micrograph_id)
                _count(attempts, item)
            del in_hand[item]
            if sample is not None:
                samples.add(sample)
                if time.monotonic() - published_s > _PUBLISH_SECONDS:
                    published_s = time.monotonic()
                    publish_soon(sample)
        yield first_of(awaited.values()) if len(awaited) == len(in_hand) and awaited else None
    for sample in samples:
        publish_soon(sample)
    if out_of_reach:
        raise FilesOutOfReach(f"{len(out_of_reach)} files are to be read again")
    return samples


def next_item(
    reader: Reader, attempts: Mapping[WaitingRow, int], without: Collection[WaitingRow] = ()
) -> WaitingRow | None:
    """The next row that waits, was not tried too often, and is not in `without`."""
    given_up = {item for item, count in attempts.items() if count >= MOST_ATTEMPTS}
    return waiting_rows.next_waiting(reader, given_up.union(without))


def _measure(ledger: Ledger, config: Config, item: WaitingRow, workers: Workers) -> _Steps:
    """Measure one row; gives its sample, None where nothing of it has changed.

    Yields what has to be done first, or None where its file is out of reach.
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
    if item.settings is not None:
        separation = setting_keys.separation(config.separation, item.settings)
        method = renewed(recorded, separation)
        polarity = setting_keys.polarity(config.segmentation, item.settings)
        if polarity_of(recorded) not in (None, polarity):
            future = workers.segment(read_again_order(file, row, config), polarity)
            if future is None:
                yield None
                return None
            try:
                again = yield from _awaited(future)
            except Unreadable as error:
                if error.code != "vanished":
                    raise
                waiting_rows.settle(ledger, item, Note.FILE_GONE)
                return row.sample
            segmentation = segmented = again.segmentation
            method = pipeline.describe(again.segmenter, separation)
        elif method.digest == item.method and item.pixel_size_nm is None:
            waiting_rows.settle(ledger, item)
            return None
    order = ResolveOrder(
        pixel_size_nm=_size_nm(item, row), segmentation=segmentation, separation=separation, method=method
    )
    analysis = yield from _awaited(workers.resolve(order))
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


def _awaited(future: Future[_Result]) -> Generator[Future[Any] | None, None, _Result]:
    while not future.done():
        yield future
    return future.result()


def _count(attempts: Attempts, item: WaitingRow) -> None:
    attempts[item] = attempts.get(item, 0) + 1
    if attempts[item] >= MOST_ATTEMPTS:
        log.warning("cannot be measured again, set aside", micrograph=item.micrograph_id)
