"""<sample>.xlsx: its rows are written as XML, and read back they are the rows of the tables."""

import io
import zipfile
from xml.etree import ElementTree

import openpyxl
import pandas
import pytest
from openpyxl.utils.escape import unescape

from export_cases import record
from ledger_cases import take
from temwatch.ledger import open_ledger
from temwatch.names import path_cell, text_cell
from temwatch.outputs import workbook
from temwatch.outputs.tables import MICROGRAPHS, PARTICLES, rows

ODD = "Au/a<b>&\"c' %s %d _x0041_.dm3"


@pytest.fixture
def written(tmp_path):
    """The ledger's reader, and the workbook as bytes."""
    with open_ledger(tmp_path) as ledger, ledger.reader() as reader:
        take(ledger, ODD, content=1)
        take(ledger, "=1+1.dm3", content=2)
        record(ledger, "Au/Au_03.dm3")
        stream = io.BytesIO()
        workbook.write(reader, "Au", stream)
        yield reader, stream


def as_cell(column, value):
    """What a cell of the workbook shows of a value."""
    if value is None or value == "":
        return None
    if column.kind in ("text", "path"):
        return path_cell(value) if column.kind == "path" else text_cell(value)
    return value.replace(tzinfo=None) if column.kind == "time" else value


@pytest.mark.parametrize("table", [PARTICLES, MICROGRAPHS], ids=["particles", "micrographs"])
def test_it_holds_the_rows_of_the_table(written, table):
    """Every cell, with its type: numbers, text, flags, times, nothing."""
    reader, stream = written
    sheet = openpyxl.load_workbook(stream)[table.file.removesuffix(".csv")]
    head, *found = sheet.iter_rows(values_only=True)
    assert [column.name for column in table.columns] == list(head)
    expected = list(rows(table, reader, "Au"))
    assert len(expected) == len(found)
    for row, cells in zip(expected, found, strict=True):
        for column, value, cell in zip(table.columns, row, cells, strict=True):
            shown = unescape(cell) if isinstance(cell, str) else cell  # openpyxl leaves that to us
            assert as_cell(column, value) == shown, column.name
            assert isinstance(cell, bool) == (column.kind == "boolean" and value is not None)


def test_times_have_the_format_of_times(written):
    sheet = openpyxl.load_workbook(written[1])["particles"]
    place = [column.name for column in PARTICLES.columns].index("analysed_at") + 1
    assert sheet.cell(2, place).is_date
    assert not sheet.cell(2, place + 1).is_date


def test_control_characters_are_escaped(tmp_path):
    """XML forbids them; Excel writes them by their number, and shows them again."""
    with open_ledger(tmp_path) as ledger, ledger.reader() as reader:
        take(ledger, "Au/bell\x07.dm3", content=1)
        stream = io.BytesIO()
        workbook.write(reader, "Au", stream)
    with zipfile.ZipFile(stream) as book:
        sheet = book.read("xl/worksheets/sheet1.xml")
    ElementTree.fromstring(sheet)
    assert b"bell_x0007_.dm3" in sheet
    assert "Au/bell\x07.dm3" == unescape(openpyxl.load_workbook(stream)["particles"]["B2"].value)


def test_it_is_sound_xml_of_the_size_it_states(written):
    """Rows and cells are numbered one after the other."""
    with zipfile.ZipFile(written[1]) as book:
        assert book.testzip() is None
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    space = {"": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    numbers = [int(row.attrib["r"]) for row in sheet.findall("sheetData/row", space)]
    assert list(range(1, len(numbers) + 1)) == numbers
    assert sheet.find("dimension", space).attrib["ref"].endswith(str(numbers[-1]))


def test_pandas_reads_it(written):
    reader, stream = written
    table = pandas.read_excel(stream, sheet_name="particles")
    expected = reader.particle_columns("Au", ["area_nm2"])["area_nm2"]
    assert expected.tolist() == table["area_nm2"].tolist()
