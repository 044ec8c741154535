"""JSON forms of the ledger's rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, BinaryIO, Literal, Protocol

from temwatch.domain import particle_row, utc_text
from temwatch.ledger import MicrographRow, Reader, SampleRow, analyses, exclusions, sample_remarks
from temwatch.notes import Note, join_notes, kind_of, note_in_words
from temwatch.outputs import parquet, tables
from temwatch.web.download_queue import write_text

CSV = "text/csv; charset=utf-8"

_INTERNAL = ("root", "file_id", "reason_code", "rejected", "recalibrated")
_SHOWN = tuple(field.name for field in fields(MicrographRow) if field.name not in _INTERNAL)


def samples(reader: Reader) -> list[dict[str, Any]]:
    """All samples."""
    remarks = sample_remarks.shown(reader)
    return [_sample(row, remarks.get(row.sample, ())) for row in reader.samples()]


def _sample(row: SampleRow, remarks: Sequence[Note]) -> dict[str, Any]:
    """One sample with its counts, and what is odd about it."""
    counts = asdict(row.receipt)
    del counts["seen"]
    return {
        "sample": row.sample,
        "name": row.name,
        "micrographs": row.micrographs,
        "particles": row.particles,
        "last_analysed_at": utc_text(row.last_analysed_at) if row.last_analysed_at else None,
        **counts,
        "flags": [_flag(note) for note in remarks],
    }


def _flag(note: str) -> dict[str, str]:
    return {"note": note, "words": note_in_words(note), "what_to_do": kind_of(note).what_to_do}


def micrograph(row: MicrographRow) -> dict[str, Any]:
    """One row of micrographs.csv, with the id under which its pictures are served."""
    # field by field: `asdict` makes deep copies and takes ten times as long
    values = {name: getattr(row, name) for name in _SHOWN}
    values |= {
        "notes": join_notes(row.notes),
        "dismissed_notes": join_notes(row.dismissed_notes),
        "notes_in_words": [note_in_words(note) for note in row.shown_notes],
        "flags": [_flag(note) for note in row.shown_notes],
    }
    values["metadata"] = asdict(row.metadata)
    for name in ("acquired_at", "analysed_at"):
        values[name] = utc_text(values[name]) if values[name] else None
    return values | {f"rejected_{reason}": count for reason, count in row.rejected.items()}


def particles(reader: Reader, row: MicrographRow) -> list[dict[str, Any]]:
    """Rows of particles.csv of one micrograph, which excluded particles are not in."""
    excluded = exclusions.uncounted_numbers(reader, row.id)
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
        if number not in excluded
    ]
    for values in rows:
        for name in ("acquired_at", "analysed_at"):
            values[name] = utc_text(values[name]) if values[name] else None
    return rows


def _csv(reader: Reader, stream: BinaryIO, *, sample: str) -> None:
    write_text(stream, tables.csv_text(tables.PARTICLES, reader, sample))


def _parquet(reader: Reader, stream: BinaryIO, *, sample: str) -> None:
    stream.write(parquet.particles_parquet(reader, sample))


def _json(reader: Reader, stream: BinaryIO, *, sample: str) -> None:
    write_text(stream, _json_text(reader, sample))


class WriteParticles(Protocol):
    """Writes all particles of a sample in one format."""

    def __call__(self, reader: Reader, stream: BinaryIO, /, *, sample: str) -> None: ...


ParticleFormat = Literal["json", "csv", "parquet"]
PARTICLE_FORMATS: dict[ParticleFormat, tuple[str, WriteParticles]] = {
    "json": ("application/json", _json),
    "csv": (CSV, _csv),
    "parquet": ("application/vnd.apache.parquet", _parquet),
}
"""All particles of a sample: media type, and what writes it."""


def _json_text(reader: Reader, sample: str) -> Iterator[str]:
    names = [column.name for column in tables.PARTICLES.columns]
    between = "["
    for row in reader.micrographs(sample):
        for values in tables.values(tables.PARTICLES, reader, row):
            plain = [utc_text(value) if isinstance(value, datetime) else value for value in values]
            yield between + json.dumps(dict(zip(names, plain, strict=True)))
            between = ",\n"
    yield "[]" if between == "[" else "]"
