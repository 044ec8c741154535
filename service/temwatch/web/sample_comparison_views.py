"""Samples compared with each other, as numbers and as a chart."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import Response

from temwatch.ledger.sample_columns import Fields
from temwatch.outputs import sample_comparison
from temwatch.outputs.sample_comparison import MOST_SAMPLES
from temwatch.web.context import BinsQuery, Context, ViewQuery, known_sample
from temwatch.web.downloads import CHART_TYPES, attachment
from temwatch.web.filter_query import FilterQuery, named

_REFUSALS: dict[int | str, dict[str, Any]] = {404: {"description": "no such sample"}}


def _samples(
    sample: Annotated[
        list[str], Query(min_length=2, max_length=MOST_SAMPLES, description="the reference first")
    ],
) -> list[str]:
    if len({*sample}) < len(sample):
        raise HTTPException(422, "a sample cannot be compared with itself")
    return sample


SamplesQuery = Annotated[list[str], Depends(_samples)]


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""

    def loaded(names: list[str], filter: FilterQuery) -> dict[str, Fields]:
        with service.reader() as ledger:
            for name in names:
                known_sample(ledger, name)
            chosen = {name: filter.of_sample(ledger, name) for name in names}
        return {name: service.populations.fields(name, chosen[name]) for name in names}

    @app.get(
        "/api/comparison",
        responses=_REFUSALS,
        summary="How samples differ from the first one: difference of the means, test by fields, effect size",
    )
    def comparison(samples: SamplesQuery, view: ViewQuery, filter: FilterQuery) -> dict[str, Any]:
        return sample_comparison.compare(loaded(samples, filter), view)

    @app.get(
        "/api/comparison/chart.{kind}",
        responses=_REFUSALS,
        summary="The distributions of several samples in one chart, or the data behind it as csv",
    )
    def chart(
        samples: SamplesQuery,
        kind: Literal["png", "svg", "pdf", "csv"],
        view: ViewQuery,
        bins: BinsQuery,
        filter: FilterQuery,
    ) -> Response:
        found = loaded(samples, filter)
        content = (
            sample_comparison.csv_text(found, view, bins).encode()
            if kind == "csv"
            else sample_comparison.chart(found, kind, view, bins)
        )
        headers = {"Content-Disposition": attachment(named(f"comparison.{kind}", filter.limits))}
        return Response(content, media_type=CHART_TYPES[kind], headers=headers)
