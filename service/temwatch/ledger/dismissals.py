"""Remarks on micrographs that somebody has dismissed: they stay in the tables, but are shown no more.

A dismissal belongs to a revision of a file and to the text of the remark. It holds after another analysis,
and is brought back or undone like any other decision.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from temwatch.ledger import changes
from temwatch.ledger.changes import Action, Author
from temwatch.ledger.rows import DISMISSED, MICROGRAPH_COLUMNS, micrograph_from
from temwatch.ledger.selection import file_of
from temwatch.notes import join_notes, kind_of, split_notes

_STATEMENTS = (
    """CREATE TABLE dismissals (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        change_id INTEGER NOT NULL REFERENCES changes (id),
        ended_by INTEGER REFERENCES changes (id),
        file_id INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
        frame INTEGER,
        note TEXT NOT NULL
    )""",
    "CREATE INDEX dismissals_of_file ON dismissals (file_id) WHERE ended_by IS NULL",
)


def create(connection: sqlite3.Connection) -> None:
    """Migration: nothing was dismissed yet."""
    for statement in _STATEMENTS:
        connection.execute(statement)


def dismiss(
    connection: sqlite3.Connection, micrograph_id: int, notes: Collection[str] | None, author: Author
) -> int | None:
    """Dismiss remarks of a micrograph, all of them without `notes`; gives the change, None if there is none.

    A remark is meant by its kind or by its whole text.
    """
    there, dismissed = of_row(connection, micrograph_id)
    new = _meant(set(there) - set(dismissed), notes)
    if not new:
        return None
    file_id, frame, _ = _file(connection, micrograph_id)
    change = _record(connection, micrograph_id, author, Action.DISMISS, dismissed, {*dismissed, *new})
    connection.executemany(
        "INSERT INTO dismissals (change_id, file_id, frame, note) VALUES (?, ?, ?, ?)",
        [(change, file_id, frame, note) for note in new],
    )
    return change


def show_again(
    connection: sqlite3.Connection, micrograph_id: int, notes: Collection[str] | None, author: Author
) -> int | None:
    """Show remarks again that were dismissed."""
    _, dismissed = of_row(connection, micrograph_id)
    ended = _meant(set(dismissed), notes)
    if not ended:
        return None
    file_id, frame, _ = _file(connection, micrograph_id)
    change = _record(connection, micrograph_id, author, Action.SHOW, dismissed, set(dismissed) - {*ended})
    for note in ended:
        connection.execute(
            """UPDATE changes SET undone_by = ? WHERE undone_by IS NULL AND id = (
                SELECT change_id FROM dismissals WHERE file_id = ? AND frame IS ? AND note = ?
                    AND ended_by IS NULL)
                AND NOT EXISTS (SELECT 1 FROM dismissals d WHERE d.change_id = changes.id
                    AND d.ended_by IS NULL AND d.note <> ?)""",
            (change, file_id, frame, note, note),
        )
        connection.execute(
            """UPDATE dismissals SET ended_by = ?
                WHERE file_id = ? AND frame IS ? AND note = ? AND ended_by IS NULL""",
            (change, file_id, frame, note),
        )
    return change


def notes_of(connection: sqlite3.Connection, change_id: int) -> list[str]:
    """The remarks that a change has dismissed or shown again."""
    rows = connection.execute(
        "SELECT note FROM dismissals WHERE change_id = ? OR ended_by = ?", (change_id, change_id)
    )
    return [note for (note,) in rows]


def of_row(connection: sqlite3.Connection, micrograph_id: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All remarks of a micrograph, and those that are dismissed, also where they do not apply now."""
    cursor = connection.cursor()
    cursor.row_factory = micrograph_from
    source = "FROM micrographs m JOIN files f ON f.id = m.file_id WHERE m.id = ?"
    row = cursor.execute(f"SELECT {MICROGRAPH_COLUMNS} {source}", (micrograph_id,)).fetchone()
    (dismissed,) = connection.execute(f"SELECT {DISMISSED} {source}", (micrograph_id,)).fetchone()
    return row.notes, split_notes(dismissed or "")


def _meant(notes: Collection[str], named: Collection[str] | None) -> list[str]:
    chosen = [note for note in notes if named is None or note in named or kind_of(note) in named]
    return list(split_notes(join_notes(chosen)))


def _file(connection: sqlite3.Connection, micrograph_id: int) -> tuple[int, int | None, str]:
    found = file_of(connection, micrograph_id)
    assert found is not None
    return found


def _record(
    connection: sqlite3.Connection,
    micrograph_id: int,
    author: Author,
    action: Action,
    before: Collection[str],
    after: Collection[str],
) -> int:
    file_id, frame, _ = _file(connection, micrograph_id)
    states = ({"dismissed_notes": sorted(one)} for one in (before, after))
    return changes.add(connection, author, action, changes.subject_of(connection, file_id, frame), *states)
