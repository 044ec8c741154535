"""Takes back one change of the history by another one; nothing is overwritten."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import assert_never

from temwatch.ledger import calibrations, dismissals, exclusions, sample_remarks, sample_settings
from temwatch.ledger.calibrations import CannotCalibrate
from temwatch.ledger.changes import Action, Author
from temwatch.ledger.sample_settings import CannotSet
from temwatch.ledger.selection import STACK_FRAME


class CannotUndo(Exception):
    """Nothing was changed; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What taking a change back has changed; of calibration or settings, the rows that are measured again."""

    change: int
    sample: str
    micrographs: int = 0
    particles: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    id: int
    action: Action
    sample: str
    file_id: int | None
    frame: int | None
    is_about_file: bool


def undo(connection: sqlite3.Connection, change_id: int, author: Author) -> Undone:
    """Take a change back: include what it excluded, exclude what it included, end or restore what it has set.

    Raises
    ------
    CannotUndo
        There is no such change, it was undone already, or there is nothing left of it to undo.
    """
    change = _find(connection, change_id)
    match change.action:
        case Action.SETTINGS | Action.UNDO_SETTINGS:
            undone = _of_settings(connection, change, author)
        case Action.CALIBRATE | Action.UNDO_CALIBRATE:
            undone = _of_calibration(connection, change, author)
        case Action.DISMISS | Action.SHOW:
            undone = _of_notes(connection, change, author)
        case Action.EXCLUDE | Action.INCLUDE if change.is_about_file:
            undone = _of_file(connection, change, author)
        case Action.EXCLUDE | Action.INCLUDE:
            undone = _of_particles(connection, change, author)
        case _:
            assert_never(change.action)
    connection.execute(
        "UPDATE changes SET undone_by = ? WHERE id = ? AND undone_by IS NULL", (undone.change, change_id)
    )
    return undone


def _find(connection: sqlite3.Connection, change_id: int) -> _Change:
    row = connection.execute(
        "SELECT action, sample, file_id, frame, after, undone_by FROM changes WHERE id = ?", (change_id,)
    ).fetchone()
    if row is None:
        raise CannotUndo(f"no change {change_id}")
    action, sample, file_id, frame, after, undone_by = row
    if undone_by is not None:
        raise CannotUndo(f"change {change_id} was undone by change {undone_by}")
    return _Change(
        id=change_id,
        action=Action(action),
        sample=sample,
        file_id=file_id,
        frame=frame,
        is_about_file="excluded" in json.loads(after),
    )


def _of_settings(connection: sqlite3.Connection, change: _Change, author: Author) -> Undone:
    take_back = sample_settings.undo if change.action is Action.SETTINGS else sample_settings.restore
    try:
        made, outdated = take_back(connection, author, change.sample, change.id)
    except CannotSet as error:
        raise CannotUndo(f"change {change.id}: {error}") from None
    return Undone(change=made, sample=change.sample, micrographs=outdated)


def _of_calibration(connection: sqlite3.Connection, change: _Change, author: Author) -> Undone:
    try:
        if change.action is Action.CALIBRATE:
            made, waiting = calibrations.undo_change(connection, author, change.id)
        else:
            made, waiting = calibrations.restore(connection, author, change.id)
    except CannotCalibrate as error:
        raise CannotUndo(f"change {change.id}: {error}") from None
    return Undone(change=made, sample=change.sample, micrographs=waiting)


def _of_file(connection: sqlite3.Connection, change: _Change, author: Author) -> Undone:
    assert change.file_id is not None
    take_back = exclusions.include_file if change.action is Action.EXCLUDE else exclusions.exclude_file
    made = take_back(connection, change.file_id, change.frame, author)
    if made is None:
        raise CannotUndo(f"change {change.id}: it is so already")
    return Undone(change=made, sample=change.sample, micrographs=1)


def _of_notes(connection: sqlite3.Connection, change: _Change, author: Author) -> Undone:
    if change.file_id is None:
        of_sample = sample_remarks.undo(connection, change.id, author)
        if of_sample is None:
            raise CannotUndo(f"change {change.id}: it is so already")
        return Undone(change=of_sample, sample=change.sample)
    take_back = dismissals.show_again if change.action is Action.DISMISS else dismissals.dismiss
    made = take_back(
        connection, _row_of(connection, change), dismissals.notes_of(connection, change.id), author
    )
    if made is None:
        raise CannotUndo(f"change {change.id}: it is so already")
    return Undone(change=made, sample=change.sample, micrographs=1)


def _of_particles(connection: sqlite3.Connection, change: _Change, author: Author) -> Undone:
    micrograph_id = _row_of(connection, change)
    excluded = change.action is Action.EXCLUDE
    condition = "change_id = ? AND ended_by IS NULL" if excluded else "ended_by = ?"
    numbers = connection.execute(
        f"SELECT coalesce(number_now, number) FROM exclusions WHERE {condition}", (change.id,)
    )
    take_back = exclusions.include_particles if excluded else exclusions.exclude_particles
    made = take_back(connection, micrograph_id, [number for (number,) in numbers], author)
    if made is None:
        raise CannotUndo(f"change {change.id}: it is so already")
    count = exclusions.particles_of(connection, made)
    return Undone(change=made, sample=change.sample, particles=count)


def _row_of(connection: sqlite3.Connection, change: _Change) -> int:
    """The row that a change is about."""
    row = connection.execute(
        f"""SELECT m.id FROM micrographs m JOIN files f ON f.id = m.file_id
            WHERE f.id = ? AND {STACK_FRAME} IS ?""",
        (change.file_id, change.frame),
    ).fetchone()
    if row is None:
        raise CannotUndo(f"change {change.id}: its micrograph has no result now")
    return int(row[0])
