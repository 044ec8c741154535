"""Rows of a large table written straight into the sheets of a workbook, as text of its XML.

xlsxwriter takes ten times as long for each cell, minutes for a large sample. It makes everything else of the
workbook: the sheets come from it with headers only, and their rows are put in on the way into the final
file.
"""

from __future__ import annotations

import functools
import io
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

from temwatch.columns import Column
from temwatch.ledger import Reader
from temwatch.names import path_cell, text_cell
from temwatch.outputs.tables import Advance, RowLayout, Table, layout_rows

ZIP64_ROWS = 400_000
"""A sheet of more rows may need more than the 2 GiB of a plain zip entry.

Only such a sheet is written as zip64: some versions of Excel refuse a workbook that has it without need.
"""

_BLOCK_CHARACTERS = 1 << 20
_LEVEL = 3  # of the compression: half the time of zlib's own choice, for a tenth more bytes
_ROW = "\0"  # stands for the number of the row, which no cell can contain
_EPOCH = datetime(1899, 12, 30)  # day 0 of a spreadsheet
# what XML forbids is written by its number, as Excel does, and so is what already looks like that
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9a-fA-F]{4}_)")
_END = b"</sheetData>"
_SECOND_ROW = re.compile(rb'<row r="2".*?</row>', re.DOTALL)
_STYLE = re.compile(rb's="(\d+)"')
_LAST_ROW = re.compile(rb'(<dimension ref="[A-Z]+1:[A-Z]+)\d+"')

Rows = Iterator[str]
"""Rows of one sheet, from the second on, as XML; `_ROW` stands for their number."""


def table_rows(table: Table, reader: Reader, sample: str, style: int, advance: Advance) -> Iterator[str]:
    """Rows of a whole table, one string each; `style` is that of a time."""
    layout = RowLayout(begin=f'<row r="{_ROW}">', separator="", end="</row>\n", cell=_cells(table, style))
    for row in reader.micrographs(sample):
        advance()  # before its rows: who takes the last of them does not ask for more
        yield from layout_rows(table, reader, row, layout)


def fill(template: BinaryIO, stream: BinaryIO, rows: Mapping[str, tuple[int, Callable[[int], Rows]]]) -> None:
    """Copy a workbook into a stream and put rows into some of its sheets.

    Parameters
    ----------
    template : binary stream
        A workbook whose sheets have a head, and in their second row one cell with the style of a time.
    stream : binary stream
        For the workbook.
    rows : mapping
        By the file of the sheet in the archive: how many rows there are below the head, and what gives them,
        called with the style of a time.
    """
    with (
        zipfile.ZipFile(template) as source,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as target,
    ):
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename not in rows:
                copied = zipfile.ZipInfo(entry.filename, entry.date_time)
                target.writestr(copied, content, zipfile.ZIP_DEFLATED, _LEVEL)
                continue
            count, give = rows[entry.filename]
            head, tail = content.split(_END)
            pattern = _SECOND_ROW.search(head)
            style = _STYLE.search(pattern[0]) if pattern else None
            head = _SECOND_ROW.sub(b"", head)
            head = _LAST_ROW.sub(rb'\g<1>%d"' % (count + 1), head)
            # by its name it is dated 1980, not by the clock: the same rows give the same bytes
            with target.open(entry.filename, "w", force_zip64=count > ZIP64_ROWS) as sheet:
                sheet.write(head)
                for block in _numbered(give(int(style[1]) if style else 0)):
                    sheet.write(block)
                sheet.write(_END + tail)


def _numbered(rows: Rows) -> Iterator[bytes]:
    """The rows with their numbers, in large blocks."""
    block, size = io.StringIO(), 0
    for number, row in enumerate(rows, 2):
        size += block.write(row.replace(_ROW, str(number)))
        if size > _BLOCK_CHARACTERS:
            yield block.getvalue().encode()
            block, size = io.StringIO(), 0
    yield block.getvalue().encode()


def _cells(table: Table, style: int) -> Callable[[Column], Callable[[Any], str]]:
    from xlsxwriter.utility import xl_col_to_name

    place = {column.name: f'r="{xl_col_to_name(index)}{_ROW}"' for index, column in enumerate(table.columns)}

    def cell(column: Column) -> Callable[[Any], str]:
        where = place[column.name]
        match column.kind:
            case "text" | "path":
                guard = path_cell if column.kind == "path" else text_cell
                return functools.lru_cache(1024)(functools.partial(_text, where, guard))
            case "boolean":
                return lambda value: "" if value is None else f'<c {where} t="b"><v>{int(value)}</v></c>'
            case "time":
                return functools.partial(_time, where, style)
            case _:
                return functools.partial(_number, where)

    return cell


def _text(where: str, guard: Callable[[str], str], value: str | None) -> str:
    if not value:
        return ""
    text = escape(_FORBIDDEN.sub(lambda found: f"_x{ord(found[0]):04X}_", guard(value)))
    return f'<c {where} t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _time(where: str, style: int, value: datetime | None) -> str:
    if value is None:
        return ""
    days = (value.astimezone(UTC).replace(tzinfo=None) - _EPOCH).total_seconds() / 86400
    return f'<c {where} s="{style}"><v>{days:.10f}</v></c>'


def _number(where: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"<c {where}><v>{value!r}</v></c>"
