"""<sample>.xlsx: particles, micrographs, statistics and charts for work in a spreadsheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from temwatch.columns import Column
from temwatch.descriptors import Shown, shown
from temwatch.ledger import Reader
from temwatch.ledger.sample_columns import fields
from temwatch.names import path_cell, text_cell
from temwatch.outputs import population_summary
from temwatch.outputs.tables import MICROGRAPHS, PARTICLES, Advance, nothing, rows, summary

if TYPE_CHECKING:
    import xlsxwriter

SHEET_ROWS = 1_048_576
"""Most rows of a sheet in this format; a longer table continues on further sheets."""

_FIGURES = ("count", "mean", "sd", "median", "min", "max", "d10", "d50", "d90")


def write(reader: Reader, sample: str, stream: BinaryIO, advance: Advance = nothing) -> None:
    """Write the workbook of a sample to a binary stream; the same ledger gives the same bytes."""
    import xlsxwriter

    book = xlsxwriter.Workbook(stream, {"constant_memory": True})
    book.set_properties({"title": sample, "created": datetime(1980, 1, 1)})
    formats = {
        "head": book.add_format({"bold": True}),
        "time": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
    }
    split = [
        _sheets(book, formats, name, table.columns, rows(table, reader, sample, step))
        for name, table, step in (
            ("particles", PARTICLES, advance),
            ("micrographs", MICROGRAPHS, nothing),
        )
    ]
    statistics = summary(reader, sample)["statistics"]
    columns = (Column("descriptor", "text", ""), *(Column(name, "real", "") for name in _FIGURES))
    table = ([name, *(figures.get(figure) for figure in _FIGURES)] for name, figures in statistics.items())
    _sheets(book, formats, "statistics", columns, table)
    _charts(book, formats, reader, sample)
    notes = [[f"{', '.join(names)}: one table, {SHEET_ROWS:,} rows a sheet"] for names in split if names[1:]]
    if notes:
        _sheets(book, formats, "notes", (Column("note", "text", ""),), iter(notes))
    book.close()


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


def _sheets(
    book: xlsxwriter.Workbook,
    formats: dict[str, Any],
    name: str,
    columns: Sequence[Column],
    records: Iterator[list[Any]],
) -> list[str]:
    """Write a table into as many sheets as it needs; returns their names."""
    sheet, line, names = _sheet(book, formats, name, columns), 1, [name]
    for row in records:
        if line == SHEET_ROWS:
            line = 1
            names.append(f"{name} {len(names) + 1}")
            sheet = _sheet(book, formats, names[-1], columns)
        for index, (column, value) in enumerate(zip(columns, row, strict=True)):
            match value:
                case None:
                    pass
                case str():
                    cell = path_cell(value) if column.kind == "path" else text_cell(value)
                    sheet.write_string(line, index, cell)
                case bool():
                    sheet.write_boolean(line, index, value)
                case datetime():
                    sheet.write_datetime(
                        line, index, value.astimezone(UTC).replace(tzinfo=None), formats["time"]
                    )
                case _ if math.isfinite(value):
                    sheet.write_number(line, index, value)
        line += 1
    return names


def _sheet(book: xlsxwriter.Workbook, formats: dict[str, Any], name: str, columns: Sequence[Column]) -> Any:
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 0)
    for index, column in enumerate(columns):
        sheet.set_column(index, index, max(10, len(column.name) + 1))
        sheet.write_string(0, index, column.name, formats["head"])
    return sheet
