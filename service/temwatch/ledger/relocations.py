"""Where results of files that were moved still lie, until they are brought to their new folders.

The table `relocations` holds the former folders of files, and `samples.renamed_to` where a sample went of
which no file is left.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader
    from temwatch.ledger.writer import Ledger

_STATEMENTS = (
    # `mounted`: on another file system than its root; `gone`: whole scans do not find it
    "ALTER TABLE files ADD COLUMN inode INTEGER",
    "ALTER TABLE files ADD COLUMN mounted INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE files ADD COLUMN gone INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX files_by_inode ON files (inode, size_bytes, mtime_ns) WHERE inode IS NOT NULL",
    "CREATE INDEX files_by_digest ON files (sha256) WHERE sha256 IS NOT NULL",
    "CREATE INDEX files_moved ON files (id) WHERE status = 'pending' AND source = 'moved'",
    "CREATE INDEX files_gone ON files (root) WHERE gone",
    "ALTER TABLE samples ADD COLUMN renamed_to TEXT",
    """CREATE TABLE relocations (
        file_id INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
        sample TEXT NOT NULL,
        sequence TEXT NOT NULL,
        name TEXT NOT NULL,
        name_key TEXT NOT NULL,
        is_kept INTEGER NOT NULL,
        PRIMARY KEY (file_id, sample, sequence, name)
    ) WITHOUT ROWID""",
    "CREATE INDEX relocations_by_name ON relocations (sample, name_key)",
)

_VACATED = "NOT EXISTS (SELECT 1 FROM files f WHERE f.sample = p.sample)"


def create(connection: sqlite3.Connection) -> None:
    """Migration: files that were known before are recognised by their content alone."""
    for statement in _STATEMENTS:
        connection.execute(statement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """Pictures of a file: where they lie, and the sequence whose small pictures they are to be among.

    They are of no use where they are not `is_kept`, since the file is analysed again. Nothing else of
    `sequence` is left where it `is_gone`.
    """

    sample: str
    sequence: str
    name: str
    new_sequence: str
    in_stack: bool
    is_kept: bool
    is_gone: bool


def of_folder(reader: Reader, sample: str, name: str) -> list[Relocation]:
    """What belongs into an output folder and lies elsewhere."""
    rows = reader.connection.execute(
        """SELECT r.sample, r.sequence, r.name, coalesce(f.sequence, f.name), f.frames_total IS NOT NULL,
                r.is_kept, NOT EXISTS (
                    SELECT 1 FROM sequences s WHERE s.sample = r.sample AND s.sequence = r.sequence)
            FROM relocations r JOIN files f ON f.id = r.file_id WHERE f.sample = ? AND f.name = ?""",
        (sample, name),
    )
    return [
        Relocation(
            sample=row[0],
            sequence=row[1],
            name=row[2],
            new_sequence=row[3],
            in_stack=bool(row[4]),
            is_kept=bool(row[5]),
            is_gone=bool(row[6]),
        )
        for row in rows
    ]


def is_awaited(reader: Reader, sample: str, sequence: str) -> bool:
    """Whether small pictures of a sequence still lie elsewhere."""
    return bool(
        reader.value(
            """SELECT EXISTS (SELECT 1 FROM relocations r JOIN files f ON f.id = r.file_id
                WHERE f.sample = ? AND coalesce(f.sequence, f.name) = ?)""",
            sample,
            sequence,
        )
    )


def vacated(reader: Reader) -> list[str]:
    """Samples that have published files and no micrographs any more, and whose pictures were fetched."""
    rows = reader.connection.execute(
        f"""SELECT DISTINCT p.sample FROM publications p WHERE {_VACATED}
            AND NOT EXISTS (SELECT 1 FROM relocations r WHERE r.sample = p.sample)"""
    )
    return [row[0] for row in rows]


def is_vacated(reader: Reader, sample: str) -> bool:
    """Whether a sample has no micrographs any more: they were moved."""
    return not reader.value("SELECT EXISTS (SELECT 1 FROM files WHERE sample = ?)", sample) and bool(
        reader.value("SELECT renamed_to IS NOT NULL FROM samples WHERE sample = ?", sample)
    )


def heir(reader: Reader, sample: str) -> str | None:
    """The sample that has the micrographs of a vacated one now, also where it was renamed several times."""
    seen, after = {sample}, sample
    while is_vacated(reader, after):
        following = reader.value("SELECT renamed_to FROM samples WHERE sample = ?", after)
        if following is None or following in seen:
            return None
        seen.add(following)
        after = following
    return after if after != sample else None


def forget(ledger: Ledger, sample: str) -> None:
    """Nothing of a vacated sample lies in its folder any more."""
    with ledger.transaction() as connection:
        connection.execute(f"DELETE FROM publications AS p WHERE p.sample = ? AND {_VACATED}", (sample,))
