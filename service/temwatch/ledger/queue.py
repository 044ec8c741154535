"""Files on their way to an analysis: taken up, claimed, given back, tried again.

Every function works inside the transaction that the writer opened.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import PurePosixPath

from temwatch.domain import Status, utc_text
from temwatch.ledger.names import MAX_NAME_BYTES, folder_name, name_key, to_stored
from temwatch.ledger.rows import FILE_COLUMNS, Arrival, File, file_from
from temwatch.ledger.supersede import IS_NEWEST, count, make_stale, release_duplicates, set_superseded

_SUFFIX_BYTES = 8  # room for _2, _3 ... behind a name


def add(connection: sqlite3.Connection, arrivals: Iterable[Arrival]) -> list[int | None]:
    """Take up files; see Ledger.add_all."""
    suffixes: dict[tuple[str, str], int] = {}
    return [_add_one(connection, arrival, suffixes) for arrival in arrivals]


def _add_one(
    connection: sqlite3.Connection, arrival: Arrival, suffixes: dict[tuple[str, str], int]
) -> int | None:
    root, path = to_stored(arrival.root), to_stored(arrival.path)
    sample = folder_name(arrival.sample)
    seen = (arrival.size_bytes, arrival.mtime_ns)
    newest = _newest(connection, root, path)
    if newest and newest.sample == sample:
        if (newest.size_bytes, newest.mtime_ns) == seen:
            return None
        if newest.status is Status.PENDING and not newest.claimed and not newest.frames_recorded:
            # it changed before anybody read it: still the same work, and what failed before tells nothing now
            connection.execute(
                """UPDATE files SET size_bytes = ?, mtime_ns = ?, not_before = NULL, attempts = 0, crashes = 0
                    WHERE id = ?""",
                (*seen, newest.id),
            )
            return newest.id
    connection.execute("INSERT OR IGNORE INTO samples (sample) VALUES (?)", (sample,))
    name = _name(connection, arrival, sample, suffixes)
    row = {
        "root": root,
        "path": path,
        "revision": newest.revision + 1 if newest else 1,
        "sample": sample,
        "sequence": None if arrival.sequence is None else _sequence(connection, sample, arrival.sequence),
        "frame": arrival.frame,
        "name": name,
        "name_key": name_key(name),
        "size_bytes": arrival.size_bytes,
        "mtime_ns": arrival.mtime_ns,
        "source": arrival.source,
        "pixel_size_nm": arrival.pixel_size_nm,
        "position": arrival.position,
        "detected_at": utc_text(arrival.detected_at),
    }
    inserted = connection.execute(
        f"INSERT INTO files ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
    )
    if newest:
        _drop_if_obsolete(connection, newest.id)
    count(connection, "files_detected", arrival.source)
    return inserted.lastrowid


def _newest(connection: sqlite3.Connection, root: str | bytes, path: str | bytes) -> File | None:
    cursor = connection.cursor()
    cursor.row_factory = file_from
    newest: File | None = cursor.execute(
        f"SELECT {FILE_COLUMNS} FROM files f WHERE root = ? AND path = ? ORDER BY revision DESC LIMIT 1",
        (root, path),
    ).fetchone()
    return newest


def _name(
    connection: sqlite3.Connection, arrival: Arrival, sample: str, suffixes: dict[tuple[str, str], int]
) -> str:
    """The output folder of an earlier revision, or one that no other file of the sample has.

    A file by itself may turn out to be a stack, whose sequence has this name: no folder's sequence has it.
    """
    root, path = to_stored(arrival.root), to_stored(arrival.path)
    kept = connection.execute(
        "SELECT name FROM files WHERE root = ? AND path = ? AND sample = ? LIMIT 1", (root, path, sample)
    ).fetchone()
    if kept:
        return str(kept[0])
    base = folder_name(PurePosixPath(arrival.path).stem, MAX_NAME_BYTES - _SUFFIX_BYTES)
    # thousands of files of one stem in one batch must not try every suffix anew
    number = suffixes.get((sample, name_key(base)), 1)
    while True:
        name = _numbered(base, number)
        number += 1
        taken = connection.execute(
            """SELECT EXISTS (SELECT 1 FROM files WHERE sample = ? AND name_key = ?) OR (? AND EXISTS (
                SELECT 1 FROM files WHERE sample = ? AND coalesce(sequence, name) = ?))""",
            (sample, name_key(name), arrival.sequence is None, sample, name),
        ).fetchone()[0]
        if not taken:
            suffixes[sample, name_key(base)] = number
            return name


def _sequence(connection: sqlite3.Connection, sample: str, wanted: str) -> str:
    """The name of a folder's sequence, with _2, _3 ... where a file of the sample, maybe a stack, has it."""
    base = folder_name(wanted, MAX_NAME_BYTES - _SUFFIX_BYTES)
    names = (_numbered(base, number) for number in itertools.count(1))
    taken = "SELECT 1 FROM files WHERE sample = ? AND name_key = ? AND sequence IS NULL LIMIT 1"
    return next(name for name in names if not connection.execute(taken, (sample, name_key(name))).fetchone())


def _numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base}_{number}"


def claim(connection: sqlite3.Connection, limit: int, now: datetime) -> list[File]:
    """Take the oldest pending files in hand; see Ledger.claim."""
    cursor = connection.cursor()
    cursor.row_factory = file_from
    files: list[File] = cursor.execute(
        f"""SELECT {FILE_COLUMNS} FROM files f WHERE f.status = 'pending' AND NOT f.claimed
            AND (f.position IS NULL OR f.frame IS NOT NULL)
            AND (f.not_before IS NULL OR f.not_before <= ?) AND NOT EXISTS (
                SELECT 1 FROM files h WHERE h.root = f.root AND h.path = f.path AND h.claimed)
            ORDER BY f.id LIMIT ?""",
        (utc_text(now), limit),
    ).fetchall()
    connection.executemany(
        "UPDATE files SET claimed = 1, attempts = attempts + 1 WHERE id = ?", [(file.id,) for file in files]
    )
    return files


def release_all(connection: sqlite3.Connection) -> None:
    """Put back what a process that is gone had in hand."""
    in_hand = connection.execute("SELECT id FROM files WHERE status = 'pending' AND claimed").fetchall()
    connection.execute(
        "UPDATE files SET claimed = 0, attempts = attempts - 1 WHERE status = 'pending' AND claimed"
    )
    for (file_id,) in in_hand:
        _drop_if_obsolete(connection, file_id)


def release(
    connection: sqlite3.Connection, file_id: int, not_before: datetime | None, *, counts: bool
) -> None:
    """Put one file back, to be tried again at once or later; the attempt may count or not."""
    connection.execute(
        """UPDATE files SET claimed = 0, not_before = ?, attempts = attempts - (claimed AND NOT ?)
            WHERE id = ? AND status = 'pending'""",
        (utc_text(not_before) if not_before else None, counts, file_id),
    )
    _drop_if_obsolete(connection, file_id)


def _drop_if_obsolete(connection: sqlite3.Connection, file_id: int) -> None:
    """A revision that nobody holds and that has a later one is no work any more: its content is gone."""
    obsolete = connection.execute(
        f"""SELECT f.sample, EXISTS (SELECT 1 FROM micrographs m WHERE m.file_id = f.id) FROM files f
            WHERE f.id = ? AND f.status = 'pending' AND NOT f.claimed AND NOT {IS_NEWEST}""",
        (file_id,),
    ).fetchone()
    if obsolete and obsolete[1]:
        set_superseded(connection, file_id)
        make_stale(connection, obsolete[0], particles=True)
    elif obsolete:
        connection.execute("DELETE FROM files WHERE id = ?", (file_id,))


def retry(
    connection: sqlite3.Connection, paths: Collection[str] | None, pixel_size_nm: float | None
) -> tuple[list[File], list[str]]:
    """Make files pending again; see Ledger.retry."""
    cursor = connection.cursor()
    cursor.row_factory = file_from
    newest: list[File] = cursor.execute(
        f"SELECT {FILE_COLUMNS} FROM files f WHERE {IS_NEWEST} ORDER BY f.id"
    ).fetchall()
    if paths is None:
        chosen = [file for file in newest if file.status in (Status.FAILED, Status.REFUSED)]
    else:
        wanted = set(paths)
        chosen = [file for file in newest if wanted & _designations(file)]
    for file in chosen:
        connection.execute(
            """UPDATE files SET not_before = NULL, attempts = 0, crashes = 0,
                pixel_size_nm = coalesce(?, pixel_size_nm) WHERE id = ?""",
            (pixel_size_nm, file.id),
        )
        if file.status is not Status.PENDING:
            count(connection, "retries", "requested")
            _reopen(connection, file)
    named = {designation for file in chosen for designation in _designations(file)}
    return chosen, [path for path in paths or () if path not in named]


def _designations(file: File) -> set[str]:
    return {file.path, str(file.location), file.name} | ({file.sequence} if file.sequence else set())


def _reopen(connection: sqlite3.Connection, file: File) -> None:
    """Forget what is known of a file's content, and let it be analysed anew."""
    connection.execute("DELETE FROM micrographs WHERE file_id = ?", (file.id,))
    connection.execute(
        "UPDATE files SET status = 'pending', claimed = 0, sha256 = NULL, frames_total = NULL WHERE id = ?",
        (file.id,),
    )
    make_stale(connection, file.sample, particles=file.status is Status.DONE or file.frames_recorded > 0)
    if file.status is Status.DONE and file.sha256:
        release_duplicates(connection, file.sample, file.sha256)
