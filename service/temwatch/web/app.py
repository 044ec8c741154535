"""The HTTP application. It reads the ledger; all that is posted needs the token."""

from __future__ import annotations

import functools
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request

import temwatch
from temwatch.config import Config
from temwatch.errors import StartError
from temwatch.health import Vitals, obstacles
from temwatch.ledger import Reader, post_request
from temwatch.outputs import tables
from temwatch.token_file import token_path
from temwatch.web import (
    decisions,
    downloads,
    files_in_hand,
    live,
    micrographs,
    page,
    population_views,
    sample_comparison_views,
    sequence_views,
    serialize,
    setting_preview,
    setting_views,
)
from temwatch.web.bodies import add_refusal
from temwatch.web.context import Context, Decide, known_sample
from temwatch.web.download_queue import DownloadQueue
from temwatch.web.events import Hub
from temwatch.web.filter_query import FilterQuery
from temwatch.web.outline_cache import OutlineCache
from temwatch.web.population_cache import PopulationCache
from temwatch.web.security import Guard, RequestLimits, Token

log = structlog.get_logger(__name__)

_SCRAPES_AT_ONCE = 2


def build(
    *,
    config: Config,
    reader: Callable[[], Reader],
    registry: CollectorRegistry,
    hub: Hub,
    vitals: Callable[[], Vitals],
    decide: Decide,
    limits: RequestLimits | None = None,
) -> FastAPI:
    """Build the application of one service."""
    limits = limits or RequestLimits()
    app = FastAPI(
        title="temwatch",
        version=temwatch.__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    hosts = ["localhost", config.http.host, *config.http.allowed_hosts]
    add_refusal(app)
    app.add_middleware(Guard, hosts=hosts, limits=limits)

    def post(kind: str, arguments: dict[str, Any]) -> int:
        with _writing():
            return post_request(config.output.state, kind, arguments, datetime.now(UTC))

    def decide_at_once(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
        with _writing():
            return decide(kind, arguments)

    service = Context(
        config=config,
        reader=reader,
        vitals=vitals,
        populations=PopulationCache(reader),
        outlines=OutlineCache(config.output.folder),
        token=Token(token_path(config), limits),
        post=post,
        decide=decide_at_once,
        download_queue=DownloadQueue(config.output.state),
    )
    _health(app, vitals, registry)
    _samples(app, reader, config.output.state)
    _events(app, hub)
    for part in (
        live,
        files_in_hand,
        population_views,
        sample_comparison_views,
        sequence_views,
        downloads,
        micrographs,
        decisions,
        setting_views,
        setting_preview,
    ):
        part.add(app, service)
    page.add(app)
    return app


@contextmanager
def _writing() -> Iterator[None]:
    """Respond in words where the ledger cannot be written: its disk is full, or another program holds it."""
    try:
        yield
    except (StartError, sqlite3.Error) as error:
        log.warning("a change could not be written", reason=str(error))
        raise HTTPException(
            503, "the ledger cannot be written now; nothing has changed", headers={"Retry-After": "5"}
        ) from None


def _health(app: FastAPI, vitals: Callable[[], Vitals], registry: CollectorRegistry) -> None:
    """Routes that never wait for a thread that other routes use."""
    threads = functools.cache(lambda: CapacityLimiter(_SCRAPES_AT_ONCE))

    @app.get("/healthz", summary="200 while the process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get(
        "/readyz",
        responses={503: {"description": "not ready; says what is missing"}},
        summary="200 when weights, folders, workers and ledger are ready, else 503 and what is missing",
    )
    async def readyz() -> JSONResponse:
        missing = obstacles(vitals())
        return JSONResponse(
            {"status": "not ready" if missing else "ready", "missing": missing},
            status_code=503 if missing else 200,
        )

    @app.get("/metrics", response_class=Response, summary="Prometheus metrics")
    async def metrics(request: Request) -> Response:
        accepted = request.headers.get("accept", "")
        try:
            encode, content_type = choose_encoder(accepted)
        except (TypeError, ValueError):  # prometheus_client compares a version that is no number
            encode, content_type = choose_encoder("")
        content = await to_thread.run_sync(encode, registry, limiter=threads())
        return Response(content, headers={"Content-Type": content_type})


def _events(app: FastAPI, hub: Hub) -> None:
    @app.get(
        "/api/events",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {}}},
            503: {"description": "too many open pages"},
        },
        summary="Server-sent events: a `micrograph` per finished file, a `decision` per change by a person",
    )
    def events() -> Response:
        if hub.is_full:
            return Response("too many open pages", status_code=503, headers={"Retry-After": "10"})
        return StreamingResponse(hub.stream(), media_type="text/event-stream")


def _samples(app: FastAPI, reader: Callable[[], Reader], state: Path) -> None:
    unknown: dict[int | str, dict[str, Any]] = {404: {"description": "no such sample"}}

    @app.get("/api/samples", summary="All samples with their counts")
    def samples() -> list[dict[str, Any]]:
        with reader() as ledger:
            return serialize.samples(ledger)

    @app.get("/api/samples/{sample}/summary", responses=unknown, summary="Statistics of a sample")
    def summary(sample: str, filter: FilterQuery) -> dict[str, Any]:
        with reader() as ledger:
            known_sample(ledger, sample)
            chosen = filter.of_sample(ledger, sample)
        with Reader(state, chosen) as ledger:
            return tables.summary(ledger, sample)

    @app.get(
        "/api/samples/{sample}/micrographs",
        responses=unknown,
        summary="Micrographs of a sample, newest first",
    )
    def micrographs_of_sample(
        sample: str, limit: Annotated[int, Query(ge=1, le=1000)] = 50
    ) -> list[dict[str, Any]]:
        with reader() as ledger:
            known_sample(ledger, sample)
            last = deque(ledger.micrographs(sample), maxlen=limit)
        return [serialize.micrograph(row) for row in reversed(last)]
