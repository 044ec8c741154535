"""What happens now, what went wrong, and the one thing that the page may change: trying again."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, Path, Query
from fastapi.responses import Response
from starlette.requests import Request

import temwatch
from temwatch.domain import Status, utc_text
from temwatch.ledger import MicrographRow, Reader
from temwatch.ledger.sample_columns import data_version, detected_at
from temwatch.outputs.population_summary import Border, Descriptor, View, Weighting
from temwatch.web import population_views, serialize, trouble
from temwatch.web.context import Context, Packed, known_micrograph, packed

_SHOWN_TROUBLES = 100
_MOST_WISHES = 64
_DAY_SECONDS = 86_400.0

Also = Literal["outlines", "population", "convergence", "curve", "scatter"]
Size = Annotated[
    float | None, Body(embed=True, gt=0, le=1e6, description="nm per pixel; empty: as the file says")
]


def add(app: FastAPI, service: Context) -> None:
    """Put the routes into the application."""
    current = _Now(service)

    @app.get("/api/now", summary="State, last and recent micrographs, queue and samples, in one answer")
    def now(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100)] = 24,
        also: Annotated[list[Also], Query(description="what a view needs, in the same answer")] = [],  # noqa: B006
        sample: Annotated[str, Query(description="of this sample; empty: of the last micrograph's")] = "",
        target_percent: population_views.Target = 2.0,
        descriptor: Descriptor = "equivalent_diameter_nm",
        weighting: Weighting = "number",
        border: Border = "raw",
    ) -> Response:
        view = View(descriptor=descriptor, weighting=weighting, border=border)
        wish = Wish(also=tuple(also), sample=sample, view=view, target_percent=target_percent)
        return current.answer(limit, wish).response(request)

    @app.get("/api/trouble", summary="What does not work, refused and failed files, each with what to do")
    def troubles() -> dict[str, Any]:
        with service.reader() as ledger:
            files = trouble.of_files(ledger.troubles(_SHOWN_TROUBLES))
            receipt = ledger.receipt()
        return {
            "service": trouble.of_service(service.vitals()),
            "files": files,
            "refused": receipt.refused,
            "failed": receipt.failed,
            "changes_allowed": service.token.is_set,
        }

    _retry(app, service)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a page shows beside the state of the service."""

    also: tuple[Also, ...]
    sample: str
    view: View
    target_percent: float


class _Now:
    """The answer for every open page, made anew only when something was committed to the ledger."""

    def __init__(self, service: Context) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._ledger: Reader | None = None  # what it reads of `data_version` holds for one connection alone
        self._key: Hashable = None
        self._recent: dict[int, dict[str, Any]] = {}
        self._kept: dict[tuple[int, Wish], Packed] = {}

    def answer(self, limit: int, wish: Wish) -> Packed:
        with self._lock:
            self._ledger = self._ledger or self._service.reader()
            vitals = self._service.vitals()
            said = {
                "version": temwatch.__version__,
                "ready": vitals.ready,
                "trouble": trouble.of_service(vitals),
                "changes_allowed": self._service.token.is_set,
            }
            key = data_version(self._ledger), json.dumps(said)
            if self._key != key or len(self._kept) > _MOST_WISHES:
                self._key, self._recent, self._kept = key, {}, {}
            if (limit, wish) not in self._kept:
                if limit not in self._recent:
                    self._recent[limit] = _recent(self._service, self._ledger, limit)
                recent = self._recent[limit]
                parts = _wished(self._service, self._ledger, recent["recent"], wish)
                text = json.dumps(said | recent, separators=(",", ":")).encode()
                self._kept[limit, wish] = packed(text[:-1] + b',"also":' + parts + b"}")
            return self._kept[limit, wish]


def _wished(service: Context, ledger: Reader, recent: list[dict[str, Any]], wish: Wish) -> bytes:
    """JSON of what a view needs of its sample, put together from answers that all pages share."""
    last = next(
        (row for row in recent if row["status"] == Status.DONE and wish.sample in ("", row["sample"])), None
    )
    sample = wish.sample or (last["sample"] if last else None)
    if not wish.also or sample is None or not ledger.receipt(sample).seen:
        return b"{}"
    parts = {"sample": json.dumps(sample).encode()}
    for name in wish.also:
        if name in population_views.QUESTIONS:
            question, make = population_views.QUESTIONS[name](wish.view, wish.target_percent)
            parts[name] = service.populations.answer(sample, question, make)
        elif last is not None:
            with ledger.snapshot():
                row = ledger.micrograph(last["id"])
                if row is not None and row.status is Status.DONE:
                    parts["micrograph"] = json.dumps(row.id).encode()
                    parts[name] = service.drawn.outlines(ledger, row)
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), text) for name, text in parts.items()) + b"}"


def _recent(service: Context, ledger: Reader, limit: int) -> dict[str, Any]:
    with ledger.snapshot():
        rows = ledger.recent(limit)
        shown = _with_arrival(ledger, rows)
        for row, entry in zip(rows, shown, strict=True):
            entry["has_picture"] = serialize.picture(
                service.config.output.folder, row, "micrograph"
            ).is_file()
        oldest = ledger.oldest_pending_at()
        return {
            "last": next((entry for entry in shown if entry["status"] == Status.DONE), None),
            "recent": shown,
            "queue": {
                "waiting": ledger.queue_length(),
                "oldest_detected_at": utc_text(oldest) if oldest else None,
                "next": [file.path for file in ledger.pending(5)],
            },
            "samples": [serialize.sample(row) for row in ledger.samples()],
        }


def _with_arrival(ledger: Reader, rows: list[MicrographRow]) -> list[dict[str, Any]]:
    """Rows with the seconds from finding the complete file to its result, where a retry did not blur them."""
    found = detected_at(ledger, [row.id for row in rows])
    shown = []
    for row in rows:
        seconds = (row.analysed_at - found[row.id]).total_seconds() if row.id in found else math.inf
        known = row.status is Status.DONE and row.frame is None and 0 <= seconds < _DAY_SECONDS
        shown.append(
            serialize.micrograph(row) | {"arrival_to_result_s": round(seconds, 3) if known else None}
        )
    return shown


def _retry(app: FastAPI, service: Context) -> None:
    refusals: dict[int | str, dict[str, Any]] = {
        401: {"description": "the token is missing or wrong"},
        403: {"description": "the service is read-only"},
        404: {"description": "no such micrograph"},
        429: {"description": "too many requests"},
    }

    @app.post(
        "/api/retry",
        status_code=202,
        responses=refusals,
        summary="Take up all failed and refused files again (token)",
    )
    def retry_all(request: Request, pixel_size_nm: Size = None) -> dict[str, int]:
        service.token.check(request)
        return {"request": service.post("retry", {"paths": None, "pixel_size_nm": pixel_size_nm})}

    @app.post(
        "/api/micrographs/{id}/retry",
        status_code=202,
        responses=refusals,
        summary="Take up one file again (token)",
    )
    def retry_one(
        request: Request, id: Annotated[int, Path(ge=1)], pixel_size_nm: Size = None
    ) -> dict[str, int]:
        service.token.check(request)
        with service.reader() as ledger:
            row = known_micrograph(ledger, id)
        path = f"{row.root.rstrip('/')}/{row.micrograph}"
        return {"request": service.post("retry", {"paths": [path], "pixel_size_nm": pixel_size_nm})}

    @app.get("/api/requests/{number}", summary="What became of a request; null until it is done")
    def answer(number: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> dict[str, Any]:
        with service.reader() as ledger:
            text = ledger.answer(number)
        return {"answer": None if text is None else json.loads(text)}
