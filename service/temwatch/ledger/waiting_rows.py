"""Rows that wait to be resolved again: with a corrected pixel size, or with the settings of their sample.

What waits stands in the ledger, see `calibrations` and `sample_settings`, so that whoever resolves goes on
after a kill.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from temwatch.ledger import sample_settings
from temwatch.notes import Note
from temwatch.setting_keys import Settings

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader
    from temwatch.ledger.writer import Ledger

_WAITS = "(wanted_pixel_size_nm IS NOT NULL OR is_outdated)"
_WAITING = """(SELECT id FROM micrographs WHERE wanted_pixel_size_nm IS NOT NULL
    UNION SELECT id FROM micrographs WHERE is_outdated)"""
"""Their ids, each half by an index: the service asks every few seconds, however many rows there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRow:
    """A row that is to be resolved again.

    `pixel_size_nm` is None where the size stays; `settings_json` holds those of its sample, None where the
    row keeps the settings that it was resolved with.
    """

    micrograph_id: int
    pixel_size_nm: float | None
    settings_json: str | None
    method: str

    @property
    def settings(self) -> Settings | None:
        """The settings by key."""
        found: Settings | None = None if self.settings_json is None else json.loads(self.settings_json)
        return found


def waiting(reader: Reader) -> int:
    """Number of rows that wait."""
    return int(reader.value(f"SELECT count(*) FROM {_WAITING}"))


def is_waiting(ledger: Ledger) -> bool:
    """Whether any row waits."""
    with ledger.reading() as connection:
        return bool(connection.execute(f"SELECT EXISTS {_WAITING}").fetchone()[0])


def next_waiting(reader: Reader, without: Collection[WaitingRow] = ()) -> WaitingRow | None:
    """The first row that waits and is not one of these, None where there is none."""
    rows = reader.connection.execute(
        f"""SELECT id, wanted_pixel_size_nm, is_outdated, method, sample FROM micrographs
            WHERE id IN {_WAITING} ORDER BY id"""
    )
    for number, size, is_outdated, method, sample in rows:
        item = WaitingRow(
            micrograph_id=number,
            pixel_size_nm=size,
            settings_json=_text(reader.connection, sample) if is_outdated else None,
            method=method,
        )
        if item not in without:
            return item
    return None


def is_wanted(connection: sqlite3.Connection, item: WaitingRow) -> bool:
    """Whether the row still waits for this; it may have been retried, replaced or undone meanwhile."""
    row = connection.execute(
        f"""SELECT wanted_pixel_size_nm, is_outdated, method, sample FROM micrographs
            WHERE id = ? AND {_WAITS}""",
        (item.micrograph_id,),
    ).fetchone()
    if row is None:
        return False
    size, is_outdated, method, sample = row
    settings = _text(connection, sample) if is_outdated else None
    return (size, settings, method) == (item.pixel_size_nm, item.settings_json, item.method)


def settle(ledger: Ledger, item: WaitingRow, note: Note | None = None) -> None:
    """A row stays as it is: it has these settings already, or a `note` says why it cannot have them."""
    from temwatch.ledger.supersede import add_note, make_stale

    with ledger.transaction() as connection:
        if not is_wanted(connection, item):
            return
        set_up_to_date(connection, item.micrograph_id)
        if note is not None:
            add_note(connection, item.micrograph_id, note)
            (sample,) = connection.execute(
                "SELECT sample FROM micrographs WHERE id = ?", (item.micrograph_id,)
            ).fetchone()
            make_stale(connection, sample, particles=False)


def set_up_to_date(connection: sqlite3.Connection, micrograph_id: int) -> None:
    """The row has the settings of its sample."""
    connection.execute("UPDATE micrographs SET is_outdated = 0 WHERE id = ?", (micrograph_id,))


def _text(connection: sqlite3.Connection, sample: str) -> str:
    return json.dumps(sample_settings.decisive(connection, sample), sort_keys=True)
