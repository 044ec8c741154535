"""The one writer of a ledger. Every method is one transaction, or none at all."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from temwatch.domain import Analysis, Status, utc_text
from temwatch.errors import LedgerError, StartError
from temwatch.ledger import queue, recording
from temwatch.ledger.names import from_stored, to_stored
from temwatch.ledger.packing import pack_mask
from temwatch.ledger.reader import Reader
from temwatch.ledger.recording import Packed
from temwatch.ledger.rows import Arrival, File, Publication, Recorded, Request, Result
from temwatch.ledger.schema import FILE_NAME, connect_to_write, migrate
from temwatch.ledger.supersede import count, make_stale

_LOCK_WAIT_SECONDS = 1.0  # a service that is just ending lets go within this time


def open_ledger(state: Path) -> Ledger:
    """Open the ledger in the folder `state` as its only writer, and put back what was in hand before.

    Processes that live beside the writer must be started by spawn or forkserver: a plain fork would inherit
    the lock and hold it after the writer is gone.

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
        ledger.release_all()
    except sqlite3.Error as error:
        lock.close()
        raise StartError(f"{path}: cannot be used as a ledger: {error}") from None
    except BaseException:
        lock.close()
        raise
    return ledger


def _lock(state: Path) -> TextIO:
    lock = (state / "lock").open("a+", encoding="ascii")
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        with (state / "lock").open("r", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def post_request(state: Path, kind: str, arguments: Mapping[str, Any], at: datetime) -> int:
    """Ask the service that holds the ledger for something; `Reader.answer` shows when it is done.

    Raises
    ------
    StartError
        There is no ledger, or it is of another version.
    """
    with Reader(state):
        pass  # says so in one line
    connection = connect_to_write(state / FILE_NAME)
    try:
        posted = connection.execute(
            "INSERT INTO requests (kind, arguments, created_at) VALUES (?, ?, ?)",
            (kind, json.dumps(dict(arguments)), utc_text(at)),
        )
    finally:
        connection.close()
    assert posted.lastrowid is not None
    return posted.lastrowid


class Ledger:
    """The open ledger; safe to use from several threads. `open_ledger` makes one."""

    def __init__(self, state: Path, connection: sqlite3.Connection, lock: TextIO) -> None:
        self.state = state
        self.publishing = threading.RLock()  # two threads must not append to one table
        self._connection = connection
        self._lock_file = lock
        self._turn = threading.RLock()

    def close(self) -> None:
        """Close and let go of the lock; closing twice does no harm."""
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

    # Files on their way

    def add(self, found: Arrival) -> int | None:
        """Take up one file; see `add_all`."""
        return self.add_all([found])[0]

    def add_all(self, found: Iterable[Arrival]) -> list[int | None]:
        """Take up files in one transaction.

        Returns
        -------
        list of int or None
            Their ids; None where the latest revision of the file has the same size, time and sample. A file
            that changed before anybody read it keeps its row; after that a change is a new revision.
        """
        found = list(found)
        with self.transaction() as connection:
            return queue.add(connection, found)

    def known(self, root: str) -> dict[str, tuple[int, int]]:
        """Size in bytes and time in ns of the latest revision of every file below `root`, by path."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT path, size_bytes, mtime_ns, max(revision) FROM files WHERE root = ? GROUP BY path",
                (to_stored(root),),
            ).fetchall()
        return {from_stored(path): (size_bytes, mtime_ns) for path, size_bytes, mtime_ns, _ in rows}

    def claim(self, limit: int, now: datetime) -> list[File]:
        """Take up to `limit` pending files in hand, oldest first, but none that is to wait beyond `now`.

        Of one file never two revisions are in hand together: they have the same pictures to write.
        """
        with self.transaction() as connection:
            return queue.claim(connection, limit, now)

    def release(self, file_id: int, *, not_before: datetime | None = None, reason: str | None = None) -> None:
        """Put a file back; with a `reason` (a label of retries_total) it counts as an attempt."""
        with self.transaction() as connection:
            queue.release(connection, file_id, not_before, counts=reason is not None)
            if reason:
                count(connection, "retries", reason)

    def crashed(self, file_id: int, *, not_before: datetime | None = None) -> int:
        """A worker died on the file: put it back, and say how often that has happened."""
        with self.transaction() as connection:
            connection.execute("UPDATE files SET crashes = crashes + 1 WHERE id = ?", (file_id,))
            crashes = connection.execute("SELECT crashes FROM files WHERE id = ?", (file_id,)).fetchone()
            queue.release(connection, file_id, not_before, counts=True)
            count(connection, "retries", "crashed")
        return int(crashes[0]) if crashes else 0

    def release_all(self) -> None:
        """Put back whatever is in hand."""
        with self.transaction() as connection:
            queue.release_all(connection)

    def retry(
        self, paths: Collection[str] | None = None, pixel_size_nm: float | None = None
    ) -> tuple[list[File], list[str]]:
        """Let files be analysed anew.

        Parameters
        ----------
        paths : collection of str, optional
            Path below the root, absolute path or output name; also of files that are done. Without it all
            that failed or were refused.
        pixel_size_nm : float, optional
            Given to every one of these files.

        Returns
        -------
        files, unknown
            The files as they were, and the paths that name none.
        """
        with self.transaction() as connection:
            return queue.retry(connection, paths, pixel_size_nm)

    # What became of them

    def recognise(
        self, file_id: int, sha256: str, at: datetime, *, seconds: float | None = None
    ) -> Recorded | None:
        """Tell by its content whether a file needs an analysis at all; None where it does.

        A duplicate gets its row. A revision with the content of the one before it vanishes: the file was only
        touched, and the earlier row takes over its size and time.
        """
        with self.transaction() as connection:
            return recording.recognise(connection, file_id, sha256, at, seconds)

    def record(
        self,
        file_id: int,
        results: Sequence[Result | Packed],
        *,
        finished: bool = True,
        frames_total: int | None = None,
    ) -> Recorded:
        """Add what was found in a file, whole or not at all.

        Recording is idempotent: a file that is finished and a frame that is there change nothing. A stack
        comes in batches, `finished=False` before the last; after a crash it goes on from
        `File.frames_recorded`. Whether the content is a duplicate is decided here, once more.
        """
        packed = [result if isinstance(result, Packed) else recording.pack(result) for result in results]
        with self.transaction() as connection:
            return recording.record(connection, file_id, packed, finished=finished, frames_total=frames_total)

    def reject_file(
        self,
        file_id: int,
        *,
        status: Status,
        code: str,
        reason: str,
        at: datetime,
        sha256: str | None = None,
        seconds: float | None = None,
    ) -> Recorded:
        """Add the row of a file that failed or was refused; frames of it that were recorded stay."""
        row = {
            "reason_code": code,
            "reason": reason,
            "analysed_at": utc_text(at),
            "sha256": sha256,
            "seconds": seconds,
        }
        with self.transaction() as connection:
            return recording.reject(connection, file_id, status, row)

    def replace_analysis(self, micrograph_id: int, analysis: Analysis, at: datetime) -> None:
        """Put another analysis of the same segmentation in the first one's place, in the same row."""
        with self.reader() as reader:
            despeckling = pack_mask(reader.segmentation(micrograph_id).mask ^ analysis.mask)
        with self.transaction() as connection:
            recording.replace_analysis(connection, micrograph_id, analysis, despeckling, at)

    # What was published

    def published(
        self, sample: str, publications: Iterable[Publication], written: Mapping[int, int] | None = None
    ) -> None:
        """Remember how far files were published, and which output folders (id: `changes`) are up to date."""
        with self.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO publications VALUES (?, ?, ?, ?, ?)",
                [(sample, p.file, p.bytes, p.through_id, p.generation) for p in publications],
            )
            connection.executemany(
                "UPDATE files SET written = ? WHERE id = ?",
                [(changes, file_id) for file_id, changes in (written or {}).items()],
            )

    def mark_stale(self, sample: str) -> None:
        """Let every table and output folder of a sample be written anew at the next publication."""
        with self.transaction() as connection:
            make_stale(connection, sample, particles=True)
            connection.execute("UPDATE sequences SET generation = generation + 1 WHERE sample = ?", (sample,))
            connection.execute(
                "UPDATE files SET changes = changes + 1 WHERE sample = ? AND status <> 'superseded'",
                (sample,),
            )

    # Totals and requests

    def count(self, name: str, label: str = "", amount: int = 1) -> None:
        """Add to a persistent total, for example `count("out_of_memory")`."""
        with self.transaction() as connection:
            count(connection, name, label, amount)

    def requests(self) -> list[Request]:
        """What commands have asked for and nobody has done yet, oldest first."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT id, kind, arguments, created_at FROM requests WHERE done_at IS NULL ORDER BY id"
            ).fetchall()
        return [
            Request(
                id=number,
                kind=kind,
                arguments=json.loads(arguments),
                created_at=datetime.fromisoformat(created_at),
            )
            for number, kind, arguments, created_at in rows
        ]

    def answer(self, request_id: int, text: str, at: datetime) -> None:
        """A request is done; `text` is for who asked."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE requests SET done_at = ?, answer = ? WHERE id = ?", (utc_text(at), text, request_id)
            )
