"""The csv tables for an Excel that expects semicolons and decimal commas, as in German, French or Spanish.

Such an Excel takes 12.5 of an ordinary csv file for the twelfth of May. Here a mark at the beginning says
that the text is UTF-8, cells are separated by semicolons, and numbers have a comma.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from temwatch.columns import Column
from temwatch.ledger import Reader
from temwatch.outputs import paths, sequence_files
from temwatch.outputs.files import write_whole
from temwatch.outputs.tables import PARTICLES, TABLES, Advance, cell_text, nothing, rows

_BYTE_ORDER_MARK = "\ufeff"


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:
    """Write every table that csv has, named `particles-excel.csv` and so on."""
    for table in TABLES:
        path = _path(folder, table.file)
        step = advance if table is PARTICLES else nothing
        write_whole(path, _text(table.columns, rows(table, reader, sample, step)))
        yield path
    for file in sequence_files.exported(reader, sample):
        path = _path(folder, file)
        write_whole(path, _text(sequence_files.TABLES[file], sequence_files.rows(reader, file, sample)))
        yield path


def _path(folder: Path, file: str) -> Path:
    return folder / paths.EXCEL_CSV.format(table=Path(file).stem)


def _text(columns: Sequence[Column], records: Iterable[Sequence[Any]]) -> Iterator[str]:
    cells = [_cell(column) for column in columns]
    yield _BYTE_ORDER_MARK + _line([column.name for column in columns])
    for row in records:
        yield _line([cell(value) for cell, value in zip(cells, row, strict=True)])


def _cell(column: Column) -> Callable[[Any], str]:
    plain = cell_text(column)
    return (lambda value: plain(value).replace(".", ",")) if column.kind == "real" else plain


def _line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=";").writerow(cells)
    return line.getvalue()
