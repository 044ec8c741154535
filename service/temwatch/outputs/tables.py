"""The tables as rows and as csv text. All values come from the ledger, so a table can be written again."""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics.summary import SUMMARISED, summarise
from temwatch.columns import BOX, ORIGIN, PARTICLE_COLUMNS, ROW, Column
from temwatch.domain import EXCLUDED, PixelSizeSource, Reason, Status, utc_text
from temwatch.ledger import MicrographRow, Reader
from temwatch.names import path_cell, text_cell
from temwatch.notes import Note, join_notes
from temwatch.outputs import paths

Advance = Callable[[], None]
"""Called after each micrograph, for a progress bar."""


def nothing() -> None:
    """The `Advance` of a caller that shows no progress."""


_PIXEL_SIZE, _ACQUIRED_AT, _ANALYSED_AT, _METHOD = ORIGIN
_REJECTED = {
    reason: Column(f"rejected_{reason}", "integer", f"regions rejected as {reason}") for reason in Reason
}
_LATER_REASONS = (Reason.LOW_CONFIDENCE,)  # they joined when the columns stood

MICROGRAPH_COLUMNS: tuple[Column, ...] = (
    *ROW,
    Column("status", "text", ", ".join(Status)),
    Column("sha256", "text", "digest of the file's content"),
    Column("width_px", "integer", "width of the micrograph"),
    Column("height_px", "integer", "height of the micrograph"),
    _PIXEL_SIZE,
    Column("particles", "integer", "number of particles measured"),
    *(column for reason, column in _REJECTED.items() if reason not in _LATER_REASONS),
    Column("particle_fraction", "real", "share of the area that particles cover"),
    Column("mean_equivalent_diameter_nm", "real", "mean of the particles measured"),
    _ACQUIRED_AT,
    _ANALYSED_AT,
    Column("seconds", "real", "time the analysis took"),
    _METHOD,
    Column("reason", "text", "why it was refused, failed or is a duplicate"),
    Column("pixel_size_source", "text", f"who states the pixel size: {', '.join(PixelSizeSource)}"),
    Column("stated_pixel_size_nm", "real", "pixel size that the file states, empty where it states none"),
    Column("notes", "text", f"remarks, joined by ;: {', '.join(Note)}"),
    Column("excluded_particles", "integer", "number of particles that somebody has excluded"),
    *(_REJECTED[reason] for reason in _LATER_REASONS),
    Column(
        "domain_distance",
        "real",
        "how unlike those of the network's training it is",
    ),
)

REJECTION_COLUMNS: tuple[Column, ...] = (
    *ROW,
    Column("rejection", "integer", "number of the rejection in its micrograph, from 1"),
    Column("reason", "text", f"{', '.join(Reason)}, or {EXCLUDED} by somebody"),
    Column("area_nm2", "real", "area of the rejected region"),
    Column("equivalent_diameter_nm", "real", "diameter of the disc of equal area"),
    *BOX,
    *ORIGIN,
)


@dataclass(frozen=True, slots=True)
class Table:
    """One csv file of a sample: `own` are the columns that differ between the rows of one micrograph."""

    file: str
    columns: tuple[Column, ...]
    own: tuple[str, ...]
    records: Callable[[Reader, MicrographRow], list[tuple[Any, ...]]]
    """Values of the columns `own`, for every row that the micrograph has in this table."""


def _particles(reader: Reader, row: MicrographRow) -> list[tuple[Any, ...]]:
    if row.status is not Status.DONE:
        return []
    return reader.particle_values(row.id, ("number", *_PARTICLE_OWN[1:]))


def _rejections(reader: Reader, row: MicrographRow) -> list[tuple[Any, ...]]:
    if row.status is not Status.DONE:
        return []
    pixel_nm2 = (row.pixel_size_nm or math.nan) ** 2
    found: list[tuple[Any, ...]] = [
        (number, reason, area_px * pixel_nm2, math.sqrt(4 * area_px * pixel_nm2 / math.pi), *box)
        for number, reason, area_px, *box in reader.rejection_values(
            row.id, ("number", "reason", "area_px", *_REJECTION_OWN[4:])
        )
    ]
    if row.excluded_particles:
        excluded = reader.excluded_values(row.id, _REJECTION_OWN[2:])
        found += [(number, EXCLUDED, *own) for number, own in enumerate(excluded, len(found) + 1)]
    return found


def _one(_: Reader, __: MicrographRow) -> list[tuple[Any, ...]]:
    return [()]


_SHARED = {"sample", "micrograph", "frame", "pixel_size_nm", "acquired_at", "analysed_at", "method"}
_PARTICLE_OWN = tuple(column.name for column in PARTICLE_COLUMNS if column.name not in _SHARED)
_REJECTION_OWN = tuple(column.name for column in REJECTION_COLUMNS if column.name not in _SHARED)

PARTICLES = Table(paths.PARTICLES, PARTICLE_COLUMNS, _PARTICLE_OWN, _particles)
MICROGRAPHS = Table(paths.MICROGRAPHS, MICROGRAPH_COLUMNS, (), _one)
REJECTIONS = Table(paths.REJECTIONS, REJECTION_COLUMNS, _REJECTION_OWN, _rejections)
TABLES = (PARTICLES, MICROGRAPHS, REJECTIONS)


def values(table: Table, reader: Reader, row: MicrographRow) -> Iterator[list[Any]]:
    """Rows of one micrograph in the order of the columns: numbers, text, bool, datetime or None."""
    shared = _shared(table, row)
    place = {name: index for index, name in enumerate(table.own)}
    booleans = {column.name for column in table.columns if column.kind == "boolean"}
    for own in table.records(reader, row):
        yield [
            shared[column.name]
            if column.name in shared
            else bool(own[place[column.name]])
            if column.name in booleans
            else own[place[column.name]]
            for column in table.columns
        ]


def _shared(table: Table, row: MicrographRow) -> dict[str, Any]:
    # a count is empty, not 0, if nothing was measured
    measured = row.method is not None
    counts = {name: getattr(row, name) if measured else None for name in ("particles", "excluded_particles")}
    counts |= {f"rejected_{reason}": n if measured else None for reason, n in row.rejected.items()}
    known = counts | {"notes": join_notes(row.notes), "sample": row.sample_name}
    return {
        column.name: known[column.name] if column.name in known else getattr(row, column.name)
        for column in table.columns
        if column.name not in table.own
    }


def header(columns: Sequence[Column]) -> str:
    """First line of a csv file."""
    return ",".join(column.name for column in columns) + "\n"


def csv_lines(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Lines of a csv file, a row each, every value as its column's kind is written."""
    cells = [_cell(column) for column in columns]
    for row in rows:
        yield ",".join([cell(value) for cell, value in zip(cells, row, strict=True)]) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """How rows are written: what begins, joins and ends their cells, and how a column's value is written."""

    begin: str = ""
    separator: str
    end: str
    cell: Callable[[Column], Callable[[Any], str]]


def layout_rows(table: Table, reader: Reader, row: MicrographRow, layout: RowLayout) -> Iterator[str]:
    """Rows that one micrograph has in a table, as text."""
    shared = _shared(table, row)
    cells = {column.name: layout.cell(column) for column in table.columns}
    own = [cells[column.name] for column in table.columns if column.name not in shared]
    # values that all rows share are formatted once
    line = layout.separator.join(
        cells[column.name](shared[column.name]).replace("%", "%%") if column.name in shared else "%s"
        for column in table.columns
    )
    line = f"{layout.begin}{line}{layout.end}"
    for record in table.records(reader, row):
        yield line % tuple([cell(value) for cell, value in zip(own, record, strict=True)])


def lines(table: Table, reader: Reader, row: MicrographRow) -> str:
    """Lines of a csv file that one micrograph has."""
    return "".join(layout_rows(table, reader, row, _CSV))


def csv_text(table: Table, reader: Reader, sample: str, advance: Advance = nothing) -> Iterator[str]:
    """A whole csv file of a sample, one micrograph at a time."""
    yield header(table.columns)
    for row in reader.micrographs(sample):
        yield lines(table, reader, row)
        advance()


def rows(table: Table, reader: Reader, sample: str, advance: Advance = nothing) -> Iterator[list[Any]]:
    """All rows of a table, as `values` gives them."""
    for row in reader.micrographs(sample):
        yield from values(table, reader, row)
        advance()


def _cell(column: Column) -> Callable[[Any], str]:
    """How a value of this column is written in a csv file with commas."""
    return _QUOTED[column.kind] if column.kind in _QUOTED else cell_text(column)


_CSV = RowLayout(separator=",", end="\n", cell=_cell)


def cell_text(column: Column) -> Callable[[Any], str]:
    """How a value of this column is written as text, before anything is quoted."""
    return _real(column.digits) if column.kind == "real" else _TEXT[column.kind]


@functools.cache
def _real(digits: int) -> Callable[[float | None], str]:
    form = f".{digits}g"
    return lambda value: "" if value is None or value != value else format(value + 0.0, form)


def _text(value: str | None) -> str:
    return text_cell(value) if value else ""


def _path(value: str | None) -> str:
    return path_cell(value) if value else ""


@functools.lru_cache(1024)  # few different texts in many rows
def _quoted_text(value: str | None) -> str:
    return _quoted(_text(value))


@functools.lru_cache(1024)
def _quoted_path(value: str | None) -> str:
    return _quoted(_path(value))


def _quoted(value: str) -> str:
    if not value:
        return ""
    cell, end = io.StringIO(), "\r\n"
    # it quotes values with characters of the terminator
    csv.writer(cell, lineterminator=end).writerow([value])
    return cell.getvalue().removesuffix(end)


def _integer(value: int | None) -> str:
    return "" if value is None else str(int(value))


def _boolean(value: bool | None) -> str:
    return "" if value is None else "true" if value else "false"


def _time(value: datetime | None) -> str:
    return "" if value is None else utc_text(value)


_TEXT: dict[str, Callable[[Any], str]] = {
    "text": _text,
    "path": _path,
    "integer": _integer,
    "boolean": _boolean,
    "time": _time,
}
_QUOTED: dict[str, Callable[[Any], str]] = {"text": _quoted_text, "path": _quoted_path}


def summary(
    reader: Reader, sample: str, columns: Mapping[str, NDArray[np.float64]] | None = None
) -> dict[str, Any]:
    """What summary.json says: counts, rejections, methods, and statistics of every descriptor.

    `columns` are the particle columns of the sample, if already read.

    Raises
    ------
    KeyError
        There is no such sample.
    """
    found = reader.samples(only=sample)
    if not found:
        raise KeyError(f"no sample {sample}")
    row, files = found[0], asdict(found[0].receipt)
    for unsettled in ("seen", "pending"):  # they change without a row of a table
        del files[unsettled]
    return {
        "sample": row.name,
        "micrographs": row.micrographs,
        "particles": row.particles,
        "files": files,
        "rejected": {str(reason): count for reason, count in row.rejected.items()},
        "methods": list(row.methods),
        "statistics": summarise(columns or reader.particle_columns(sample, SUMMARISED)),
    } | _of_filter(reader, sample)


def _of_filter(reader: Reader, sample: str) -> dict[str, Any]:
    """What a summary says where a filter chooses among the particles; never in summary.json."""
    if not reader.chosen.limits:
        return {}
    count = reader.particle_count(sample)
    return {"particles": count, "filter": reader.chosen.limits, "filter_in_words": reader.chosen.words}
