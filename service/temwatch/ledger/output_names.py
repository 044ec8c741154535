"""Names of output folders: of samples, sequences and files, each safe on every system and like no other.

A sample is known by the name of its folder. Its own name, which may be any bytes, is kept beside it for the
tables. Which of two names that some system takes for the same gets a number behind it depends on the order in
which they come, so the ledger remembers it. Every function works inside the transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from pathlib import PurePosixPath

from temwatch.ledger.rows import Arrival
from temwatch.names import MAX_NAME_BYTES, SUFFIX_BYTES, folder_name, free_name, name_key, to_stored


def migrate(connection: sqlite3.Connection) -> None:
    """Add what tells samples, sequences and files apart: true names, and the time of the last change.

    The true names of earlier samples and sequences are learnt from their next file.
    """
    connection.execute("ALTER TABLE files ADD COLUMN ctime_ns INTEGER")
    connection.execute("ALTER TABLE samples ADD COLUMN name")
    connection.execute("ALTER TABLE samples ADD COLUMN name_key TEXT NOT NULL DEFAULT ''")
    connection.execute("CREATE UNIQUE INDEX samples_by_true_name ON samples (name)")
    connection.execute("CREATE INDEX samples_by_name ON samples (name_key)")
    connection.execute(
        """CREATE TABLE sequence_names (
            sample TEXT NOT NULL REFERENCES samples (sample),
            sequence TEXT NOT NULL,
            name,
            name_key TEXT NOT NULL,
            PRIMARY KEY (sample, sequence)
        ) WITHOUT ROWID"""
    )
    connection.execute("CREATE UNIQUE INDEX sequences_by_true_name ON sequence_names (sample, name)")
    connection.execute("CREATE INDEX sequences_by_name ON sequence_names (sample, name_key)")
    connection.execute(
        """INSERT INTO sequence_names (sample, sequence, name_key)
            SELECT DISTINCT sample, sequence, '' FROM files WHERE sequence IS NOT NULL"""
    )
    for table, column in (("samples", "sample"), ("sequence_names", "sequence")):
        names = connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
        connection.executemany(
            f"UPDATE {table} SET name_key = ? WHERE {column} = ?",
            [(name_key(name), name) for (name,) in names],
        )


def sample(connection: sqlite3.Connection, true_name: str) -> str:
    """The sample with this name; a new one gets its row."""
    stored = to_stored(true_name)
    known = connection.execute("SELECT sample FROM samples WHERE name = ?", (stored,)).fetchone()
    if known:
        return str(known[0])
    plain = folder_name(true_name)
    adopted = connection.execute(
        "UPDATE samples SET name = ? WHERE sample = ? AND name IS NULL", (stored, plain)
    )
    if adopted.rowcount:
        return plain

    def is_taken(name: str) -> bool:
        query = "SELECT 1 FROM samples WHERE name_key = ?"
        return connection.execute(query, (name_key(name),)).fetchone() is not None

    name = free_name(true_name, is_taken)
    connection.execute(
        "INSERT INTO samples (sample, name, name_key) VALUES (?, ?, ?)", (name, stored, name_key(name))
    )
    return name


def sequence(connection: sqlite3.Connection, sample: str, true_name: str) -> str:
    """The sequence of a sample with this name; no file of the sample, perhaps a stack, has the same."""
    stored = to_stored(true_name)
    known = connection.execute(
        "SELECT sequence FROM sequence_names WHERE sample = ? AND name = ?", (sample, stored)
    ).fetchone()
    if known:
        return str(known[0])

    def is_file(name: str) -> bool:
        query = "SELECT 1 FROM files WHERE sample = ? AND name_key = ? AND sequence IS NULL LIMIT 1"
        return connection.execute(query, (sample, name_key(name))).fetchone() is not None

    def is_taken(name: str) -> bool:
        query = "SELECT 1 FROM sequence_names WHERE sample = ? AND name_key = ?"
        return is_file(name) or connection.execute(query, (sample, name_key(name))).fetchone() is not None

    before = free_name(true_name, is_file)  # as older versions named it
    adopted = connection.execute(
        "UPDATE sequence_names SET name = ? WHERE sample = ? AND sequence = ? AND name IS NULL",
        (stored, sample, before),
    )
    if adopted.rowcount:
        return before
    name = free_name(true_name, is_taken)
    connection.execute(
        "INSERT INTO sequence_names (sample, sequence, name, name_key) VALUES (?, ?, ?, ?)",
        (sample, name, stored, name_key(name)),
    )
    return name


def micrograph(
    connection: sqlite3.Connection, arrival: Arrival, sample: str, suffixes: dict[tuple[str, str], int]
) -> str:
    """Name of a file's folder: that of an earlier revision, or one that no other file of the sample has.

    A single file may be a stack, whose sequence gets this name; no folder's sequence may have it. Nor may
    pictures of a file that was moved still lie there.
    """
    root, path = to_stored(arrival.root), to_stored(arrival.path)
    kept = connection.execute(
        "SELECT name FROM files WHERE root = ? AND path = ? AND sample = ? LIMIT 1", (root, path, sample)
    ).fetchone()
    if kept:
        return str(kept[0])
    base = folder_name(PurePosixPath(arrival.path).stem, MAX_NAME_BYTES - SUFFIX_BYTES)
    # thousands of files of one stem in one batch must not try every suffix again
    number = suffixes.get((sample, name_key(base)), 1)
    while True:
        name = base if number == 1 else f"{base}_{number}"
        number += 1
        taken = connection.execute(
            """SELECT EXISTS (SELECT 1 FROM files WHERE sample = ?1 AND name_key = ?2)
                OR EXISTS (SELECT 1 FROM relocations WHERE sample = ?1 AND name_key = ?2) OR (?3 AND EXISTS (
                SELECT 1 FROM sequence_names WHERE sample = ?1 AND name_key = ?2))""",
            (sample, name_key(name), arrival.sequence is None),
        ).fetchone()[0]
        if not taken:
            suffixes[sample, name_key(base)] = number
            return name
