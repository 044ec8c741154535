"""Copies of one exposure count once, and exposures of one area count as one field of view.

`files.exposure` joins copies and `files.area` exposures of one area: the id of the first file of either,
which may be gone. Of the copies one is done, the best; the others are duplicates that keep their analysis in
the ledger, so that one of them can take the place of the best when that is gone, without its file.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from temwatch.domain import Kin
from temwatch.ledger.supersede import add_note, settle_copies
from temwatch.notes import Note

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader

FIELD = "coalesce('s' || f.sequence, 'f' || coalesce(f.area, f.exposure, f.id))"
"""What counts as one independent field of view: a sequence, an area, or a file, of `files f`."""

_STATEMENTS = (
    "ALTER TABLE files ADD COLUMN exposure INTEGER",
    "ALTER TABLE files ADD COLUMN area INTEGER",
    "CREATE INDEX files_by_exposure ON files (sample, exposure) WHERE exposure IS NOT NULL",
    # `coarse` is what a first search compares, `whole` the fingerprint
    """CREATE TABLE coarse_maps (
        micrograph_id INTEGER PRIMARY KEY REFERENCES micrographs (id) ON DELETE CASCADE,
        sample TEXT NOT NULL,
        coarse BLOB NOT NULL
    )""",
    "CREATE INDEX coarse_maps_of_sample ON coarse_maps (sample)",
    """CREATE TABLE fingerprints (
        micrograph_id INTEGER PRIMARY KEY REFERENCES micrographs (id) ON DELETE CASCADE,
        whole BLOB NOT NULL
    )""",
)


def create(connection: sqlite3.Connection) -> None:
    """Migration: micrographs that were recorded before have no fingerprint, and kin is not found in them."""
    for statement in _STATEMENTS:
        connection.execute(statement)


def coarse_maps(reader: Reader, sample: str, *, without_file: int) -> tuple[list[int], bytes]:
    """Ids of the micrographs of a sample that have a fingerprint, and their coarse maps in one."""
    rows = reader.connection.execute(
        """SELECT c.micrograph_id, c.coarse FROM coarse_maps c JOIN micrographs m ON m.id = c.micrograph_id
            WHERE c.sample = ? AND m.status IN ('done', 'duplicate') AND m.file_id <> ?
            ORDER BY c.micrograph_id""",
        (sample, without_file),
    ).fetchall()
    return [row[0] for row in rows], b"".join(row[1] for row in rows)


def fingerprint(reader: Reader, micrograph_id: int) -> bytes:
    """The packed fingerprint of a micrograph that has one."""
    return bytes(reader.value("SELECT whole FROM fingerprints WHERE micrograph_id = ?", micrograph_id))


def fingerprint_of_file(reader: Reader, file_id: int) -> bytes | None:
    """The packed fingerprint of the micrograph of a file that counts, None where there is none."""
    found = reader.value(
        """SELECT p.whole FROM micrographs m JOIN fingerprints p ON p.micrograph_id = m.id
            WHERE m.file_id = ? AND m.status = 'done'""",
        file_id,
    )
    return None if found is None else bytes(found)


def relate(connection: sqlite3.Connection, file_id: int, micrograph_id: int, kin: Kin) -> None:
    """Join a file that was just recorded to its kin; of several copies one stays done."""
    for other_id, is_copy in ((kin.copy, True), (kin.repeat, False)):
        if other_id is None:
            continue
        other = connection.execute(
            """SELECT f.id, f.sample, f.exposure, f.area, m.sha256
                FROM micrographs m JOIN files f ON f.id = m.file_id
                WHERE m.id = ? AND m.status IN ('done', 'duplicate')""",
            (other_id,),
        ).fetchone()
        if other is None:  # it was retried or replaced meanwhile
            continue
        first, sample, exposure, area, sha256 = other
        if is_copy:
            exposure = exposure or first
            connection.execute("UPDATE files SET exposure = ? WHERE id IN (?, ?)", (exposure, first, file_id))
            connection.execute("UPDATE files SET area = ? WHERE id = ?", (area, file_id))
            settle_copies(connection, sample, exposure, new_file=file_id)
        else:
            connection.execute("UPDATE files SET area = ? WHERE id = ?", (area or exposure or first, file_id))
            add_note(connection, micrograph_id, Note.REPEAT_OF.about(sha256))
