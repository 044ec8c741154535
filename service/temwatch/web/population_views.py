"""Statistics of a sample: population, convergence, border correction, comparison; never all rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from temwatch.analysis.statistics import manual_table
from temwatch.analysis.statistics.bins import AUTOMATIC, Bins
from temwatch.descriptors import SHAPE, SIZE
from temwatch.outputs import population_summary
from temwatch.outputs.population_summary import DescriptorName, View, Weighting
from temwatch.particle_filter import ParticleFilter
from temwatch.web.bodies import REFUSALS, token_route
from temwatch.web.context import BinsQuery, Context, JsonBody, ViewQuery, known_sample
from temwatch.web.filter_query import AskedFilter, FilterQuery
from temwatch.web.population_cache import Compute, LoadedSample

_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "no such sample"}}

Target = Annotated[float, Query(ge=0.05, le=100, description="target half-width in per cent")]


Question = tuple[Hashable, Compute]
"""The key under which an answer is cached, and the function that computes it."""


def _population(view: View, bins: Bins, *, intervals: bool = True) -> Question:
    def compute(loaded: LoadedSample) -> dict[str, Any]:
        return population_summary.describe(loaded.fields, view, bins, intervals=intervals)

    return (view, bins, intervals), compute


def _convergence(view: View, target_percent: float, *, curve: bool = False) -> Question:
    def compute(loaded: LoadedSample) -> dict[str, Any]:
        return population_summary.convergence(
            loaded.fields, view, target_percent, curve=curve, known=loaded.earlier_steps[view]
        )

    return ("convergence", view, target_percent, curve), compute


def _scatter(x: DescriptorName, y: DescriptorName) -> Question:
    return ("scatter", x, y), lambda loaded: population_summary.scatter(loaded.fields, x, y)


QUESTIONS: Mapping[str, Callable[[View, float], Question]] = {
    "population": lambda view, _: _population(view, AUTOMATIC),
    "convergence": _convergence,
    "curve": partial(_convergence, curve=True),
    "scatter": lambda *_: _scatter(SIZE, SHAPE),
}
"""Statistics that `/api/now` can include for a view of the page."""


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""

    def respond(request: Request, sample: str, filter: AskedFilter, question: Question) -> Response:
        """The answer for a sample, computed once for each state of the ledger."""
        chosen = _chosen(service, sample, filter)
        return JsonBody.from_bytes(service.populations.answer(sample, *question, chosen)).response(request)

    @app.get(
        "/api/samples/{sample}/population",
        responses=_UNKNOWN,
        summary="Histogram, density, fits, and statistics with 95 % intervals",
    )
    def population(
        request: Request,
        sample: str,
        view: ViewQuery,
        bins: BinsQuery,
        filter: FilterQuery,
        intervals: Annotated[bool, Query(description="false: half the time, no 95 % intervals")] = True,
    ) -> Response:
        return respond(request, sample, filter, _population(view, bins, intervals=intervals))

    @app.get(
        "/api/samples/{sample}/convergence",
        responses=_UNKNOWN,
        summary="Interval half-widths against the number of micrographs, and how many more the target needs",
    )
    def convergence(
        request: Request,
        sample: str,
        view: ViewQuery,
        filter: FilterQuery,
        target_percent: Target = 2.0,
        curve: bool = True,
    ) -> Response:
        return respond(request, sample, filter, _convergence(view, target_percent, curve=curve))

    @app.get(
        "/api/samples/{sample}/border",
        responses=_UNKNOWN,
        summary="The population as measured and after border correction",
    )
    def border(
        request: Request,
        sample: str,
        filter: FilterQuery,
        descriptor: DescriptorName = SIZE,
        weighting: Weighting = "number",
    ) -> Response:
        def compute(loaded: LoadedSample) -> dict[str, Any]:
            return population_summary.border_shift(loaded.fields, descriptor, weighting)

        return respond(request, sample, filter, (("border", descriptor, weighting), compute))

    @app.get(
        "/api/samples/{sample}/scatter",
        responses=_UNKNOWN,
        summary="One descriptor against another, at most 2,000 points",
    )
    def scatter(
        request: Request,
        sample: str,
        filter: FilterQuery,
        x: DescriptorName = SIZE,
        y: DescriptorName = SHAPE,
    ) -> Response:
        return respond(request, sample, filter, _scatter(x, y))

    _particles(app, service)
    _comparison(app, service)


def _particles(app: FastAPI, service: Context) -> None:
    @app.get(
        "/api/samples/{sample}/particles/between",
        responses=_UNKNOWN,
        summary="Particles of one histogram bin, and the micrographs that contain them",
    )
    def between(
        sample: str,
        filter: FilterQuery,
        low: Annotated[float, Query(allow_inf_nan=False)],
        high: Annotated[float, Query(allow_inf_nan=False)],
        descriptor: DescriptorName = SIZE,
        closed: bool = False,
        limit: Annotated[int, Query(ge=1, le=96)] = 24,
    ) -> dict[str, Any]:
        chosen = _chosen(service, sample, filter)
        found = population_summary.particles_in_bin(
            service.populations.fields(sample, chosen), descriptor, low, high, closed=closed, limit=limit
        )
        with service.reader() as ledger:
            for entry in found["micrographs"]:
                row = ledger.micrograph(entry["id"])
                entry["micrograph"] = row.micrograph if row else None
        return found


def _comparison(app: FastAPI, service: Context) -> None:
    posts = APIRouter(route_class=token_route(service.token))

    @posts.post(
        "/api/samples/{sample}/comparison",
        responses=_UNKNOWN
        | REFUSALS
        | {
            415: {"description": "not csv"},
            422: {"description": "no diameters found, or a choice of `candidates` is needed"},
        },
        openapi_extra={
            "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}
        },
        summary="Compare manual diameters (csv) with the automatic ones; nothing is stored (token)",
    )
    async def compare(
        request: Request,
        sample: str,
        filter: FilterQuery,
        column: Annotated[
            str | None, Query(max_length=1000, description="heading of the column to use; empty: by its name")
        ] = None,
    ) -> Response:
        # a form on another site can send text/plain, but for text/csv the browser asks this service first
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/csv":
            raise HTTPException(415, "send the table as text/csv")
        body = await request.body()
        return await run_in_threadpool(_compare, service, sample, filter, body, column or None)

    app.include_router(posts)


def _chosen(service: Context, sample: str, filter: AskedFilter) -> ParticleFilter:
    """The filter for a sample; responds with 404 where there is no such sample."""
    with service.reader() as ledger:
        known_sample(ledger, sample)
        return filter.of_sample(ledger, sample)


def _compare(service: Context, sample: str, filter: AskedFilter, body: bytes, column: str | None) -> Response:
    chosen = _chosen(service, sample, filter)
    try:
        manual, column = manual_table.diameters(_text(body), column)
    except manual_table.ChoiceNeeded as choice:
        answer = {"detail": str(choice), "candidates": list(choice.candidates)}
        return Response(json.dumps(answer), status_code=422, media_type="application/json")
    except manual_table.NoColumn as error:
        raise HTTPException(422, f"no diameters found: {error}") from None
    found = population_summary.compare_manual(service.populations.fields(sample, chosen), manual, column)
    if found is None:
        raise HTTPException(422, "the sample has too few particles for a comparison")
    return Response(json.dumps(found, allow_nan=False), media_type="application/json")


def _text(body: bytes) -> str:
    """A table as text: UTF-8, UTF-16 as Excel saves it, else latin-1, which decodes any byte."""
    encoding = "utf-16" if body.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        return body.decode("latin-1")
