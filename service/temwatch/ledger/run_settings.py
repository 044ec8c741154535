"""The settings with which results were made, for commands that know only the output folder."""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from temwatch.config import Config

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader
    from temwatch.ledger.writer import Ledger

_SECTIONS = {"samples", "sequences", "output", "segmentation", "separation"}
_OF_OUTPUT = ("formats", "pictures")


def create(connection: sqlite3.Connection) -> None:
    """Migration: the settings of earlier results are not known."""
    connection.execute("CREATE TABLE run_settings (section TEXT NOT NULL PRIMARY KEY, json TEXT NOT NULL)")


def keep(ledger: Ledger, config: Config) -> None:
    """Remember what results depend on, in place of the settings of the run before."""
    sections = config.model_dump(mode="json", include=_SECTIONS)
    sections["output"] = {name: sections["output"][name] for name in _OF_OUTPUT}
    with ledger.transaction() as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO run_settings (section, json) VALUES (?, ?)",
            [(section, json.dumps(values)) for section, values in sections.items()],
        )


def stored(reader: Reader, folder: Path) -> Config:
    """The settings of the last run, for its output folder; defaults for what this version does not know."""
    where = {"folder": str(folder)}
    base: dict[str, Any] = {"watch": where, "output": where}
    rows = reader.connection.execute("SELECT section, json FROM run_settings ORDER BY section")
    for section, text in rows:
        changed = base | {section: base.get(section, {}) | json.loads(text)}
        with suppress(ValidationError):
            Config.model_validate(changed)
            base = changed
    return Config.model_validate(base)
