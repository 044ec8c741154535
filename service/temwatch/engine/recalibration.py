"""Rows whose calibration was corrected are resolved again from the ledger, with the settings they had."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime

import structlog

from temwatch.config import SeparationSettings
from temwatch.domain import Analysis, Method
from temwatch.engine.orders import ResolveOrder
from temwatch.errors import StartError
from temwatch.ledger import Ledger, Reader, analyses, calibrations
from temwatch.ledger.calibrations import Recalibration

log = structlog.get_logger(__name__)

MOST_ATTEMPTS = 2
"""So often a row is tried; it may be what a worker dies of."""

_PUBLISH_SECONDS = 10.0
_PREFIX = "separation."


def recalibrating(
    ledger: Ledger,
    resolve: Callable[[ResolveOrder], Future[Analysis]],
    publish_soon: Callable[[str], None],
    attempts: dict[Recalibration, int] | None = None,
) -> Generator[Future[Analysis] | None, None, set[str]]:
    """Resolve every row that waits for another pixel size; gives their samples.

    Which rows wait stands in the ledger, so that a later call goes on after a kill. `attempts` that failed
    are counted; a row that was tried `MOST_ATTEMPTS` times is passed over and goes on waiting.
    """
    attempts = {} if attempts is None else attempts
    samples: set[str] = set()
    published_s = time.monotonic()
    while True:
        with ledger.reader() as reader:
            item = next_item(reader, attempts)
        if item is None:
            break
        try:
            sample = yield from _measure(ledger, item, resolve)
        except (sqlite3.Error, StartError):
            raise
        except (BrokenProcessPool, CancelledError):
            _count(attempts, item)
            raise
        except Exception:  # a boundary, see docs/decisions/0012: it costs one row
            log.exception("internal error", kind="calibrate", micrograph=item.micrograph_id)
            _count(attempts, item)
            sample = None
        if sample is not None:
            samples.add(sample)
            if time.monotonic() - published_s > _PUBLISH_SECONDS:
                published_s = time.monotonic()
                publish_soon(sample)
        yield None
    for sample in samples:
        publish_soon(sample)
    return samples


def next_item(reader: Reader, attempts: dict[Recalibration, int]) -> Recalibration | None:
    """The next row that waits and was not tried too often."""
    return calibrations.next_recalibration(
        reader, {item for item, count in attempts.items() if count >= MOST_ATTEMPTS}
    )


def _measure(
    ledger: Ledger, item: Recalibration, resolve: Callable[[ResolveOrder], Future[Analysis]]
) -> Generator[Future[Analysis] | None, None, str | None]:
    """Resolve one row; gives its sample, None where it was retried, replaced or undone meanwhile."""
    with ledger.reader() as reader, reader.snapshot():
        row = reader.micrograph(item.micrograph_id)
        if row is None:
            return None
        method = reader.methods()[item.method]
        order = ResolveOrder(
            pixel_size_nm=item.pixel_size_nm,
            segmentation=analyses.segmentation(reader, item.micrograph_id),
            separation=settings_of(method),
            method=method,
        )
    future = resolve(order)
    while not future.done():
        yield future
    analysis = future.result()
    with ledger.reader() as reader:
        if not calibrations.is_wanted(reader.connection, item):
            return None
    is_replaced = analyses.replace(ledger, item.micrograph_id, analysis, datetime.now(UTC), wanted=item)
    return row.sample if is_replaced else None


def _count(attempts: dict[Recalibration, int], item: Recalibration) -> None:
    attempts[item] = attempts.get(item, 0) + 1
    if attempts[item] >= MOST_ATTEMPTS:
        log.warning("cannot be measured again, set aside", micrograph=item.micrograph_id)


def settings_of(method: Method) -> SeparationSettings:
    """The separation of a recorded method; what this version does not know any more is left out."""
    known = {
        key.removeprefix(_PREFIX): value
        for key, value in method.parameters
        if key.startswith(_PREFIX) and key.removeprefix(_PREFIX) in SeparationSettings.model_fields
    }
    return SeparationSettings.model_validate({"method": method.separation, **known})
