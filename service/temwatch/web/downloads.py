"""Downloads of a sample: tables, workbook, charts and report."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from temwatch.outputs import charts, sample_report, sequence_files, tables, workbook
from temwatch.web import serialize
from temwatch.web.context import Context, ViewQuery, known_sample

_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "no such sample"}}
_TABLES = {"particles": tables.PARTICLES, "micrographs": tables.MICROGRAPHS, "rejections": tables.REJECTIONS}
Table = Literal["particles", "micrographs", "rejections", "frames", "tracks", "events"]
_CHART_TYPES = {"png": "image/png", "svg": "image/svg+xml"}
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""
    one_workbook = threading.Lock()  # that of a large sample takes seconds and much memory

    @app.get("/api/samples/{sample}/particles", responses=_UNKNOWN, summary="All particles of a sample")
    def particles(sample: str, format: Literal["json", "csv", "parquet"] = "json") -> Response:
        with service.reader() as ledger:
            known_sample(ledger, sample)
        response = serialize.all_particles(service.reader, sample, format)
        if format != "json":
            response.headers["Content-Disposition"] = _attachment(f"{sample}_particles.{format}")
        return response

    @app.get(
        "/api/samples/{sample}/tables/{table}.csv", responses=_UNKNOWN, summary="One table of the sample"
    )
    def table(sample: str, table: Table) -> StreamingResponse:
        with service.reader() as ledger:
            known_sample(ledger, sample)

        def lines() -> Iterator[str]:
            with service.reader() as ledger:
                if table in _TABLES:
                    yield from tables.csv_text(_TABLES[table], ledger, sample)
                else:
                    yield from sequence_files.csv_text(ledger, f"{table}.csv", sample)

        return StreamingResponse(
            lines(),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": _attachment(f"{sample}_{table}.csv")},
        )

    @app.get(
        "/api/samples/{sample}/workbook.xlsx", responses=_UNKNOWN, summary="Excel workbook with native charts"
    )
    def workbook_file(sample: str) -> Response:
        with service.reader() as ledger:
            known_sample(ledger, sample)
            stream = io.BytesIO()
            with one_workbook, ledger.snapshot():
                workbook.write(ledger, sample, stream)
        headers = {"Content-Disposition": _attachment(f"{sample}.xlsx")}
        return Response(stream.getvalue(), media_type=_EXCEL, headers=headers)

    @app.get(
        "/api/samples/{sample}/charts/{chart}.{kind}",
        responses=_UNKNOWN,
        summary="A chart in publication quality",
    )
    def chart_file(sample: str, chart: charts.Chart, kind: charts.Kind, view: ViewQuery) -> Response:
        with service.reader() as ledger:
            known_sample(ledger, sample)
        content = charts.render(service.populations.fields(sample), sample, chart, kind, view)
        headers = {"Content-Disposition": _attachment(f"{sample}_{chart}.{kind}")}
        return Response(content, media_type=_CHART_TYPES[kind], headers=headers)

    @app.get(
        "/api/samples/{sample}/report",
        responses=_UNKNOWN,
        response_class=HTMLResponse,
        summary="One-page report for printing",
    )
    def report(sample: str) -> HTMLResponse:
        with service.reader() as ledger:
            known_sample(ledger, sample)
            with ledger.snapshot():
                return HTMLResponse(sample_report.report(ledger, sample, datetime.now(UTC)))


def _attachment(name: str) -> str:
    """Content-Disposition header for a file of any name (RFC 6266)."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in " ._-") else "_" for letter in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
