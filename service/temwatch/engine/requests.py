"""What commands ask of the process that holds the ledger, done in steps.

A step takes little time or yields the future of what a worker does, so that a long request never holds up the
files that arrive meanwhile.
"""

from __future__ import annotations

import functools
import json
import math
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from temwatch import setting_keys
from temwatch.analysis import segmentation
from temwatch.choices import implausible_pixel_size, is_plausible_pixel_size
from temwatch.config import Config
from temwatch.domain import Analysis, Method, Segmenter
from temwatch.engine import decisions, tasks
from temwatch.engine.measuring_again import Attempts, SegmentedAgain, Workers, measuring_again, next_item
from temwatch.engine.methods import renewed
from temwatch.engine.orders import ReadOrder, ResolveOrder
from temwatch.engine.outcomes import NeedsMemory
from temwatch.engine.sample_prior import with_missing_prior
from temwatch.errors import InputError, StartError
from temwatch.ledger import Ledger, Reader, Request, analyses, queue, requests, sample_settings, waiting_rows
from temwatch.ledger.requests import PUBLISH, answer_request, close_request, open_requests
from temwatch.outputs import sample_folder

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_RECALIBRATION_LOOK_SECONDS = 5.0  # without a request only a file that was in hand can have come to wait
_RECALIBRATION_RETRY_SECONDS = 60.0  # after a worker died of it or a folder could not be written


def ask_to_publish(connection: sqlite3.Connection, decided: decisions.Decided) -> None:
    """Settles a decision that was made beside the engine: the engine publishes what has changed."""
    requests.ask_to_publish(connection, decided.samples, datetime.now(UTC))


Answer = dict[str, object]
Steps = Generator["Future[Any] | None", None, Answer]
"""What a step yields has to be done before the next one; None lets others have their turn."""


def act(
    ledger: Ledger,
    config: Config,
    kind: str,
    arguments: Mapping[str, Any],
    workers: Workers,
    are_written: Callable[[str], bool] | None = None,
) -> Steps:
    """Do what a command asks for; the generator's value is the answer.

    "retry" takes `paths` (list or None) and `pixel_size_nm` (float or None), "rebuild" takes `sample`.
    For what is in `decisions.KINDS` see `decisions.decide`; the engine carries these out at once.
    Where an engine runs it writes the output folders, and `are_written` says whether a sample has them all.

    Raises
    ------
    OSError
        A file could not be written; a later call goes on.
    """
    match kind, dict(arguments):
        case "retry", {"paths": list() | None as paths, "pixel_size_nm": float() | None as size}:
            if size is not None and not is_plausible_pixel_size(size):
                return {"error": f"the pixel size {implausible_pixel_size(size)}"}
            stated = [] if size is None else queue.stated_sizes(ledger, paths)
            states = dict(stated)
            left = None if paths is None else [path for path in paths if path not in states]
            files, unknown = queue.retry(ledger, left, size)
            answer: Answer = {"files": len(files), "unknown": unknown}
            return answer | {"stated": stated} if stated else answer
        case "rebuild", {"sample": str() as sample}:
            count = yield from _resolve_outdated(ledger, config, sample, workers)
            yield from sample_folder.rebuilding(ledger, config.output.folder, sample, are_written)
            with ledger.reader() as reader:
                own = sample_settings.decisive(reader.connection, sample)
            separation = setting_keys.separation(config.separation, own)
            return {"renewed": count, "separation": separation.model_dump()}
        case kind, values if kind in decisions.KINDS:
            decided = decisions.decide(ledger, kind, values)
            measured = yield from measuring_again(ledger, config, workers, lambda _: None)
            for name in sorted(measured.union(decided.samples)):
                yield from sample_folder.refreshing(ledger, config.output.folder, name)
            return decided.answer
    return {"error": f"this service does not know the request {kind!r}"}


def complete(steps: Steps) -> Answer:
    """Take all steps, and wait where one has to be waited for: for a command that holds the ledger itself."""
    while True:
        try:
            future = next(steps)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        if future is not None:
            wait([future])


@dataclass(slots=True)
class _Underway:
    request: Request | None  # None: rows that are measured again
    steps: Steps
    awaited: Future[Any] | None = None


class RequestQueue:
    """The requests in the ledger, one at a time and one step a turn.

    Parameters
    ----------
    ledger, config
        As for the engine.
    workers : Workers
        Those who resolve a stored segmentation, or segment once more.
    is_complete : callable
        Whether all output folders of a sample are up to date.
    wake : callable
        Called, from another thread, when a worker has finished what a request waits for.
    publish_soon : callable
        Has the files of a sample written again, of which rows have changed.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        *,
        workers: Workers,
        is_complete: Callable[[str], bool],
        wake: Callable[[], None],
        publish_soon: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._config = config
        self._workers = workers
        self._is_complete = is_complete
        self._wake = wake
        self._publish_soon = publish_soon
        self._underway: _Underway | None = None
        self._looked_s = 0.0
        self._recalibrate_at_s = 0.0
        self._recalibration_looked_s = -math.inf
        self._attempts = Attempts()

    @property
    def has_step(self) -> bool:
        """Whether a request can go on at once."""
        underway = self._underway
        return underway is not None and (underway.awaited is None or underway.awaited.done())

    def turn(self) -> None:
        """Take one step of the request in hand, or take the next one; a decision waits for no other."""
        now_s = time.monotonic()
        if self.has_step:
            assert self._underway is not None
            self._take_step(self._underway)
        if now_s - self._looked_s < _LOOK_SECONDS:
            return
        self._looked_s = now_s
        for request in open_requests(self._ledger):
            self._recalibration_looked_s = -math.inf
            if request.kind == PUBLISH or request.kind in decisions.KINDS:
                self._decide(request)
            elif self._underway is None:
                log.info("request", kind=request.kind, **request.arguments)
                steps = act(
                    self._ledger,
                    self._config,
                    request.kind,
                    request.arguments,
                    self._workers,
                    self._is_complete,
                )
                self._underway = _Underway(request, steps)
        look_again_s = max(self._recalibrate_at_s, self._recalibration_looked_s + _RECALIBRATION_LOOK_SECONDS)
        if self._underway is None and now_s >= look_again_s:
            self._recalibration_looked_s = now_s
            if not waiting_rows.is_waiting(self._ledger):
                return
            with self._ledger.reader() as reader:
                waiting = waiting_rows.waiting(reader)
                has_next = next_item(reader, self._attempts) is not None
            if has_next:
                log.info("measuring again", micrographs=waiting)
                self._underway = _Underway(None, self._measuring_again())

    def _measuring_again(self) -> Steps:
        samples = yield from measuring_again(
            self._ledger, self._config, self._workers, self._publish_soon, self._attempts
        )
        return {"samples": sorted(samples)}

    def _decide(self, request: Request) -> None:
        """Carry out a decision, or publish what was decided elsewhere in this process."""

        def settle(connection: sqlite3.Connection, decided: decisions.Decided) -> None:
            close_request(connection, request.id, json.dumps(decided.answer), datetime.now(UTC))

        try:
            if request.kind == PUBLISH:
                samples = tuple(request.arguments["samples"])
            else:
                log.info("request", kind=request.kind, **request.arguments)
                samples = decisions.decide(self._ledger, request.kind, request.arguments, settle).samples
            for sample in samples:
                self._publish_soon(sample)
            if request.kind != PUBLISH:
                return
            answer: Answer = {}
        except (sqlite3.Error, StartError):
            raise
        except Exception as error:  # a boundary, see docs/decisions/0012: it costs one request
            log.exception("internal error", kind=request.kind, **request.arguments)
            answer = {"error": f"internal error: {type(error).__name__}: {error}; see the log"}
        answer_request(self._ledger, request.id, json.dumps(answer), datetime.now(UTC))

    def _take_step(self, underway: _Underway) -> None:
        """One more step; at the end the answer goes to the ledger as JSON."""
        try:
            underway.awaited = next(underway.steps)
            if underway.awaited is not None:
                underway.awaited.add_done_callback(lambda _: self._wake())
            return
        except StopIteration as end:
            answer = end.value
        except OSError as error:
            answer = {"error": f"cannot write: {error}"}
        except (BrokenProcessPool, CancelledError):
            answer = {"error": "a worker process died on it; see the log"}
        except sqlite3.Error:
            raise  # the ledger itself: nothing could be answered either
        except Exception as error:  # a boundary, see docs/decisions/0012: it costs one request
            asked = underway.request
            log.exception("internal error", kind=asked.kind if asked else "measure again")
            answer = {"error": f"internal error: {type(error).__name__}: {error}; see the log"}
        self._underway = None
        self._looked_s = 0.0  # another may wait
        if underway.request is None:
            if "error" in answer:
                self._recalibrate_at_s = time.monotonic() + _RECALIBRATION_RETRY_SECONDS
            return
        answer_request(self._ledger, underway.request.id, json.dumps(answer), datetime.now(UTC))


def _resolve_outdated(
    ledger: Ledger, config: Config, sample: str, workers: Workers
) -> Generator[Future[Analysis] | None, None, int]:
    """Resolve what was separated with other settings once more, from the stored segmentations."""
    with ledger.reader() as reader:
        own = sample_settings.decisive(reader.connection, sample)
        separation = setting_keys.separation(config.separation, own)
        methods = {
            digest: method
            for digest, recorded in reader.methods().items()
            if (method := renewed(recorded, config, own)).digest != digest
        }
        outdated = [row.id for row in reader.micrographs(sample) if row.has_result and row.method in methods]
    count = 0
    for number in outdated:
        with ledger.reader() as reader:
            row = _outdated(reader, number, methods)
            if row is None:
                continue
            stored = analyses.segmentation(reader, number)
        segmented = with_missing_prior(ledger, row.file_id, stored, separation, row.pixel_size_nm)
        order = ResolveOrder(
            pixel_size_nm=row.pixel_size_nm,
            segmentation=segmented or stored,
            separation=separation,
            method=methods[row.method],
        )
        future = workers.resolve(order)
        while not future.done():
            yield future
        analysis = future.result()
        with ledger.reader() as reader:
            row = _outdated(reader, number, methods)
        if row is not None:
            analyses.replace(ledger, number, analysis, datetime.now(UTC), segmented=segmented)
            count += 1
        yield None
    return count


class _Outdated(NamedTuple):
    file_id: int
    pixel_size_nm: float
    method: str


def _outdated(reader: Reader, number: int, methods: Mapping[str, Method]) -> _Outdated | None:
    """The micrograph, unless it was retried, replaced or renewed since it was found outdated."""
    row = reader.micrograph(number)
    if row is None or not row.has_result or row.method is None or row.method not in methods:
        return None
    assert row.pixel_size_nm is not None
    return _Outdated(row.file_id, row.pixel_size_nm, row.method)


def workers_here(config: Config) -> Workers:
    """Without workers, at once: for a command that holds the ledger itself."""

    @functools.cache
    def segmenter() -> Segmenter:
        return segmentation.build(config.segmentation)

    def segment(order: ReadOrder, polarity: str) -> Future[SegmentedAgain]:
        future: Future[SegmentedAgain] = Future()
        try:
            order.spooled.parent.mkdir(parents=True, exist_ok=True)
            image = tasks.read_again(order).image
            chosen = segmentation.for_particles(segmenter(), polarity)
            future.set_result(SegmentedAgain(chosen.segment([image])[0], chosen))
        except (InputError, NeedsMemory) as error:
            future.set_exception(error)
        finally:
            order.pixels(order.first).unlink(missing_ok=True)
        return future

    return Workers(resolve=_resolve_here, segment=segment)


def _resolve_here(order: ResolveOrder) -> Future[Analysis]:
    future: Future[Analysis] = Future()
    future.set_result(tasks.resolve(order))
    return future
