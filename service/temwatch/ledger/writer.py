"""The one writer of a ledger: its connection, its lock and its transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from temwatch.errors import LedgerError
from temwatch.ledger.reader import Reader


class Ledger:
    """The open ledger; safe to use from several threads. `open_ledger` makes one."""

    def __init__(self, state: Path, connection: sqlite3.Connection, lock: TextIO) -> None:
        self.state = state
        self.publishing = threading.RLock()  # two threads must not append to one table
        self._connection = connection
        self._lock_file = lock
        self._turn = threading.RLock()

    def close(self) -> None:
        """Close the ledger and release its lock; closing twice does no harm."""
        with self._turn:
            self._connection.close()
            self._lock_file.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all that is executed on the connection within is written, or nothing.

        Raises
        ------
        LedgerError
            The disk is full or another process holds the file.
        """
        with self._turn:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._connection.rollback()
                raise LedgerError(f"{self.state}: the ledger cannot be written: {error}") from error
            except BaseException:
                self._connection.rollback()
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection for a query alone; other threads wait meanwhile."""
        with self._turn:
            yield self._connection

    def reader(self) -> Reader:
        """A reader of the same ledger, with a connection of its own."""
        return Reader(self.state)
