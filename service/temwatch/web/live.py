"""State of the service, problems, and the one change that the page can request: a retry."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, FastAPI, Path, Query
from fastapi.responses import Response
from starlette.requests import Request

import temwatch
from temwatch.choices import PLAUSIBLE_PIXEL_SIZE_NM
from temwatch.domain import Status, utc_text
from temwatch.ledger import MicrographRow, Reader, waiting_rows
from temwatch.ledger.requests import answer_to
from temwatch.ledger.sample_columns import data_version, detected_at
from temwatch.names import as_text
from temwatch.outputs import paths, sample_folder
from temwatch.outputs.population_summary import View
from temwatch.web import files_in_hand, population_views, problems, serialize
from temwatch.web.bodies import REFUSALS, token_route
from temwatch.web.cache import SingleFlightCache
from temwatch.web.context import Context, JsonBody, ViewQuery, known_micrograph
from temwatch.web.filter_query import AskedFilter, FilterQuery

_MAX_FILES_SHOWN = 100
_CAPACITY_BYTES = 16 * 1024**2
_MAX_LIMITS = 8  # numbers of recent micrographs that pages ask for; the page itself has one
_DAY_SECONDS = 86_400.0

Part = Literal["outlines", "population", "convergence", "curve", "scatter"]
Size = Annotated[
    float | None,
    Body(
        embed=True,
        ge=PLAUSIBLE_PIXEL_SIZE_NM[0],
        le=PLAUSIBLE_PIXEL_SIZE_NM[1],
        description="nm per pixel; empty: the size stated in the file",
    ),
]


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""
    state = LiveState(service)

    @app.get("/api/now", summary="State of the service, last and recent micrographs, queue and samples")
    def live(
        request: Request,
        view: ViewQuery,
        filter: FilterQuery,
        limit: Annotated[int, Query(ge=1, le=100)] = 24,
        also: Annotated[list[Part], Query(description="what else to include for a view of the page")] = [],  # noqa: B006
        sample: Annotated[
            str, Query(description="sample of these parts; empty: that of the last micrograph")
        ] = "",
        target_percent: population_views.Target = 2.0,
    ) -> Response:
        query = LiveQuery(
            limit=limit,
            parts=tuple(also),
            sample=sample,
            view=view,
            filter=filter,
            target_percent=target_percent,
        )
        return state.body(query).response(request)

    @app.get(
        "/api/trouble", summary="Problems of the service, and refused and failed files, each with its remedy"
    )
    def all_problems() -> dict[str, Any]:
        with service.reader() as ledger:
            files = problems.file_problems(ledger.troubles(_MAX_FILES_SHOWN))
            tables = problems.edited_tables(ledger, service.config.output.folder)
            refused, failed = ledger.trouble_counts()
        return {
            "service": problems.service_problems(service.vitals()),
            "tables": tables,
            "files": files,
            "refused": refused,
            "failed": failed,
            "changes_allowed": service.token.is_set,
        }

    _retry(app, service)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveQuery:
    """What one page asks for: the number of recent micrographs, and what its view shows of a sample."""

    limit: int
    parts: tuple[Part, ...]
    sample: str
    view: View
    filter: AskedFilter
    target_percent: float


class LiveState:
    """State of the service for all open pages, computed again only after a commit to the ledger."""

    def __init__(self, service: Context) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._ledger: Reader | None = None  # `data_version` is comparable within one connection only
        self._bodies = SingleFlightCache[JsonBody](_CAPACITY_BYTES, len)
        self._recent = SingleFlightCache[dict[str, Any]](_MAX_LIMITS, lambda _: 1)

    def body(self, query: LiveQuery) -> JsonBody:
        """The answer to a query, computed once for each state of the service."""
        vitals = self._service.vitals()
        service = {
            "version": temwatch.__version__,
            "ready": vitals.ready,
            "trouble": problems.service_problems(vitals),
            "changes_allowed": self._service.token.is_set,
            "writing_workbook": vitals.writing_workbook,
        }
        # read before the ledger itself: a commit in between makes the answer newer than its key, never older
        version = self._data_version()

        def compute() -> JsonBody:
            with self._service.reader() as ledger:
                recent = self._recent.get(
                    (version, query.limit), lambda: _recent(self._service, ledger, query.limit)
                )
                parts = _view_parts(self._service, ledger, recent["recent"], query)
                hand = {"in_hand": files_in_hand.in_hand(ledger, vitals.files_in_hand)}
            text = json.dumps(service | recent | hand, separators=(",", ":")).encode()
            return JsonBody.from_bytes(text[:-1] + b',"also":' + parts + b"}")

        return self._bodies.get((version, json.dumps(service), vitals.files_in_hand, query), compute)

    def _data_version(self) -> int:
        with self._lock:
            self._ledger = self._ledger or self._service.reader()
            return data_version(self._ledger)


def _view_parts(service: Context, ledger: Reader, recent: list[dict[str, Any]], query: LiveQuery) -> bytes:
    """JSON of what a view shows of its sample, joined from answers that all pages share."""
    last = next(
        (row for row in recent if row["status"] == Status.DONE and query.sample in ("", row["sample"])), None
    )
    sample = query.sample or (last["sample"] if last else None)
    if not query.parts or sample is None or not ledger.receipt(sample).seen:
        return b"{}"
    chosen = query.filter.of_sample(ledger, sample)
    parts = {"sample": json.dumps(sample).encode()}
    if chosen.limits:
        parts["filter"] = json.dumps(chosen.limits).encode()
    for name in query.parts:
        if name in population_views.QUESTIONS:
            question, compute = population_views.QUESTIONS[name](query.view, query.target_percent)
            parts[name] = service.populations.answer(sample, question, compute, chosen)
        elif last is not None:
            with ledger.snapshot():
                row = ledger.micrograph(last["id"])
                if row is not None and row.has_result:
                    parts["micrograph"] = json.dumps(row.id).encode()
                    parts[name] = service.outlines.outlines(ledger, row)
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), text) for name, text in parts.items()) + b"}"


def _recent(service: Context, ledger: Reader, limit: int) -> dict[str, Any]:
    with ledger.snapshot():
        rows = ledger.recent(limit)
        shown = _with_arrival(ledger, rows)
        for row, entry in zip(rows, shown, strict=True):
            entry["has_picture"] = paths.shown_picture(service.config.output.folder, row).is_file()
        oldest = ledger.oldest_pending_at(datetime.now(UTC))
        return {
            "last": next((entry for entry in shown if entry["status"] == Status.DONE), None),
            "recent": shown,
            "queue": {
                "waiting": ledger.queue_length(),
                "measured_again": waiting_rows.waiting(ledger),
                "oldest_detected_at": utc_text(oldest) if oldest else None,
                "next": [as_text(file.path) for file in ledger.pending(5)],
            },
            "files_in_trouble": sum(ledger.trouble_counts()),
            "samples": serialize.samples(ledger),
            "edited_tables": len(sample_folder.edited_tables(ledger, service.config.output.folder)),
        }


def _with_arrival(ledger: Reader, rows: list[MicrographRow]) -> list[dict[str, Any]]:
    """Rows with the seconds from detection of the file to its result; None after a retry of an old file."""
    detected = detected_at(ledger, [row.id for row in rows])
    shown = []
    for row in rows:
        seconds = (row.analysed_at - detected[row.id]).total_seconds() if row.id in detected else math.inf
        known = row.status is Status.DONE and row.frame is None and 0 <= seconds < _DAY_SECONDS
        shown.append(
            serialize.micrograph(row) | {"arrival_to_result_s": round(seconds, 3) if known else None}
        )
    return shown


def _retry(app: FastAPI, service: Context) -> None:
    changes = APIRouter(route_class=token_route(service.token))
    refusals = REFUSALS | {404: {"description": "no such micrograph"}}

    @changes.post(
        "/api/retry",
        status_code=202,
        responses=refusals,
        summary="Retry all failed and refused files (token)",
    )
    def retry_all(pixel_size_nm: Size = None) -> dict[str, int]:
        return {"request": service.post("retry", {"paths": None, "pixel_size_nm": pixel_size_nm})}

    @changes.post(
        "/api/micrographs/{id}/retry",
        status_code=202,
        responses=refusals,
        summary="Retry one file (token)",
    )
    def retry_one(id: Annotated[int, Path(ge=1)], pixel_size_nm: Size = None) -> dict[str, int]:
        with service.reader() as ledger:
            row = known_micrograph(ledger, id)
        path = f"{row.root.rstrip('/')}/{row.micrograph}"
        return {"request": service.post("retry", {"paths": [path], "pixel_size_nm": pixel_size_nm})}

    app.include_router(changes)

    @app.get("/api/requests/{number}", summary="Result of a request; null until it is done")
    def answer(number: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> dict[str, Any]:
        with service.reader() as ledger:
            text = answer_to(ledger, number)
        return {"answer": None if text is None else json.loads(text)}
