"""Remarks on a whole sample: its micrographs were not all measured alike.

They follow from its rows and stand in no table. Which are dismissed is what the last change about remarks of
the sample has left behind.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from temwatch.ledger import changes
from temwatch.ledger.changes import Action, Author, Subject
from temwatch.notes import Note

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader

KINDS = (Note.MIXED_METHODS, Note.MIXED_CALIBRATIONS)

_COUNTS = "status = 'done' AND NOT excluded AND method IS NOT NULL"
_CORRECTED = "pixel_size_source = 'corrected'"
_ALIKE = 1e-3
"""Factors and sizes that differ by less are one correction."""


def shown(reader: Reader) -> dict[str, tuple[Note, ...]]:
    """The remarks on every sample that has any which nobody has dismissed."""
    there = {sample: notes for sample, notes in _present(reader.connection).items() if notes}
    left = {
        sample: tuple(note for note in notes if note not in _dismissed(reader.connection, sample))
        for sample, notes in there.items()
    }
    return {sample: notes for sample, notes in left.items() if notes}


def dismiss(
    connection: sqlite3.Connection, sample: str, notes: Collection[str] | None, author: Author
) -> int | None:
    """Dismiss these remarks on a sample, all that it has without `notes`; gives the change, None if none."""
    before = _dismissed(connection, sample)
    there = _present(connection, sample).get(sample, ())
    new = {note for note in there if notes is None or note in notes} - before
    return _record(connection, sample, author, Action.DISMISS, (before, before | new)) if new else None


def show_again(
    connection: sqlite3.Connection, sample: str, notes: Collection[str] | None, author: Author
) -> int | None:
    """Show remarks on a sample again that were dismissed."""
    before = _dismissed(connection, sample)
    ended = {note for note in before if notes is None or note in notes}
    return _record(connection, sample, author, Action.SHOW, (before, before - ended)) if ended else None


def undo(connection: sqlite3.Connection, change_id: int, author: Author) -> int | None:
    """Take back what a change has dismissed or shown again; None where it is so already."""
    sample, action, *states = connection.execute(
        "SELECT sample, action, before, after FROM changes WHERE id = ?", (change_id,)
    ).fetchone()
    before, after = ({*json.loads(state)["dismissed_notes"]} for state in states)
    now = _dismissed(connection, sample)
    changed = before ^ after
    wanted = now - changed if action == Action.DISMISS else now | changed
    opposite = Action.SHOW if action == Action.DISMISS else Action.DISMISS
    return _record(connection, sample, author, opposite, (now, wanted)) if wanted != now else None


def _record(
    connection: sqlite3.Connection,
    sample: str,
    author: Author,
    action: Action,
    states: tuple[set[str], set[str]],
) -> int:
    before, after = ({"dismissed_notes": sorted(one)} for one in states)
    return changes.add(connection, author, action, Subject(sample=sample), before, after)


def _dismissed(connection: sqlite3.Connection, sample: str) -> set[str]:
    row = connection.execute(
        """SELECT after FROM changes WHERE sample = ? AND file_id IS NULL AND action IN (?, ?)
            ORDER BY id DESC LIMIT 1""",
        (sample, Action.DISMISS, Action.SHOW),
    ).fetchone()
    return set() if row is None else {*json.loads(row[0])["dismissed_notes"]}


def _present(connection: sqlite3.Connection, only: str | None = None) -> dict[str, tuple[Note, ...]]:
    """What applies to every sample; nothing while its rows are being measured again."""
    where, values = ("", ()) if only is None else (" AND sample = ?", (only,))
    methods: dict[str, set[str]] = {}
    sizes: dict[str, list[tuple[str, float | None, float | None]]] = {}
    waiting = set()
    for sample, method, source, size, factor, waits in connection.execute(
        f"""SELECT sample, method, coalesce(pixel_size_source, 'file') AS source,
                CASE WHEN {_CORRECTED} THEN pixel_size_nm END AS size,
                CASE WHEN {_CORRECTED} THEN pixel_size_nm / stated_pixel_size_nm END AS factor,
                max(is_outdated OR wanted_pixel_size_nm IS NOT NULL)
            FROM micrographs WHERE {_COUNTS}{where} GROUP BY sample, method, source, size, factor""",
        values,
    ):
        methods.setdefault(sample, set()).add(method)
        sizes.setdefault(sample, []).append((source, size, factor))
        if waits:
            waiting.add(sample)
    return {
        sample: ()
        if sample in waiting
        else tuple(
            note
            for note, applies in (
                (Note.MIXED_METHODS, len(found) > 1),
                (Note.MIXED_CALIBRATIONS, _are_mixed(sizes[sample])),
            )
            if applies
        )
        for sample, found in methods.items()
    }


def _are_mixed(found: Iterable[tuple[str, float | None, float | None]]) -> bool:
    sources, sizes, factors = zip(*found, strict=True)
    return len({*sources}) > 1 or not (_is_one(sizes) or _is_one(factors))


def _is_one(values: Iterable[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return not known or math.isclose(min(known), max(known), rel_tol=_ALIKE)
