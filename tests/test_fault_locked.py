"""Another program holds what must be written: the ledger, or a table that is open in a spreadsheet."""

import sqlite3

import openpyxl
import pytest

from faults import BIND, logged, mount, unmount
from system import Service, rows, wait_until
from temwatch.ledger.schema import FILE_NAME

pytestmark = pytest.mark.system

REMOUNT, READ_ONLY = 32, 1


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    formats = {"formats": ["csv", "xlsx", "parquet"]}
    with Service(tmp_path_factory.mktemp("locked"), output=formats) as running:
        yield running


def test_a_reader_that_never_ends_does_not_hold_up_the_service(service, contents):
    """A data base browser with an open transaction, for as long as it likes."""
    (service.watched / "reader_01.dm3").write_bytes(contents())
    wait_until(lambda: service.micrographs("reader"), what="the first row")
    reader = sqlite3.connect(service.state / FILE_NAME, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM files").fetchone()[0]
    for number in range(2, 6):
        (service.watched / f"reader_{number:02d}.dm3").write_bytes(contents())
    wait_until(lambda: len(service.micrographs("reader")) == 5, what="four more rows")
    assert {"done"} == {row["status"] for row in service.micrographs("reader")}
    reader.execute("ROLLBACK")
    reader.close()


def test_a_program_that_locks_the_ledger_for_good_is_named_and_nothing_is_lost(tmp_path, contents):
    """The service waits, then ends with one line; at its next start it goes on."""
    with Service(tmp_path) as service:
        other = sqlite3.connect(service.state / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        (service.watched / "Au_01.dm3").write_bytes(contents())
        assert 3 == service.process.wait(timeout=180)
        last = service.log.read_text().strip().splitlines()[-1]
        assert "the ledger cannot be written: database is locked" in last
        assert "Traceback" not in service.log.read_text()
        other.execute("ROLLBACK")
        other.close()
        with service.start():
            service.count_of(done=1)


def test_a_workbook_that_is_open_elsewhere_is_written_when_it_is_closed(service, contents):
    """Putting the new one in place fails as it does on a share; everything else goes on."""
    folder = service.output / "book"
    path = folder / "book.xlsx"
    (service.watched / "book_01.dm3").write_bytes(contents())
    wait_until(path.exists, what="the workbook of the first micrograph")
    mount(path, path, flags=BIND)
    try:
        (service.watched / "book_02.dm3").write_bytes(contents())
        wait_until(lambda: len(service.micrographs("book")) == 2, what="the second row")
        logged(service, "cannot write workbook")
        assert 2 == len(sheet(path))
        assert 200 == service.status("readyz")
    finally:
        unmount(path)
    wait_until(lambda: len(sheet(path)) == 3, what="the second micrograph in the workbook")
    wait_until(lambda: not list(folder.glob(".*")), what="the last temporary file to be gone")


def sheet(path):
    """Rows of the sheet micrographs, the heading included."""
    book = openpyxl.load_workbook(path, read_only=True)
    found = list(book["micrographs"].rows)
    book.close()
    return found


def test_a_table_that_may_not_be_written_gets_its_rows_later(service, contents):
    """particles.csv held by another program: the other tables grow, and it catches up, each row once."""
    folder = service.output / "table"
    path = folder / "particles.csv"
    (service.watched / "table_01.dm3").write_bytes(contents())
    wait_until(lambda: service.micrographs("table"), what="the first row")
    before = path.read_bytes()
    mount(path, path, flags=BIND)
    mount(path, path, flags=BIND | REMOUNT | READ_ONLY)
    try:
        for number in range(2, 5):
            (service.watched / f"table_{number:02d}.dm3").write_bytes(contents())
        wait_until(lambda: len(service.micrographs("table")) == 4, what="four rows of the other table")
        logged(service, "cannot write tables")
        assert before == path.read_bytes()
    finally:
        unmount(path)
    expected = sum(int(row["particles"]) for row in service.micrographs("table"))
    wait_until(lambda: len(rows(path)) >= expected, what="the rows that were held up")
    assert expected == len({(row["micrograph"], row["particle"]) for row in rows(path)}) == len(rows(path))
    assert path.read_bytes().startswith(before)
