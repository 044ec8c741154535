"""Micrographs, frames and particles that somebody has taken out of the data set, and puts back.

An exclusion belongs to a revision of a file and, for a particle, to its place and outline: it is in force
after another analysis of the same file, and a later revision starts included. Status is kept apart. The
columns `excluded` of files, micrographs and particles follow from the exclusions that are in force; `apply`
makes them so, within the transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from temwatch.domain import Region
from temwatch.ledger import changes
from temwatch.ledger.changes import Action, Author
from temwatch.ledger.packing import BOX_COLUMNS, pack_regions, unpack_regions
from temwatch.ledger.selection import STACK_FRAME, file_of
from temwatch.ledger.supersede import make_stale
from temwatch.notes import Note, join_notes, split_notes

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader

LEAST_OVERLAP = 0.5
"""Intersection over union from which on a particle is the one that was excluded."""


_IN_FORCE = "file_id = ? AND ended_by IS NULL"


def excluded_numbers(reader: Reader, micrograph_id: int) -> frozenset[int]:
    """Numbers of the excluded particles of a micrograph; all of them where it is excluded itself."""
    rows = reader.connection.execute(
        """SELECT p.number FROM particles p JOIN micrographs m ON m.id = p.micrograph_id
            WHERE m.id = ? AND (p.excluded OR m.excluded)""",
        (micrograph_id,),
    )
    return frozenset(row[0] for row in rows)


def uncounted_numbers(reader: Reader, micrograph_id: int) -> frozenset[int]:
    """The same, and those that the filter of this reader leaves out."""
    rows = reader.connection.execute(
        f"""SELECT p.number FROM particles p JOIN micrographs m ON m.id = p.micrograph_id
            WHERE m.id = ? AND (m.excluded OR NOT ({reader.counted}))""",
        (micrograph_id,),
    )
    return frozenset(row[0] for row in rows)


def count(reader: Reader) -> int:
    """Number of micrographs and frames that are excluded."""
    return int(reader.value("SELECT count(*) FROM micrographs WHERE excluded AND status = 'done'"))


def exclude_file(
    connection: sqlite3.Connection, file_id: int, frame: int | None, author: Author
) -> int | None:
    """Exclude a file, or one frame of a stack; gives the change, None where nothing changes."""
    if _of_file(connection, file_id, frame):
        return None
    subject = changes.subject_of(connection, file_id, frame)
    change = changes.add(connection, author, Action.EXCLUDE, subject, {"excluded": False}, {"excluded": True})
    connection.execute(
        "INSERT INTO exclusions (change_id, file_id, frame) VALUES (?, ?, ?)", (change, file_id, frame)
    )
    _apply_to_file(connection, file_id)
    return change


def include_file(
    connection: sqlite3.Connection, file_id: int, frame: int | None, author: Author
) -> int | None:
    """Put a file or a frame back; what was excluded in it by itself stays excluded."""
    ended = _of_file(connection, file_id, frame)
    if not ended:
        return None
    subject = changes.subject_of(connection, file_id, frame)
    change = changes.add(connection, author, Action.INCLUDE, subject, {"excluded": True}, {"excluded": False})
    _end(connection, ended, change)
    _apply_to_file(connection, file_id)
    return change


def hand_over(connection: sqlite3.Connection, file_id: int, earlier_id: int) -> None:
    """What a person excluded while a revision waited holds for the earlier one, whose content it has."""
    chosen = connection.execute(
        """SELECT e.id, e.change_id FROM exclusions e JOIN changes c ON c.id = e.change_id
            WHERE e.file_id = ? AND e.ended_by IS NULL AND c.source <> 'configuration' AND NOT EXISTS (
                SELECT 1 FROM exclusions o WHERE o.file_id = ? AND o.ended_by IS NULL
                AND o.outline IS NULL AND o.frame IS e.frame)""",
        (file_id, earlier_id),
    ).fetchall()
    for exclusion_id, change_id in chosen:
        connection.execute("UPDATE exclusions SET file_id = ? WHERE id = ?", (earlier_id, exclusion_id))
        connection.execute("UPDATE changes SET file_id = ? WHERE id = ?", (earlier_id, change_id))
    if chosen:
        _apply_to_file(connection, earlier_id)


def exclude_particles(
    connection: sqlite3.Connection, micrograph_id: int, numbers: Collection[int], author: Author
) -> int | None:
    """Exclude particles of a micrograph by their numbers; those that do not exist are ignored."""
    before = marked(connection, micrograph_id)
    regions = _regions(connection, micrograph_id)
    new = sorted((set(numbers) & set(regions)) - before)
    if not new:
        return None
    file_id, frame = _file_of(connection, micrograph_id)
    change = changes.add(
        connection,
        author,
        Action.EXCLUDE,
        changes.subject_of(connection, file_id, frame),
        {"excluded_particles": sorted(before)},
        {"excluded_particles": sorted(before | {*new})},
    )
    connection.executemany(
        f"""INSERT INTO exclusions (change_id, file_id, frame, number, {BOX_COLUMNS}, outline)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [(change, file_id, frame, number, *_packed(regions[number])) for number in new],
    )
    apply(connection, micrograph_id)
    return change


def include_particles(
    connection: sqlite3.Connection, micrograph_id: int, numbers: Collection[int], author: Author
) -> int | None:
    """Put particles of a micrograph back by their numbers."""
    before = marked(connection, micrograph_id)
    numbers = frozenset(numbers)
    file_id, frame = _file_of(connection, micrograph_id)
    ended = [
        (number, now)
        for number, known_as, now in _of_particles(connection, file_id, frame)
        if known_as in numbers
    ]
    if not ended:
        return None
    change = changes.add(
        connection,
        author,
        Action.INCLUDE,
        changes.subject_of(connection, file_id, frame),
        {"excluded_particles": sorted(before)},
        {"excluded_particles": sorted(before - {now for _, now in ended})},
    )
    _end(connection, [number for number, _ in ended], change)
    apply(connection, micrograph_id)
    return change


def excluded_by_number(connection: sqlite3.Connection, micrograph_id: int) -> set[int]:
    """Numbers by which `include_particles` knows what is excluded, also where the particle is lost."""
    return {number for _, number, _ in _of_particles(connection, *_file_of(connection, micrograph_id))}


def particles_of(connection: sqlite3.Connection, change: int) -> int:
    """Number of particles that a change has excluded or put back."""
    (count,) = connection.execute(
        "SELECT count(*) FROM exclusions WHERE change_id = ? OR ended_by = ?", (change, change)
    ).fetchone()
    return int(count)


def _of_particles(
    connection: sqlite3.Connection, file_id: int, frame: int | None
) -> list[tuple[int, int, int | None]]:
    """Exclusions of particles in force: id, number by which it is known, and number of the particle now.

    One that no longer applies is known by the number that it had.
    """
    return connection.execute(
        f"""SELECT id, coalesce(number_now, number), number_now FROM exclusions
            WHERE {_IN_FORCE} AND frame IS ? AND outline IS NOT NULL""",
        (file_id, frame),
    ).fetchall()


def apply(connection: sqlite3.Connection, micrograph_id: int, *, is_published: bool = True) -> None:
    """Bring a micrograph and its particles into step with the exclusions of its file.

    A row that was just recorded is not published yet; of any other the tables are written again.
    """
    file_id, frame, sample, was, notes = connection.execute(
        f"""SELECT f.id, {STACK_FRAME}, m.sample, m.excluded, m.notes_of_record
            FROM micrographs m JOIN files f ON f.id = m.file_id WHERE m.id = ?""",
        (micrograph_id,),
    ).fetchone()
    exclusions = connection.execute(
        f"""SELECT id, frame, {BOX_COLUMNS}, outline, number_now FROM exclusions
            WHERE {_IN_FORCE} AND (frame IS NULL OR frame IS ?)""",
        (file_id, frame),
    ).fetchall()
    of_particles = [row for row in exclusions if row[6] is not None]
    excluded = len(of_particles) < len(exclusions)
    found = _match(connection, micrograph_id, of_particles)
    for (number, *_, before), now in zip(of_particles, found, strict=True):
        if before != now:
            connection.execute("UPDATE exclusions SET number_now = ? WHERE id = ?", (now, number))
    kept = [note for note in split_notes(notes) if note != Note.EXCLUSION_LOST]
    if None in found:
        kept.append(Note.EXCLUSION_LOST)
    numbers, before = {number for number in found if number is not None}, marked(connection, micrograph_id)
    if (excluded, numbers, join_notes(kept)) == (bool(was), before, notes):
        return
    for value, chosen in ((1, numbers - before), (0, before - numbers)):
        connection.executemany(
            "UPDATE particles SET excluded = ? WHERE micrograph_id = ? AND number = ?",
            [(value, micrograph_id, number) for number in chosen],
        )
    diameters = connection.execute(
        """SELECT equivalent_diameter_nm FROM particles WHERE micrograph_id = ? AND NOT excluded
            ORDER BY number""",
        (micrograph_id,),
    ).fetchall()
    row = {"excluded": int(excluded), "notes_of_record": join_notes(kept)}
    if numbers != before:
        row |= {
            "excluded_particles": len(numbers),
            "particles": len(diameters),
            "mean_equivalent_diameter_nm": fmean(one for (one,) in diameters) if diameters else None,
        }
    connection.execute(
        f"UPDATE micrographs SET {', '.join(f'{name} = ?' for name in row)} WHERE id = ?",
        (*row.values(), micrograph_id),
    )
    if is_published:
        connection.execute("UPDATE files SET changes = changes + 1 WHERE id = ?", (file_id,))
        make_stale(connection, sample, particles=True)


def _match(
    connection: sqlite3.Connection, micrograph_id: int, exclusions: Iterable[tuple[Any, ...]]
) -> list[int | None]:
    """The particle that each exclusion means now, by the best overlap; None where none is like it."""
    exclusions = list(exclusions)
    regions = _regions(connection, micrograph_id) if exclusions else {}
    if not regions:
        return [None for _ in exclusions]
    numbers = np.array([*regions])
    start = np.array([region.origin_px for region in regions.values()])
    end = start + np.array([region.mask.shape for region in regions.values()])
    found: list[int | None] = []
    for _, _, x, y, width, height, outline, _ in exclusions:
        (wanted,) = unpack_regions(outline, [(x, y, width, height, False)])
        is_near = (start < (y + height, x + width)).all(axis=1) & (end > (y, x)).all(axis=1)
        overlaps = {number: _overlap(wanted, regions[number]) for number in numbers[is_near].tolist()}
        best = max(overlaps, key=overlaps.__getitem__, default=None)
        found.append(best if best is not None and overlaps[best] >= LEAST_OVERLAP else None)
    return found


def _overlap(one: Region, other: Region) -> float:
    """Intersection over union of two regions whose boxes overlap."""
    corners = [
        (*region.origin_px, *np.add(region.origin_px, region.mask.shape).tolist()) for region in (one, other)
    ]
    top, left = (max(corner[axis] for corner in corners) for axis in (0, 1))
    bottom, right = (min(corner[axis] for corner in corners) for axis in (2, 3))
    parts = [
        region.mask[
            top - region.origin_px[0] : bottom - region.origin_px[0],
            left - region.origin_px[1] : right - region.origin_px[1],
        ]
        for region in (one, other)
    ]
    shared = np.count_nonzero(parts[0] & parts[1])
    return float(shared / (np.count_nonzero(one.mask) + np.count_nonzero(other.mask) - shared))


def _packed(region: Region) -> tuple[Any, ...]:
    height, width = region.mask.shape
    return region.origin_px[1], region.origin_px[0], width, height, pack_regions([region])


def _regions(connection: sqlite3.Connection, micrograph_id: int) -> dict[int, Region]:
    """Regions of the particles of a micrograph, by number."""
    rows = connection.execute(
        f"SELECT number, {BOX_COLUMNS}, separated FROM particles WHERE micrograph_id = ? ORDER BY number",
        (micrograph_id,),
    ).fetchall()
    if not rows:
        return {}
    (packed,) = connection.execute(
        "SELECT particle_regions FROM segmentations WHERE micrograph_id = ?", (micrograph_id,)
    ).fetchone()
    regions = unpack_regions(packed, [row[1:] for row in rows])
    return {row[0]: region for row, region in zip(rows, regions, strict=True)}


def marked(connection: sqlite3.Connection, micrograph_id: int) -> set[int]:
    """Numbers of the particles of a micrograph that are excluded by themselves."""
    rows = connection.execute(
        "SELECT number FROM particles WHERE micrograph_id = ? AND excluded", (micrograph_id,)
    )
    return {row[0] for row in rows}


def _of_file(connection: sqlite3.Connection, file_id: int, frame: int | None) -> list[int]:
    """Exclusions of a whole file, or of one frame of it, that are in force."""
    rows = connection.execute(
        f"SELECT id FROM exclusions WHERE {_IN_FORCE} AND frame IS ? AND outline IS NULL", (file_id, frame)
    )
    return [row[0] for row in rows]


def _end(connection: sqlite3.Connection, exclusions: Iterable[int], change: int) -> None:
    """End exclusions; a change of which none is in force any more is undone."""
    for number in exclusions:
        connection.execute("UPDATE exclusions SET ended_by = ? WHERE id = ?", (change, number))
        connection.execute(
            """UPDATE changes SET undone_by = ? WHERE id = (SELECT change_id FROM exclusions WHERE id = ?)
                AND NOT EXISTS (
                    SELECT 1 FROM exclusions e WHERE e.change_id = changes.id AND e.ended_by IS NULL)""",
            (change, number),
        )


def _apply_to_file(connection: sqlite3.Connection, file_id: int) -> None:
    excluded = bool(_of_file(connection, file_id, None))
    connection.execute("UPDATE files SET excluded = ? WHERE id = ?", (int(excluded), file_id))
    rows = connection.execute("SELECT id FROM micrographs WHERE file_id = ? ORDER BY id", (file_id,))
    for (micrograph_id,) in rows.fetchall():
        apply(connection, micrograph_id)


def _file_of(connection: sqlite3.Connection, micrograph_id: int) -> tuple[int, int | None]:
    """The file of a micrograph, and its frame in a stack."""
    found = file_of(connection, micrograph_id)
    assert found is not None
    return found[:2]
