"""JSON forms of the ledger's rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from fastapi.responses import Response, StreamingResponse

from temwatch.domain import particle_row, utc_text
from temwatch.ledger import MicrographRow, Reader, SampleRow, analyses
from temwatch.notes import join_notes, note_in_words
from temwatch.outputs import parquet, tables

_INTERNAL = ("root", "file_id", "reason_code", "rejected")
_SHOWN = tuple(field.name for field in fields(MicrographRow) if field.name not in _INTERNAL)


def sample(row: SampleRow) -> dict[str, Any]:
    """One sample with its counts."""
    counts = asdict(row.receipt)
    del counts["seen"]
    return {
        "sample": row.sample,
        "name": row.name,
        "micrographs": row.micrographs,
        "particles": row.particles,
        "last_analysed_at": utc_text(row.last_analysed_at) if row.last_analysed_at else None,
        **counts,
    }


def micrograph(row: MicrographRow) -> dict[str, Any]:
    """One row of micrographs.csv, with the id under which its pictures are served."""
    # field by field: `asdict` makes deep copies and takes ten times as long
    values = {name: getattr(row, name) for name in _SHOWN}
    values |= {"notes": join_notes(row.notes), "notes_in_words": [note_in_words(note) for note in row.notes]}
    values["metadata"] = asdict(row.metadata)
    for name in ("acquired_at", "analysed_at"):
        values[name] = utc_text(values[name]) if values[name] else None
    return values | {f"rejected_{reason}": count for reason, count in row.rejected.items()}


def particles(reader: Reader, row: MicrographRow) -> list[dict[str, Any]]:
    """Rows of particles.csv of one micrograph."""
    rows = [
        particle_row(
            particle,
            number,
            pixel_size_nm=row.pixel_size_nm or 0.0,
            method=row.method or "",
            sample=row.sample_name,
            micrograph=row.micrograph,
            frame=row.frame,
            acquired_at=row.acquired_at,
            analysed_at=row.analysed_at,
        )
        for number, particle in enumerate(analyses.particles(reader, row.id), 1)
    ]
    for values in rows:
        for name in ("acquired_at", "analysed_at"):
            values[name] = utc_text(values[name]) if values[name] else None
    return rows


def all_particles(reader: Callable[[], Reader], sample: str, format: str) -> Response:
    """All particles of a sample as json, csv or parquet; text is streamed."""
    if format == "parquet":
        with reader() as ledger:
            content = parquet.particles_parquet(ledger, sample)
        return Response(content, media_type="application/vnd.apache.parquet")
    parts, kind = (_csv, "text/csv; charset=utf-8") if format == "csv" else (_json, "application/json")
    return StreamingResponse(parts(reader, sample), media_type=kind)


def _csv(reader: Callable[[], Reader], sample: str) -> Iterator[str]:
    # each step may run in another thread, so the stream has its own connection
    with reader() as ledger:
        yield from tables.csv_text(tables.PARTICLES, ledger, sample)


def _json(reader: Callable[[], Reader], sample: str) -> Iterator[str]:
    names = [column.name for column in tables.PARTICLES.columns]
    between = "["
    with reader() as ledger:
        for row in ledger.micrographs(sample):
            for values in tables.values(tables.PARTICLES, ledger, row):
                plain = [utc_text(value) if isinstance(value, datetime) else value for value in values]
                yield between + json.dumps(dict(zip(names, plain, strict=True)))
                between = ",\n"
    yield "[]" if between == "[" else "]"
