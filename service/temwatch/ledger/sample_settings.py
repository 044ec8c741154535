"""Settings of samples over those of the configuration, as somebody has set them; see `setting_keys`.

A value is in force until it is undone, and the one that was set last counts. `micrographs.is_outdated` marks
the rows that are to be resolved again with the settings of their sample. Whoever does it, see
`analyses.replace`, takes the mark away if these are still in force, and so a kill leaves nothing half done.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from temwatch.ledger import changes
from temwatch.ledger.changes import Action, Author, Subject
from temwatch.ledger.rows import SETTINGS, moment, settings_from
from temwatch.particle_filter import ParticleFilter, passes_nothing
from temwatch.setting_keys import INSTEAD, SettingValue, decides_rows, particle_filter, that_count

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader

_STATEMENTS = (
    # `value` is JSON; null is for a key that was unset
    """CREATE TABLE settings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        change_id INTEGER NOT NULL REFERENCES changes (id),
        ended_by INTEGER REFERENCES changes (id),
        sample TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL
    )""",
    "CREATE INDEX settings_in_force ON settings (sample) WHERE ended_by IS NULL",
    "ALTER TABLE micrographs ADD COLUMN is_outdated INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX micrographs_outdated ON micrographs (id) WHERE is_outdated",
)


class CannotSet(Exception):
    """Nothing was changed; the text says why."""


def create(connection: sqlite3.Connection) -> None:
    """Migration: nothing was set yet."""
    for statement in _STATEMENTS:
        connection.execute(statement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value that is in force, who set it and when."""

    value: SettingValue
    made_by: str
    made_at: datetime
    change: int


def settings_of(reader: Reader, sample: str) -> dict[str, Setting]:
    """What is set for a sample, by key."""
    rows = reader.connection.execute(
        """SELECT s.key, s.value, c.made_by, c.made_at, c.id, max(s.id)
            FROM settings s JOIN changes c ON c.id = s.change_id
            WHERE s.sample = ? AND s.ended_by IS NULL GROUP BY s.key ORDER BY max(s.id)""",
        (sample,),
    )
    found = {}
    for key, text, made_by, made_at, change, _ in rows:
        value, at = json.loads(text), moment(made_at)
        if value is not None and at is not None:
            found[key] = Setting(value=value, made_by=made_by, made_at=at, change=change)
    return that_count(found)


def saved_filter(reader: Reader, sample: str) -> ParticleFilter:
    """The filter that is saved for a sample."""
    return particle_filter({key: one.value for key, one in settings_of(reader, sample).items()})


def decisive(connection: sqlite3.Connection, sample: str) -> dict[str, SettingValue]:
    """What is set for a sample of that which decides its rows, by key."""
    text = connection.execute(f"SELECT {SETTINGS} FROM (SELECT ? AS sample) f", (sample,)).fetchone()[0]
    return settings_from(text)


def change(
    connection: sqlite3.Connection, author: Author, sample: str, values: Mapping[str, SettingValue | None]
) -> tuple[int | None, int]:
    """Set these keys, or unset those whose value is None.

    Returns
    -------
    change, outdated
        The id of the change, None where all of it is so already, and the number of rows that are to be
        resolved again.
    """
    before = _in_force(connection, sample)
    wanted = dict(values)
    for key, value in values.items():
        if INSTEAD.get(key) in before and (value is not None or key in before):
            wanted.setdefault(INSTEAD[key], None)
    wanted = {key: value for key, value in wanted.items() if before.get(key) != value}
    if not wanted:
        return None, 0
    return _record(connection, author, sample, wanted)


def why_not(
    connection: sqlite3.Connection, sample: str, values: Mapping[str, SettingValue | None]
) -> str | None:
    """Why these values cannot be set beside what is in force, None where they can."""
    if all(map(decides_rows, values)):
        return None
    together = {**_in_force(connection, sample), **values}
    wanted = {key: value for key, value in together.items() if value is not None}
    return passes_nothing(particle_filter(wanted).limits)


def undo(connection: sqlite3.Connection, author: Author, sample: str, change_id: int) -> tuple[int, int]:
    """End what a change has set; gives the same as `change`.

    Raises
    ------
    CannotSet
        Nothing of it is in force.
    """
    condition = "change_id = :change AND ended_by IS NULL"
    return _switch(
        connection, author, sample, change_id, (Action.UNDO_SETTINGS, condition, "ended_by = :made")
    )


def restore(connection: sqlite3.Connection, author: Author, sample: str, undoing: int) -> tuple[int, int]:
    """Put in force again what the change `undoing` has ended, below what was set later; gives the same.

    Raises
    ------
    CannotSet
        It has ended nothing.
    """
    again = "ended_by = NULL, change_id = :made"
    return _switch(connection, author, sample, undoing, (Action.SETTINGS, "ended_by = :change", again))


def _switch(
    connection: sqlite3.Connection, author: Author, sample: str, change_id: int, how: tuple[Action, str, str]
) -> tuple[int, int]:
    """Note a change of this action that updates the values which meet a condition."""
    action, condition, update = how
    before = _in_force(connection, sample)
    # micrographs that were moved may have taken them along to another sample
    rows = connection.execute(
        f"SELECT sample, key FROM settings WHERE {condition}", {"change": change_id}
    ).fetchall()
    if not rows:
        raise CannotSet("nothing of it is set")
    made = changes.add(connection, author, action, Subject(sample=sample), {}, {})
    connection.execute(f"UPDATE settings SET {update} WHERE {condition}", {"change": change_id, "made": made})
    keys = list(dict.fromkeys(key for _, key in rows))
    after = _in_force(connection, sample)
    states = (json.dumps({key: state.get(key) for key in keys}) for state in (before, after))
    connection.execute("UPDATE changes SET before = ?, after = ? WHERE id = ?", (*states, made))
    changed = [key for key in keys if before.get(key) != after.get(key)]
    return made, sum(
        _mark(connection, one, changed if one == sample else keys) for one in {one for one, _ in rows}
    )


def expect(connection: sqlite3.Connection, micrograph_id: int, used: Mapping[str, Any], sample: str) -> None:
    """Mark a row that was found with other settings than those that are in force now."""
    if decisive(connection, sample) != used:
        connection.execute("UPDATE micrographs SET is_outdated = 1 WHERE id = ?", (micrograph_id,))


def _in_force(connection: sqlite3.Connection, sample: str) -> dict[str, SettingValue]:
    rows = connection.execute(
        "SELECT key, value, max(id) FROM settings WHERE sample = ? AND ended_by IS NULL GROUP BY key",
        (sample,),
    )
    return {key: json.loads(text) for key, text, _ in rows if text != "null"}


def _record(
    connection: sqlite3.Connection,
    author: Author,
    sample: str,
    wanted: Mapping[str, SettingValue | None],
) -> tuple[int, int]:
    before = _in_force(connection, sample)
    made = changes.add(
        connection,
        author,
        Action.SETTINGS,
        Subject(sample=sample),
        {key: before.get(key) for key in wanted},
        dict(wanted),
    )
    connection.executemany(
        "INSERT INTO settings (change_id, sample, key, value) VALUES (?, ?, ?, ?)",
        [(made, sample, key, json.dumps(value)) for key, value in wanted.items()],
    )
    return made, _mark(connection, sample, [key for key, value in wanted.items() if before.get(key) != value])


def _mark(connection: sqlite3.Connection, sample: str, keys: list[str]) -> int:
    """Have the rows of a sample resolved again where one of these keys decides them; gives their number."""
    if not any(map(decides_rows, keys)):
        return 0
    return connection.execute(
        """UPDATE micrographs SET is_outdated = 1
            WHERE sample = ? AND method IS NOT NULL AND status IN ('done', 'duplicate')""",
        (sample,),
    ).rowcount
