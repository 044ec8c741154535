"""What people decided: who changed what, when and why. Nothing here is ever overwritten or removed.

A change that was undone names the change that undid it. `exclusions` holds what is taken out of the data set;
an exclusion that was ended stays, and names the change that ended it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from temwatch.choices import MAX_BY_CHARACTERS, MAX_REASON_CHARACTERS
from temwatch.domain import utc_text
from temwatch.ledger.rows import moment
from temwatch.ledger.sequences import tables
from temwatch.names import as_text
from temwatch.notes import join_notes, note_in_words, split_notes

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader

_STATEMENTS = (
    # `before` and `after` are JSON; a file may be gone while what was decided about it stays
    """CREATE TABLE changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        made_at TEXT NOT NULL,
        made_by TEXT NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('command', 'api', 'configuration')),
        action TEXT NOT NULL,
        sample TEXT NOT NULL,
        micrograph TEXT,
        file_id INTEGER,
        frame INTEGER,
        reason TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        undone_by INTEGER REFERENCES changes (id)
    )""",
    "CREATE INDEX changes_of_file ON changes (file_id)",
    # of a particle also its number when it was excluded, its box, its outline as in packing.py, and the
    # number that it has now: NULL where the particle is no longer found
    """CREATE TABLE exclusions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        change_id INTEGER NOT NULL REFERENCES changes (id),
        ended_by INTEGER REFERENCES changes (id),
        file_id INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
        frame INTEGER,
        number INTEGER,
        bbox_x_px INTEGER,
        bbox_y_px INTEGER,
        bbox_width_px INTEGER,
        bbox_height_px INTEGER,
        outline BLOB,
        number_now INTEGER
    )""",
    "CREATE INDEX exclusions_of_file ON exclusions (file_id) WHERE ended_by IS NULL",
    # what follows from the exclusions that are in force
    "ALTER TABLE files ADD COLUMN excluded INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE micrographs ADD COLUMN excluded INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE micrographs ADD COLUMN excluded_particles INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE particles ADD COLUMN excluded INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX micrographs_excluded ON micrographs (sample) WHERE excluded",
    "UPDATE samples SET generation = generation + 1",
)


def create(connection: sqlite3.Connection) -> None:
    """Migration: nothing was decided yet, and micrographs.csv has another column."""
    for statement in _STATEMENTS:
        connection.execute(statement)
    tables.link_again_after_exclusions(connection)


class Action(StrEnum):
    """What a change has done, as the history has it."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    CALIBRATE = "calibrate"
    UNDO_CALIBRATE = "undo calibrate"
    SETTINGS = "settings"
    UNDO_SETTINGS = "undo settings"
    DISMISS = "dismiss"
    SHOW = "show"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who makes a change, when and why; `source` is command, api or configuration.

    Over HTTP `by` is what the client says.
    """

    by: str
    at: datetime
    source: str
    reason: str = ""


def rule_author(rule: str, at: datetime) -> Author:
    """Whom the history names where a rule of the configuration decides."""
    return Author(by="configuration", at=at, source="configuration", reason=f"matches {rule}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a change is about: a sample, or one of its files, or a frame of that."""

    sample: str
    micrograph: str | None = None
    file_id: int | None = None
    frame: int | None = None


def subject_of(connection: sqlite3.Connection, file_id: int, frame: int | None) -> Subject:
    """A file, or a frame of it, as the history names it."""
    sample, path = connection.execute("SELECT sample, path FROM files WHERE id = ?", (file_id,)).fetchone()
    return Subject(sample=sample, micrograph=as_text(path), file_id=file_id, frame=frame)


_MOST_NUMBERS = 10


def _size_in_words(correction: Mapping[str, Any]) -> str:
    if correction.get("factor") is not None:
        return f"times {correction['factor']:g}"
    return f"{correction['pixel_size_nm']:g} nm" if correction.get("pixel_size_nm") is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """One change as it was made; `undone_by` is the id of the change that undid it.

    `micrograph_id` is the row that it is about, None where the file has none now.
    """

    id: int
    made_at: datetime
    made_by: str
    source: str
    action: Action
    sample: str
    micrograph: str | None
    frame: int | None
    reason: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    undone_by: int | None
    micrograph_id: int | None

    @property
    def words(self) -> str:
        """What was done, to be read after the name of the micrograph or sample."""
        match self.action:
            case Action.SETTINGS | Action.UNDO_SETTINGS:
                return ", ".join(
                    f"{key} unset" if value is None else f"{key} = {value}"
                    for key, value in self.after.items()
                )
            case Action.CALIBRATE | Action.UNDO_CALIBRATE:
                size = _size_in_words(self.after)
                return f"pixel size {size}" if size else "pixel size as stated"
            case Action.DISMISS | Action.SHOW:
                notes = {*self.before["dismissed_notes"]} ^ {*self.after["dismissed_notes"]}
                said = "; ".join(note_in_words(note) for note in split_notes(join_notes(notes)))
                done = "dismissed" if self.action is Action.DISMISS else "shown again"
                return f"remark{'s' if len(notes) > 1 else ''} {done}: {said}"
            case Action.EXCLUDE:
                return self._exclusion_in_words("excluded")
            case Action.INCLUDE:
                return self._exclusion_in_words("put back")
            case _:
                assert_never(self.action)

    def _exclusion_in_words(self, done: str) -> str:
        if "excluded" in self.after:
            return done
        numbers = {*self.before["excluded_particles"]} ^ {*self.after["excluded_particles"]}
        if not numbers:
            return f"particle that is no longer found {done}"
        shown = ", ".join(map(str, sorted(numbers)[:_MOST_NUMBERS]))
        more = f" and {len(numbers) - _MOST_NUMBERS} more" if len(numbers) > _MOST_NUMBERS else ""
        return f"particle{'s' if len(numbers) > 1 else ''} {shown}{more} {done}"


def add(
    connection: sqlite3.Connection,
    author: Author,
    action: Action,
    subject: Subject,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> int:
    """Record a change; gives its id."""
    added = connection.execute(
        """INSERT INTO changes (made_at, made_by, source, action, sample, micrograph, file_id, frame, reason,
            before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            utc_text(author.at),
            as_text(author.by)[:MAX_BY_CHARACTERS],
            author.source,
            action,
            subject.sample,
            subject.micrograph,
            subject.file_id,
            subject.frame,
            as_text(author.reason)[:MAX_REASON_CHARACTERS],
            json.dumps(before),
            json.dumps(after),
        ),
    )
    assert added.lastrowid is not None
    return added.lastrowid


def history(
    reader: Reader, *, limit: int, before_id: int | None = None, sample: str | None = None
) -> list[ChangeRow]:
    """Changes, newest first, those before the change `before_id`; of one sample or of all."""
    rows = reader.connection.execute(
        """SELECT id, made_at, made_by, source, action, sample, micrograph, frame, reason, before, after,
            undone_by, (SELECT m.id FROM micrographs m WHERE m.file_id = changes.file_id
                AND (changes.frame IS NULL OR m.frame = changes.frame) ORDER BY m.id LIMIT 1)
            FROM changes WHERE id < coalesce(?, id + 1) AND sample = coalesce(?, sample)
            ORDER BY id DESC LIMIT ?""",
        (before_id, sample, limit),
    )
    found = []
    for (
        number,
        made_at,
        made_by,
        source,
        action,
        of_sample,
        micrograph,
        frame,
        reason,
        *states,
        undone,
        micrograph_id,
    ) in rows:
        at = moment(made_at)
        assert at is not None
        before, after = map(json.loads, states)
        found.append(
            ChangeRow(
                id=number,
                made_at=at,
                made_by=made_by,
                source=source,
                action=Action(action),
                sample=of_sample,
                micrograph=micrograph,
                frame=frame,
                reason=reason,
                before=before,
                after=after,
                undone_by=undone,
                micrograph_id=micrograph_id,
            )
        )
    return found
