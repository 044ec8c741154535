"""A table that a person saved is kept, and written anew beside it; what the service wrote is no edit."""

import os
import resource
import socket
import tarfile
from pathlib import Path

import pytest

from ledger_cases import take
from temwatch.ledger import open_ledger, publications
from temwatch.outputs import sample_folder
from temwatch.outputs.tables import TABLES, csv_text

OLD = Path(__file__).parent / "data" / "results_0_1.tar.gz"


@pytest.fixture
def ledger(tmp_path):
    """Three micrographs, published."""
    with open_ledger(tmp_path / ".temwatch") as opened:
        for number in range(3):
            take(opened, f"{number}.dm3", number)
        sample_folder.publish(opened, tmp_path, "Au")
        yield opened


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "Au"


def rows_sorted(content):
    head, *rows = content.splitlines(keepends=True)
    return b"".join([head, *sorted(rows, reverse=True)])


def one_digit(content):
    """Of equal length, far from the end: 12.5 became 12.6."""
    at = content.index(b".", content.index(b"\n") + 40) + 1
    return content[:at] + (b"1" if content[at : at + 1] != b"1" else b"2") + content[at + 1 :]


def last_columns_removed(content):
    return b"".join(line.rsplit(b",", 2)[0] + b"\n" for line in content.splitlines())


EDITS = {
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
    "semicolons": lambda content: content.replace(b",", b";"),
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "a remark at the end": lambda content: content + b"checked by Eva\n",
    "a remark without an end of line": lambda content: content + b"ok",
    "an empty line at the end": lambda content: content + b"\n",
    "a remark in the heading": lambda content: content.replace(b"\n", b",remark\n", 1),
    "quoted cells": lambda content: b"\n".join(
        b",".join(b'"%s"' % cell for cell in line.split(b",")) for line in content.splitlines()
    ),
    "sorted": rows_sorted,
    "one digit": one_digit,
    "a row removed": lambda content: (
        b"".join(content.splitlines(keepends=True)[:-2]) + content.splitlines(keepends=True)[-1]
    ),
    "last columns removed": last_columns_removed,
    "another table": lambda content: b"a,b\n1,2\n" + content[:0],
}


def edit(path, change):
    """Save as an editor does; gives the edited content."""
    content = change(path.read_bytes())
    assert content != path.read_bytes()
    path.write_bytes(content)
    return content


def kept(folder):
    return {path.name.partition(".edited-")[0]: path.read_bytes() for path in folder.glob("*.edited-*.csv")}


def assert_tables_are_whole(ledger, folder):
    with ledger.reader() as reader:
        for table in TABLES:
            assert "".join(csv_text(table, reader, "Au")) == (folder / table.file).read_bytes().decode()


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("table", [table.file for table in TABLES])
def test_an_edited_table_is_kept_and_written_anew(ledger, folder, table, change):
    """Before rows are appended; the warning names it once, until the file is moved."""
    edited = edit(folder / table, change)
    for number in (3, 4):
        take(ledger, f"{number}.dm3", number)
        sample_folder.publish(ledger, folder.parent, "Au")
        assert {Path(table).stem: edited} == kept(folder)
        assert_tables_are_whole(ledger, folder)
    with ledger.reader() as reader:
        (notice,) = sample_folder.edited_tables(reader, folder.parent)
        assert ("Au", table) == (notice.sample, notice.file)
        (folder / notice.kept_as).unlink()
        assert [] == sample_folder.edited_tables(reader, folder.parent)


@pytest.mark.parametrize("name", ["sorted", "a remark at the end", "a row removed", "CRLF"])
def test_it_is_kept_where_nothing_is_new_and_where_rows_changed(ledger, folder, name):
    """At a start without news, at a revision and at a rebuild."""
    edited = edit(folder / "particles.csv", EDITS[name])
    sample_folder.publish(ledger, folder.parent, "Au")
    assert {"particles": edited} == kept(folder)
    (folder / next(folder.glob("*.edited-*")).name).unlink()
    edited = edit(folder / "particles.csv", EDITS[name])
    take(ledger, "1.dm3", 100, mtime_ns=2)
    sample_folder.publish(ledger, folder.parent, "Au")
    assert {"particles": edited} == kept(folder)
    assert_tables_are_whole(ledger, folder)


def link_to_itself(path):
    path.symlink_to(path)


def socket_at(path):
    inside = os.open(path.parent, os.O_PATH)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as channel:
        channel.bind(f"/proc/self/fd/{inside}/{path.name}")
    os.close(inside)


@pytest.mark.parametrize(
    "make", [os.mkdir, os.mkfifo, link_to_itself, socket_at], ids=lambda make: make.__name__
)
def test_what_is_no_file_is_put_aside(ledger, folder, make):
    """Nobody waits for a pipe, and nothing that lies in a folder is lost."""
    path = folder / "particles.csv"
    path.unlink()
    make(path)
    sample_folder.publish(ledger, folder.parent, "Au")
    assert_tables_are_whole(ledger, folder)
    (aside,) = folder.glob("particles.edited-*.csv")
    assert aside.is_symlink() or not aside.is_file()


@pytest.mark.parametrize("begun", [b"", b"cells", None])
def test_a_table_that_became_huge_is_not_read_into_memory(ledger, folder, begun):
    """A sparse file of 100 GB without an end of line, which is no longer what a power cut leaves."""
    path = folder / "particles.csv"
    path.write_bytes(path.read_bytes() if begun is None else begun)
    os.truncate(path, 100 * 2**30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sample_folder.publish(ledger, folder.parent, "Au")
    assert_tables_are_whole(ledger, folder)
    (aside,) = folder.glob("particles.edited-*.csv")
    assert 100 * 2**30 == aside.stat().st_size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18, "KiB"


def test_each_edit_is_kept(ledger, folder):
    """Two within a second."""
    for text in (b"first\n", b"second\n"):
        edit(folder / "particles.csv", lambda content, text=text: content + text)
        sample_folder.publish(ledger, folder.parent, "Au")
    last = {path.read_bytes().splitlines()[-1] for path in folder.glob("particles.edited-*.csv")}
    assert {b"first", b"second"} == last


def test_what_is_no_edit_is_not_kept(ledger, folder, monkeypatch):
    """A copy in place of the file, a restored older state, a deleted file, rows of a killed append."""
    path = folder / "particles.csv"
    whole = path.read_bytes()
    older = b"".join(whole.splitlines(keepends=True)[:3])
    for content in (whole, older, older[:-5], b"", None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        sample_folder.publish(ledger, folder.parent, "Au")
        assert whole == path.read_bytes()
    take(ledger, "3.dm3", 3)
    with monkeypatch.context() as killed:  # before the ledger learns of what was appended
        killed.setattr(publications, "record", lambda *_: None)
        sample_folder.publish(ledger, folder.parent, "Au")
        appended = path.read_bytes()
        for content in (appended, appended[:-7], appended[:-7] + bytes(30)):  # after a power cut, zeros
            path.write_bytes(content)
            sample_folder.publish(ledger, folder.parent, "Au")
            assert appended == path.read_bytes()
    sample_folder.publish(ledger, folder.parent, "Au")
    assert {} == kept(folder)
    assert_tables_are_whole(ledger, folder)


def test_an_untouched_table_is_not_read_again(ledger, folder, monkeypatch):
    """Appending costs what is new, however long the table is."""
    take(ledger, "3.dm3", 3)
    monkeypatch.setattr("temwatch.outputs.appending._crc32", None)
    sample_folder.publish(ledger, folder.parent, "Au")
    assert_tables_are_whole(ledger, folder)


@pytest.mark.parametrize("name", [None, "sorted", "BOM"])
def test_tables_of_an_older_version(tmp_path, name):
    """Its ledger holds no checksum: an older header is no edit, an edited table is one."""
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    path = tmp_path / "Au" / "particles.csv"
    edited = {} if name is None else {"particles": edit(path, EDITS[name])}
    with open_ledger(tmp_path / ".temwatch") as ledger:
        for sample in ("Au", "X"):
            sample_folder.publish(ledger, tmp_path, sample)
        with ledger.reader() as reader:
            columns = csv_text(TABLES[0], reader, "Au")
            assert next(iter(columns)).rstrip("\n").split(",") == path.read_text().partition("\n")[0].split(
                ","
            )
    assert edited == kept(tmp_path / "Au")
    assert {} == kept(tmp_path / "X")
