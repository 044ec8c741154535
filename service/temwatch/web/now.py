"""What happens now, what went wrong, and the one thing that the page may change: trying again."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Hashable
from typing import Annotated, Any

from fastapi import Body, FastAPI, Path, Query
from fastapi.responses import Response
from starlette.requests import Request

import temwatch
from temwatch.domain import Status, utc_text
from temwatch.ledger import MicrographRow, Reader
from temwatch.ledger.population import data_version, detected_at
from temwatch.web import answers, trouble
from temwatch.web.context import Context, json_response, known_micrograph

_SHOWN_TROUBLES = 100
_DAY_SECONDS = 86_400.0

Size = Annotated[
    float | None, Body(embed=True, gt=0, le=1e6, description="nm per pixel; empty: as the file says")
]


def add(app: FastAPI, service: Context) -> None:
    """Put the routes into the application."""
    current = _Now(service)

    @app.get("/api/now", summary="State, last and recent micrographs, queue and samples, in one answer")
    def now(request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 24) -> Response:
        return json_response(request, current.answer(limit))

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


class _Now:
    """The answer for every open page, made anew only when something was committed to the ledger."""

    def __init__(self, service: Context) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._ledger: Reader | None = None  # what it reads of `data_version` holds for one connection alone
        self._kept: tuple[Hashable, bytes] | None = None

    def answer(self, limit: int) -> bytes:
        with self._lock:
            self._ledger = self._ledger or self._service.reader()
            vitals = self._service.vitals()
            said = {
                "version": temwatch.__version__,
                "ready": vitals.ready,
                "trouble": trouble.of_service(vitals),
                "changes_allowed": self._service.token.is_set,
            }
            key = data_version(self._ledger), limit, json.dumps(said)
            if self._kept is None or self._kept[0] != key:
                answer = said | _recent(self._service, self._ledger, limit)
                self._kept = key, json.dumps(answer, separators=(",", ":")).encode()
            return self._kept[1]


def _recent(service: Context, ledger: Reader, limit: int) -> dict[str, Any]:
    with ledger.snapshot():
        rows = ledger.recent(limit)
        shown = _with_arrival(ledger, rows)
        for row, entry in zip(rows, shown, strict=True):
            entry["has_picture"] = answers.picture(service.config.output.folder, row, "micrograph").is_file()
        oldest = ledger.oldest_pending_at()
        return {
            "last": next((entry for entry in shown if entry["status"] == Status.DONE), None),
            "recent": shown,
            "queue": {
                "waiting": ledger.queue_length(),
                "oldest_detected_at": utc_text(oldest) if oldest else None,
                "next": [file.path for file in ledger.pending(5)],
            },
            "samples": [answers.sample(row) for row in ledger.samples()],
        }


def _with_arrival(ledger: Reader, rows: list[MicrographRow]) -> list[dict[str, Any]]:
    """Rows with the seconds from finding the complete file to its result, where a retry did not blur them."""
    found = detected_at(ledger, [row.id for row in rows])
    shown = []
    for row in rows:
        seconds = (row.analysed_at - found[row.id]).total_seconds() if row.id in found else math.inf
        known = row.status is Status.DONE and row.frame is None and 0 <= seconds < _DAY_SECONDS
        shown.append(answers.micrograph(row) | {"arrival_to_result_s": round(seconds, 3) if known else None})
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
