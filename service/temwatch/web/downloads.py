"""Downloads of a sample: tables, workbook, charts and report."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from temwatch.ledger import Reader
from temwatch.outputs import chart_data, charts, sample_report, sequence_files, tables, workbook
from temwatch.particle_filter import NO_FILTER
from temwatch.web import download_process, serialize
from temwatch.web.context import BinsQuery, Context, ViewQuery, known_sample
from temwatch.web.download_process import Write
from temwatch.web.download_queue import write_text
from temwatch.web.filter_query import AskedFilter, FilterQuery, named

_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "no such sample"}}
_DOWNLOAD = _UNKNOWN | {503: {"description": "too many downloads at once"}}
_TABLES = {"particles": tables.PARTICLES, "micrographs": tables.MICROGRAPHS, "rejections": tables.REJECTIONS}
Table = Literal["particles", "micrographs", "rejections", "frames", "tracks", "events"]
CHART_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "csv": serialize.CSV}
ChartFile = Literal["png", "svg", "pdf", "csv"]
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""

    def download(
        sample: str, name: str, media_type: str, made_by: Write, asked: AskedFilter | None = None
    ) -> Response:
        """What `made_by` makes of one state of the ledger; the name says which particles were asked for."""
        with service.reader() as ledger:
            known_sample(ledger, sample)
            chosen = NO_FILTER if asked is None else asked.of_sample(ledger, sample)
        write = partial(download_process.write, service.config.output.state, made_by, chosen)
        headers = {"Content-Disposition": attachment(named(name, chosen))} if name else {}
        return service.download_queue.respond(write, media_type, headers)

    @app.get("/api/samples/{sample}/particles", responses=_DOWNLOAD, summary="All particles of a sample")
    def particles(sample: str, filter: FilterQuery, format: serialize.ParticleFormat = "json") -> Response:
        media_type, write = serialize.PARTICLE_FORMATS[format]
        name = "" if format == "json" else f"{sample}_particles.{format}"
        return download(sample, name, media_type, partial(write, sample=sample), filter)

    @app.get(
        "/api/samples/{sample}/tables/{table}.csv", responses=_DOWNLOAD, summary="One table of the sample"
    )
    def table(sample: str, table: Table, filter: FilterQuery) -> Response:
        made_by = partial(_write_table, sample=sample, table=table)
        asked = filter if table == "particles" else None
        return download(sample, f"{sample}_{table}.csv", serialize.CSV, made_by, asked)

    @app.get(
        "/api/samples/{sample}/workbook.xlsx",
        responses=_DOWNLOAD,
        summary="Excel workbook with native charts",
    )
    def workbook_file(sample: str, filter: FilterQuery) -> Response:
        return download(sample, f"{sample}.xlsx", _EXCEL, partial(_write_workbook, sample=sample), filter)

    @app.get(
        "/api/samples/{sample}/charts/{chart}.{kind}",
        responses=_UNKNOWN,
        summary="A chart in publication quality, or the data behind it as csv",
    )
    def chart_file(
        sample: str,
        chart: charts.Chart,
        kind: ChartFile,
        view: ViewQuery,
        bins: BinsQuery,
        filter: FilterQuery,
    ) -> Response:
        with service.reader() as ledger:
            known_sample(ledger, sample)
            chosen = filter.of_sample(ledger, sample)
        fields = service.populations.fields(sample, chosen)
        content = (
            chart_data.csv_text(fields, chart, view, bins).encode()
            if kind == "csv"
            else charts.render(fields, sample, chart, kind, view, bins)
        )
        headers = {"Content-Disposition": attachment(named(f"{sample}_{chart}.{kind}", chosen))}
        return Response(content, media_type=CHART_TYPES[kind], headers=headers)

    @app.get(
        "/api/samples/{sample}/report",
        responses=_DOWNLOAD,
        response_class=HTMLResponse,
        summary="One-page report for printing",
    )
    def report(sample: str, filter: FilterQuery) -> Response:
        made_by = partial(_write_report, sample=sample)
        return download(sample, "", "text/html; charset=utf-8", made_by, filter)


def _write_table(ledger: Reader, stream: BinaryIO, *, sample: str, table: Table) -> None:
    if table in _TABLES:
        write_text(stream, tables.csv_text(_TABLES[table], ledger, sample))
    else:
        write_text(stream, sequence_files.csv_text(ledger, f"{table}.csv", sample))


def _write_workbook(ledger: Reader, stream: BinaryIO, *, sample: str) -> None:
    workbook.write(ledger, sample, stream)


def _write_report(ledger: Reader, stream: BinaryIO, *, sample: str) -> None:
    write_text(stream, [sample_report.report(ledger, sample, datetime.now(UTC))])


def attachment(name: str) -> str:
    """Content-Disposition header for a file of any name (RFC 6266)."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in " ._-") else "_" for letter in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
