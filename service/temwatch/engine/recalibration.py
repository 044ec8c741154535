"""Rows whose calibration was corrected are resolved again from the ledger, with the settings they had."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from datetime import UTC, datetime

from temwatch.config import SeparationSettings
from temwatch.domain import Analysis, Method
from temwatch.engine.orders import ResolveOrder
from temwatch.ledger import Ledger, analyses, calibrations

_PUBLISH_SECONDS = 10.0
_PREFIX = "separation."


def recalibrating(
    ledger: Ledger,
    resolve: Callable[[ResolveOrder], Future[Analysis]],
    publish_soon: Callable[[str], None],
) -> Generator[Future[Analysis] | None, None, set[str]]:
    """Resolve every row that waits for another pixel size; gives their samples.

    Which rows wait stands in the ledger, so that a later call goes on after a kill.
    """
    samples: set[str] = set()
    published_s = time.monotonic()
    while True:
        with ledger.reader() as reader, reader.snapshot():
            item = calibrations.next_recalibration(reader)
            if item is None:
                break
            row = reader.micrograph(item.micrograph_id)
            assert row is not None
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
            is_wanted = calibrations.next_recalibration(reader) == item
        if is_wanted:  # else it was retried, replaced or undone meanwhile
            analyses.replace(ledger, item.micrograph_id, analysis, datetime.now(UTC))
            samples.add(row.sample)
        if time.monotonic() - published_s > _PUBLISH_SECONDS:
            published_s = time.monotonic()
            publish_soon(row.sample)
        yield None
    for sample in samples:
        publish_soon(sample)
    return samples


def settings_of(method: Method) -> SeparationSettings:
    """The separation of a recorded method; what this version does not know any more is left out."""
    known = {
        key.removeprefix(_PREFIX): value
        for key, value in method.parameters
        if key.startswith(_PREFIX) and key.removeprefix(_PREFIX) in SeparationSettings.model_fields
    }
    return SeparationSettings.model_validate({"method": method.separation, **known})
