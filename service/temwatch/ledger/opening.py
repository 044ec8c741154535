"""Opening the ledger as its only writer."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TextIO

from temwatch import operating_system
from temwatch.errors import StartError
from temwatch.ledger import queue
from temwatch.ledger.schema import FILE_NAME, connect_to_write, migrate
from temwatch.ledger.writer import Ledger

_LOCK_NAME = "lock"
_LOCK_WAIT_SECONDS = 1.0  # a service that is just stopping releases its lock within this time


def open_ledger(state: Path) -> Ledger:
    """Open the ledger in the folder `state` as its only writer, and release files claimed by a dead process.

    Processes that live beside the writer must be started by spawn or forkserver: a plain fork would inherit
    the lock and hold it after the writer has ended.

    Raises
    ------
    StartError
        Another process holds the ledger, it is of a newer version, or the folder cannot hold one.
    """
    path = state / FILE_NAME
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = _lock(state)
    except OSError as error:
        raise StartError(f"{state}: cannot hold the ledger: {error.strerror}") from None
    try:
        connection = connect_to_write(path)
        ledger = Ledger(state, connection, lock)
        migrate(connection, path)
        queue.release_all(ledger)
    except sqlite3.Error as error:
        lock.close()
        raise StartError(f"{path}: cannot be used as a ledger: {error}") from None
    except BaseException:
        lock.close()
        raise
    return ledger


def _lock(state: Path) -> TextIO:
    lock = (state / _LOCK_NAME).open("a+", encoding="ascii")
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            operating_system.lock(lock)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                lock.close()
                raise StartError(f"{state}: another temwatch (process {holder}) holds this ledger") from None
            time.sleep(0.05)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def is_held(state: Path) -> bool:
    """Whether a service, or a command that writes, holds the ledger in `state` now."""
    try:
        with (state / _LOCK_NAME).open("r", encoding="ascii") as lock:
            operating_system.lock(lock, shared=True)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
