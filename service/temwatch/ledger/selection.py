"""The files that a person names: by path or pattern, also those that are gone from the watched folder."""

from __future__ import annotations

import json
import re
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from temwatch.ledger.rows import FILE_COLUMNS, File, file_from
from temwatch.ledger.supersede import IS_NEWEST
from temwatch.names import as_text, from_cell, from_stored

# a frame that is a file of its own may be numbered again
STACK_FRAME = "CASE WHEN f.frame IS NULL THEN m.frame END"

_MOST_NAMED = 3
_WILDCARD = re.compile(r"[*?[]")


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
    ids: dict[str, list[int]] = {}
    locations: dict[int, str] = {}
    for number, root, path in connection.execute(
        f"SELECT f.id, f.root, f.path FROM files f WHERE {IS_NEWEST} ORDER BY f.id"
    ):
        locations[number] = as_text(str(Path(from_stored(root), from_stored(path))))
        for name in {as_text(path), locations[number]}:
            ids.setdefault(name, []).append(number)
    # sorting takes time, and most words are no patterns
    names = sorted(ids) if any(map(_WILDCARD.search, words)) else []
    chosen: set[int] = set()
    unknown, ambiguous = [], []
    for word in map(as_text, words):
        found = ids.get(word) or ids.get(from_cell(word)) or []
        if len(found) > 1:
            places = ", ".join(locations[number] for number in found[:_MOST_NAMED])
            ambiguous.append(f"{word}: names {len(found)} files ({places}); give the absolute path")
            continue
        found = found or _matching(word, names, ids)
        if not found:
            unknown.append(word)
        chosen.update(found)
    files = _files(connection, chosen)
    return Selection(files=files, unknown=tuple(unknown), ambiguous=tuple(ambiguous))


def _matching(pattern: str, names: Sequence[str], ids: Mapping[str, Sequence[int]]) -> list[int]:
    """Files of the sorted names that match; only those are looked at that begin as the pattern does."""
    wildcard = _WILDCARD.search(pattern)
    if wildcard is None:
        return []
    start = pattern[: wildcard.start()]
    matches = re.compile(translate(pattern)).match
    possible = (names[place] for place in range(bisect_left(names, start), len(names)))
    return [
        number
        for name in takewhile(lambda name: name.startswith(start), possible)
        if matches(name)
        for number in ids[name]
    ]


def _files(connection: sqlite3.Connection, ids: Iterable[int]) -> tuple[File, ...]:
    cursor = connection.cursor()
    cursor.row_factory = file_from
    return tuple(
        cursor.execute(
            f"""SELECT {FILE_COLUMNS} FROM files f WHERE f.id IN (SELECT value FROM json_each(?))
                ORDER BY f.id""",
            (json.dumps([*ids]),),
        )
    )


def are_newest(connection: sqlite3.Connection, files: Sequence[File]) -> bool:
    """Whether files are still there and have no later revision."""
    (count,) = connection.execute(
        f"""SELECT count(*) FROM files f WHERE f.id IN (SELECT value FROM json_each(?)) AND {IS_NEWEST}""",
        (json.dumps([file.id for file in files]),),
    ).fetchone()
    return bool(count == len(files))


def untouched_by_rules(connection: sqlite3.Connection) -> list[File]:
    """The newest revision of every file about which no rule has decided, nor a person who put it back."""
    cursor = connection.cursor()
    cursor.row_factory = file_from
    files: list[File] = cursor.execute(
        f"""SELECT {FILE_COLUMNS} FROM files f WHERE {IS_NEWEST} AND NOT EXISTS (
                SELECT 1 FROM changes c WHERE c.file_id = f.id AND c.source = 'configuration')
            AND coalesce((SELECT c.action FROM changes c WHERE c.file_id = f.id AND c.frame IS NULL
                AND json_type(c.after, '$.excluded') IS NOT NULL ORDER BY c.id DESC LIMIT 1), '') <> 'include'
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
        f"""SELECT f.id, {STACK_FRAME}, m.sample
            FROM micrographs m JOIN files f ON f.id = m.file_id WHERE m.id = ?""",
        (micrograph_id,),
    ).fetchone()
    return row


def numbers_within(
    connection: sqlite3.Connection, micrograph_id: int, polygon: Sequence[tuple[float, float]]
) -> set[int]:
    """Numbers of the particles whose centroid lies within a polygon of (x, y) in px."""
    rows = connection.execute(
        """SELECT p.number, p.centroid_x_nm / m.pixel_size_nm, p.centroid_y_nm / m.pixel_size_nm
            FROM particles p JOIN micrographs m ON m.id = p.micrograph_id WHERE m.id = ?""",
        (micrograph_id,),
    ).fetchall()
    if not rows:
        return set()
    numbers, x, y = (np.array(column, float) for column in zip(*rows, strict=True))
    return {int(number) for number in numbers[_is_inside(x, y, np.array(polygon, float))]}


def _is_inside(
    x: NDArray[np.float64], y: NDArray[np.float64], corners: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether a ray from each point crosses the polygon an odd number of times."""
    inside = np.zeros(len(x), bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
            inside ^= crosses
    return inside
