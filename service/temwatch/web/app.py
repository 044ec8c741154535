"""The HTTP application. Everything is read from the ledger; nothing here changes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request

import temwatch
from temwatch.config import Config
from temwatch.ledger import MicrographRow, Reader
from temwatch.metrics import Vitals
from temwatch.outputs import tables
from temwatch.web import answers
from temwatch.web.events import Hub

_STATIC = Path(__file__).parent / "static"

Limit = Annotated[int, Query(ge=1, le=1000)]


def build(
    *,
    config: Config,
    reader: Callable[[], Reader],
    registry: CollectorRegistry,
    hub: Hub,
    vitals: Callable[[], Vitals],
) -> FastAPI:
    """The application of one service."""
    app = FastAPI(
        title="temwatch",
        version=temwatch.__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    # a page of another site must not reach the service through a name that it points at this machine
    hosts = ["localhost", "127.0.0.1", "[::1]", config.http.host, *config.http.allowed_hosts]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    _health(app, vitals, registry)
    _samples(app, reader)
    _micrographs(app, reader, config)

    @app.get("/api/events", summary="Server-sent events: one `micrograph` for each finished file")
    def events() -> StreamingResponse:
        return StreamingResponse(
            hub.stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    app.mount("/", StaticFiles(directory=_STATIC, html=True), name="page")
    return app


def _health(app: FastAPI, vitals: Callable[[], Vitals], registry: CollectorRegistry) -> None:
    @app.get("/healthz", summary="200 while the process is alive")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", summary="200 when weights, folder and ledger are ready, else 503 with what is not")
    def readyz() -> JSONResponse:
        now = vitals()
        missing = [] if now.watch_folder_up else ["the watched folder is not there"]
        if not now.ready and not missing:
            missing = ["starting: the workers or the first scan are not ready yet"]
        return JSONResponse(
            {"status": "not ready" if missing else "ready", "missing": missing},
            status_code=503 if missing else 200,
        )

    @app.get("/metrics", summary="Prometheus metrics")
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})


def _samples(app: FastAPI, reader: Callable[[], Reader]) -> None:
    def check(ledger: Reader, sample: str) -> None:
        if not ledger.receipt(sample).seen:
            raise HTTPException(404, f"no sample {sample!r}")

    @app.get("/api/samples", summary="Every sample with its counts")
    def samples() -> list[dict[str, Any]]:
        with reader() as ledger:
            return [answers.sample(row) for row in ledger.samples()]

    @app.get("/api/samples/{sample}/summary", summary="Statistics of a sample")
    def summary(sample: str) -> dict[str, Any]:
        with reader() as ledger:
            check(ledger, sample)
            return tables.summary(ledger, sample)

    @app.get("/api/samples/{sample}/micrographs", summary="Micrographs of a sample, newest first")
    def micrographs(sample: str, limit: Limit = 50) -> list[dict[str, Any]]:
        with reader() as ledger:
            check(ledger, sample)
            last = deque(ledger.micrographs(sample), maxlen=limit)
        return [answers.micrograph(row) for row in reversed(last)]

    @app.get("/api/samples/{sample}/particles", summary="Every particle of a sample")
    def particles(sample: str, format: Literal["json", "csv", "parquet"] = "json") -> Response:
        with reader() as ledger:
            check(ledger, sample)
        return answers.all_particles(reader, sample, format)


def _micrographs(app: FastAPI, reader: Callable[[], Reader], config: Config) -> None:
    def find(ledger: Reader, number: int) -> MicrographRow:
        row = ledger.micrograph(number)
        if row is None:
            raise HTTPException(404, f"no micrograph {number}")
        return row

    @app.get("/api/micrographs", summary="Micrographs of all samples, newest first")
    def recent(limit: Limit = 20) -> list[dict[str, Any]]:
        with reader() as ledger:
            return [answers.micrograph(row) for row in ledger.recent(limit)]

    @app.get("/api/micrographs/{id}", summary="One micrograph with its particles")
    def micrograph(id: int) -> dict[str, Any]:
        with reader() as ledger:
            row = find(ledger, id)
            return answers.micrograph(row) | {"particle_rows": answers.particles(ledger, row)}

    @app.get("/api/micrographs/{id}/{kind}.png", summary="Its picture: micrograph, mask or overlay")
    def picture(id: int, kind: Literal["micrograph", "mask", "overlay"]) -> FileResponse:
        with reader() as ledger:
            path = answers.picture(config.output.folder, find(ledger, id), kind)
        if not path.is_file():
            raise HTTPException(404, f"micrograph {id} has no {kind} picture")
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "no-cache"})
