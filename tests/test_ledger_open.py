"""Opening a ledger: one writer, any version but a newer one, and one line for what is wrong."""

import os
import sqlite3
import subprocess
import sys

import pytest

from ledger_cases import take
from temwatch import descriptors
from temwatch.columns import PARTICLE_COLUMNS
from temwatch.errors import StartError
from temwatch.ledger import Reader, analyses, is_held, open_ledger, publications, schema


def test_a_second_writer_is_refused_and_told_who_holds_it(tmp_path, monkeypatch):
    """Until the first lets go; readers are always welcome."""
    monkeypatch.setattr("temwatch.ledger.opening._LOCK_WAIT_SECONDS", 0.1)
    assert not is_held(tmp_path)
    with open_ledger(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(StartError, match=rf"process {os.getpid()}\b"):
            open_ledger(tmp_path)
        with Reader(tmp_path) as reader:
            assert 0 == reader.receipt().seen
    assert not is_held(tmp_path)
    open_ledger(tmp_path).close()


def test_a_killed_writer_holds_nothing(tmp_path):
    """The lock is the kernel's, not a file that somebody must remove."""
    code = (
        "import os, pathlib, sys; from temwatch.ledger import open_ledger;"
        "open_ledger(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    assert -9 == subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode
    open_ledger(tmp_path).close()


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path):
    """Writer and reader say so in one line."""
    open_ledger(tmp_path).close()
    with sqlite3.connect(tmp_path / schema.FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for opened in (open_ledger, Reader):
        with pytest.raises(StartError, match=r"version 99.*newer temwatch"):
            opened(tmp_path)


def test_an_older_ledger_is_migrated_by_the_writer(tmp_path, monkeypatch):
    """A step that fails leaves the version before it; a reader waits for the writer."""

    def second(connection):
        connection.execute("CREATE TABLE notes (text TEXT)")

    def broken(connection):
        connection.execute("CREATE TABLE more (text TEXT)")
        raise ZeroDivisionError

    released = schema.MIGRATIONS
    with open_ledger(tmp_path) as ledger:
        take(ledger)
    monkeypatch.setattr(schema, "MIGRATIONS", (*released, second, broken))
    with pytest.raises(StartError, match=f"older version {len(released)}"):
        Reader(tmp_path)
    with pytest.raises(ZeroDivisionError):
        open_ledger(tmp_path)
    connection = sqlite3.connect(tmp_path / schema.FILE_NAME)
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert (len(released) + 1, True, False) == (
        connection.execute("PRAGMA user_version").fetchone()[0],
        "notes" in tables,
        "more" in tables,
    )
    connection.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*released, second))
    with open_ledger(tmp_path) as ledger, ledger.reader() as reader:
        assert 1 == reader.receipt().done


@pytest.mark.parametrize("opened", [open_ledger, Reader])
def test_what_is_no_ledger_is_said_in_one_line(tmp_path, opened):
    """A damaged file is not overwritten."""
    (tmp_path / schema.FILE_NAME).write_bytes(b"certainly not SQLite" * 100)
    with pytest.raises(StartError, match="as a ledger"):
        opened(tmp_path)
    assert (tmp_path / schema.FILE_NAME).read_bytes().startswith(b"certainly")


def test_without_a_ledger_a_reader_says_so(tmp_path):
    """And makes none."""
    with pytest.raises(StartError, match="no ledger yet"):
        Reader(tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_a_state_folder_that_cannot_be_is_said_in_one_line(tmp_path):
    """For example below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot hold the ledger"):
        open_ledger(tmp_path / "file" / "state")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("running", [True, False])
def test_somebody_without_write_permission_can_look(tmp_path, running):
    """`temwatch status` by a colleague, while the service runs and after it was stopped."""
    state = tmp_path / "state"
    for folder in (state, *tmp_path.parents, tmp_path):
        folder.mkdir(exist_ok=True)
        folder.chmod(folder.stat().st_mode | 0o055)
    ledger = open_ledger(state)
    take(ledger)
    if not running:
        ledger.close()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            with Reader(state) as reader:
                os.write(writing, f"{reader.receipt().done} done".encode())
        except BaseException as error:  # noqa: BLE001 - a forked child must not go on with pytest's work
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    assert b"1 done" == os.read(reading, 1000)
    os.waitpid(child, 0)
    os.close(reading)
    ledger.close()


def test_the_ledger_has_every_column_of_a_particle(tmp_path):
    """Those of the released tables, and those of the table of descriptors."""
    with open_ledger(tmp_path):
        connection = sqlite3.connect(tmp_path / schema.FILE_NAME)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(particles)")}
        connection.close()
    of_the_micrograph = {
        "sample",
        "micrograph",
        "frame",
        "pixel_size_nm",
        "acquired_at",
        "analysed_at",
        "method",
    }
    assert {column.name for column in PARTICLE_COLUMNS} - of_the_micrograph - {"particle"} <= columns


def test_the_writer_is_durable(tmp_path):
    """A power cut after a commit loses nothing: write-ahead log, synchronised at every commit."""
    connection = schema.connect_to_write(tmp_path / schema.FILE_NAME)
    pragmas = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    connection.close()
    assert ["wal", 2] == pragmas


def test_a_ledger_without_a_descriptor_gets_its_column(tmp_path):
    """Empty for the rows of before, whose tables are stale then; a reader waits for the writer."""
    new = descriptors.NAMES[-1]
    with open_ledger(tmp_path) as ledger:
        take(ledger)
        with ledger.reader() as reader:
            before, generations = analyses.particles(reader, 1), publications.generations(reader, "Au")
    with sqlite3.connect(tmp_path / schema.FILE_NAME) as connection:
        connection.execute(f"ALTER TABLE particles DROP COLUMN {new}")
    connection.close()
    with pytest.raises(StartError, match=f"without {new}; the service updates it"):
        Reader(tmp_path)
    with open_ledger(tmp_path) as ledger, ledger.reader() as reader:
        after = analyses.particles(reader, 1)
        assert tuple(number + 1 for number in generations) == publications.generations(reader, "Au")
    for old, current in zip(before, after, strict=True):
        assert {**old.descriptors, new: None} == current.descriptors
    open_ledger(tmp_path).close()
    with Reader(tmp_path) as reader:
        assert tuple(number + 1 for number in generations) == publications.generations(reader, "Au")


def test_a_ledger_whose_columns_cannot_be_added_is_as_it_was(tmp_path, monkeypatch):
    """All new columns join in one transaction, or none."""
    open_ledger(tmp_path).close()
    monkeypatch.setattr(descriptors, "NAMES", (*descriptors.NAMES, "fine_nm", "broken nm ("))
    with pytest.raises(StartError, match="cannot be used as a ledger"):
        open_ledger(tmp_path)
    monkeypatch.undo()
    connection = sqlite3.connect(tmp_path / schema.FILE_NAME)
    assert "fine_nm" not in {row[1] for row in connection.execute("PRAGMA table_info(particles)")}
    connection.close()
    open_ledger(tmp_path).close()


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS)))
def test_a_ledger_of_every_earlier_version_is_brought_up_to_date(tmp_path, version):
    """As that version made it, with a sample in it; its tables are those of a new ledger then."""
    path = tmp_path / schema.FILE_NAME
    connection = schema.connect_to_write(path)
    for number, migration in enumerate(schema.MIGRATIONS[:version], 1):
        migration(connection)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("INSERT INTO samples (sample) VALUES ('Au')")
    connection.execute(
        """INSERT INTO files (root, path, revision, sample, name, name_key, size_bytes, mtime_ns, source,
            detected_at, status) VALUES ('/in', 'Au/1.dm3', 1, 'Au', '1', '1', 9, 9, 'event',
            '2026-01-01T00:00:00.000Z', 'pending')"""
    )
    connection.close()
    with open_ledger(tmp_path) as ledger, ledger.reader() as reader:
        assert ["Au/1.dm3"] == [file.path for file in reader.pending()]
        take(ledger, "Au/2.dm3", content=2, sample="Au")
    with open_ledger(tmp_path / "new"):
        pass

    def columns(folder):
        with Reader(folder) as reader:
            tables = [
                row[0]
                for row in reader.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            return {
                name: {row[1] for row in reader.connection.execute(f"PRAGMA table_info({name})")}
                for name in tables
            }

    assert columns(tmp_path / "new") == columns(tmp_path)
