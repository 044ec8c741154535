"""The files that a person names: by path or pattern, also those that are gone from the watched folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from temwatch.ledger.rows import FILE_COLUMNS, File, file_from
from temwatch.ledger.supersede import IS_NEWEST
from temwatch.names import as_text, from_cell

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The newest revision of each file that was named.

    `unknown` are words that name no file, `ambiguous` those that name files below several roots, each with
    what is to be said instead.
    """

    files: tuple[File, ...]
    unknown: tuple[str, ...]
    ambiguous: tuple[str, ...]


def select(connection: sqlite3.Connection, words: Sequence[str]) -> Selection:
    """Files by their path below a watched folder, absolute path, or a shell pattern for either.

    A name with `*`, `?` or `[` in it is first taken as it is. Paths may be written as tables write them.
    """
    cursor = connection.cursor()
    cursor.row_factory = file_from
    newest: list[File] = cursor.execute(
        f"SELECT {FILE_COLUMNS} FROM files f WHERE {IS_NEWEST} ORDER BY f.id"
    ).fetchall()
    by_path: dict[str, list[File]] = {}
    for file in newest:
        for name in {as_text(file.path), as_text(str(file.location))}:
            by_path.setdefault(name, []).append(file)
    chosen: dict[int, File] = {}
    unknown, ambiguous = [], []
    for word in map(as_text, words):
        found = by_path.get(word) or by_path.get(from_cell(word)) or []
        if len(found) > 1:
            places = ", ".join(as_text(str(file.location)) for file in found[:_MOST_NAMED])
            ambiguous.append(f"{word}: names {len(found)} files ({places}); give the absolute path")
            continue
        found = found or [
            file for name, files in by_path.items() if fnmatchcase(name, word) for file in files
        ]
        if not found:
            unknown.append(word)
        chosen |= {file.id: file for file in found}
    files = tuple(chosen[number] for number in sorted(chosen))
    return Selection(files=files, unknown=tuple(unknown), ambiguous=tuple(ambiguous))


def untouched_by_rules(connection: sqlite3.Connection) -> list[File]:
    """The newest revision of every file about which no rule of the configuration has decided yet."""
    cursor = connection.cursor()
    cursor.row_factory = file_from
    files: list[File] = cursor.execute(
        f"""SELECT {FILE_COLUMNS} FROM files f WHERE {IS_NEWEST} AND NOT EXISTS (
                SELECT 1 FROM changes c WHERE c.file_id = f.id AND c.source = 'configuration')
            ORDER BY f.id"""
    ).fetchall()
    return files


def micrographs_of(connection: sqlite3.Connection, file_id: int) -> dict[int, int | None]:
    """The frame of each row of a file, by the row's id."""
    rows = connection.execute("SELECT id, frame FROM micrographs WHERE file_id = ? ORDER BY id", (file_id,))
    return dict(rows.fetchall())


def particle_numbers(connection: sqlite3.Connection, micrograph_id: int) -> set[int]:
    """Numbers of all particles of a micrograph."""
    rows = connection.execute("SELECT number FROM particles WHERE micrograph_id = ?", (micrograph_id,))
    return {row[0] for row in rows}


def file_of(connection: sqlite3.Connection, micrograph_id: int) -> tuple[int, int | None, str] | None:
    """File, frame in a stack, and sample of a micrograph; None where no row has this id."""
    row: tuple[int, int | None, str] | None = connection.execute(
        """SELECT f.id, CASE WHEN f.frame IS NULL THEN m.frame END, m.sample
            FROM micrographs m JOIN files f ON f.id = m.file_id WHERE m.id = ?""",
        (micrograph_id,),
    ).fetchone()
    return row
