"""Persistent totals, which the metrics show; they survive a restart."""

from __future__ import annotations

import sqlite3

from temwatch.ledger.reader import Reader
from temwatch.ledger.writer import Ledger


def count(ledger: Ledger, name: str, label: str = "", amount: int = 1) -> None:
    """Add to a total, for example `count(ledger, "out_of_memory")`."""
    with ledger.transaction() as connection:
        add(connection, name, label, amount)


def add(connection: sqlite3.Connection, name: str, label: str = "", amount: int = 1) -> None:
    """Add to a total within a transaction."""
    if amount:
        connection.execute(
            """INSERT INTO counters (name, label, value) VALUES (?, ?, ?)
                ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value""",
            (name, label, amount),
        )


def totals(reader: Reader) -> dict[tuple[str, str], int]:
    """Every total by name and label, for example ("micrographs_processed", "done")."""
    rows = reader.connection.execute("SELECT name, label, value FROM counters")
    return {(name, label): value for name, label, value in rows}
