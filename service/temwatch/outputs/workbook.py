"""<sample>.xlsx: particles, micrographs, statistics and charts for work in a spreadsheet."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from temwatch.columns import Column
from temwatch.descriptors import Shown, shown
from temwatch.ledger import Reader
from temwatch.ledger.sample_columns import fields
from temwatch.outputs import population_summary, sheet_rows
from temwatch.outputs.tables import MICROGRAPHS, PARTICLES, Advance, nothing, summary

if TYPE_CHECKING:
    import xlsxwriter

SHEET_ROWS = 1_048_576
"""Most rows of a sheet in this format; a longer table continues on further sheets."""

_FIGURES = ("count", "mean", "sd", "median", "min", "max", "d10", "d50", "d90")


def write(reader: Reader, sample: str, stream: BinaryIO, advance: Advance = nothing) -> None:
    """Write the workbook of a sample to a binary stream; the same ledger gives the same bytes.

    It takes about 30 µs a row and a constant amount of memory.
    """
    import xlsxwriter

    template = io.BytesIO()
    book = xlsxwriter.Workbook(template, {"in_memory": True})
    book.set_properties({"title": sample, "created": datetime(1980, 1, 1)})
    formats = {
        "head": book.add_format({"bold": True}),
        "time": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
    }
    counts = (reader.particle_count(sample), reader.row_count(sample))
    tables = (("particles", PARTICLES, advance), ("micrographs", MICROGRAPHS, nothing))
    filled: dict[str, tuple[int, Callable[[int], Iterator[str]]]] = {}
    notes = [[f"only particles with: {reader.chosen.words}"]] if reader.chosen.words else []
    for (name, table, step), count in zip(tables, counts, strict=True):
        names = _heads(book, formats, name, table.columns, count)
        if names[1:]:
            notes.append([f"{', '.join(names)}: one table, {SHEET_ROWS:,} rows a sheet"])
        give = _Continued(partial(sheet_rows.table_rows, table, reader, sample, advance=step))
        for part in range(len(names)):
            rows = min(count - part * (SHEET_ROWS - 1), SHEET_ROWS - 1)
            filled[f"xl/worksheets/sheet{len(filled) + 1}.xml"] = (rows, partial(give.take, rows))
    statistics = summary(reader, sample)["statistics"]
    columns = ("descriptor", *_FIGURES)
    figures = ([name, *(one.get(figure) for figure in _FIGURES)] for name, one in statistics.items())
    _small_sheet(book, formats, "statistics", columns, figures)
    _charts(book, formats, reader, sample)
    if notes:
        _small_sheet(book, formats, "notes", ("note",), notes)
    book.close()
    sheet_rows.fill(template, stream, filled)


class _Continued:
    """Rows of a table that goes on in the next sheet where one is full."""

    def __init__(self, begin: Callable[[int], Iterator[str]]) -> None:
        self._begin = begin
        self._rows: Iterator[str] | None = None

    def take(self, count: int, style: int) -> Iterator[str]:
        """The next rows; `style` is that of a time."""
        if self._rows is None:
            self._rows = self._begin(style)
        return islice(self._rows, count)


def _charts(book: xlsxwriter.Workbook, formats: dict[str, Any], reader: Reader, sample: str) -> None:
    """A sheet with histograms of some descriptors and native charts of them."""
    loaded = fields(reader, sample)
    views = [population_summary.View(descriptor=one.name) for one in shown(Shown.WORKBOOK_CHART)]
    answers = [
        answer
        for answer in (population_summary.describe(loaded, view) for view in views)
        if answer["particles"]
    ]
    if not answers:
        return
    sheet, columns = book.add_worksheet("charts"), ("from", "to", "particles")
    for place, answer in enumerate(answers):
        for index, column in enumerate(columns):
            sheet.write_string(0, 4 * place + index, f"{answer['descriptor']} {column}", formats["head"])
            sheet.set_column(4 * place + index, 4 * place + index, 16)
    bars = [answer["histogram"] for answer in answers]
    for line in range(max(len(one["counts"]) for one in bars)):  # rows are written once, from the top
        for place, one in enumerate(bars):
            if line < len(one["counts"]):
                numbers = (one["edges"][line], one["edges"][line + 1], one["counts"][line])
                for index, number in enumerate(numbers):
                    sheet.write_number(line + 1, 4 * place + index, number)
    for place, (answer, one) in enumerate(zip(answers, bars, strict=True)):
        chart, first, last = book.add_chart({"type": "column"}), 4 * place, len(one["counts"])
        chart.add_series(
            {
                "categories": ["charts", 1, first, last, first],
                "values": ["charts", 1, first + 2, last, first + 2],
                "name": f"{answer['name']}, {answer['particles']} particles",
                "gap": 4,
                "fill": {"color": "#0072B2"},
            }
        )
        unit = f" ({answer['unit']})" if answer["unit"] else ""
        chart.set_x_axis({"name": f"{answer['name']}{unit}", "num_format": "0.0#"})
        chart.set_y_axis({"name": "particles", "major_gridlines": {"visible": False}})
        chart.set_legend({"none": True})
        chart.set_size({"width": 620, "height": 340})
        sheet.insert_chart(1 + 18 * place, 8, chart)


def _heads(
    book: xlsxwriter.Workbook, formats: dict[str, Any], name: str, columns: Sequence[Column], count: int
) -> list[str]:
    """Add the sheets that a table of this many rows needs, with headers only; returns their names."""
    names = [name, *(f"{name} {part}" for part in range(2, 1 + math.ceil(count / (SHEET_ROWS - 1))))]
    for one in names:
        sheet = _sheet(book, formats, one, [column.name for column in columns])
        sheet.write_datetime(1, len(columns) - 1, datetime(1980, 1, 1), formats["time"])  # see `fill`
    return names


def _small_sheet(
    book: xlsxwriter.Workbook,
    formats: dict[str, Any],
    name: str,
    columns: Sequence[str],
    records: Iterable[Sequence[str | float | None]],
) -> None:
    sheet = _sheet(book, formats, name, columns)
    for line, record in enumerate(records, 1):
        for index, value in enumerate(record):
            if isinstance(value, str):
                sheet.write_string(line, index, value)
            elif value is not None and math.isfinite(value):
                sheet.write_number(line, index, value)


def _sheet(book: xlsxwriter.Workbook, formats: dict[str, Any], name: str, columns: Sequence[str]) -> Any:
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 0)
    for index, column in enumerate(columns):
        sheet.set_column(index, index, max(10, len(column) + 1))
        sheet.write_string(0, index, column, formats["head"])
    return sheet
