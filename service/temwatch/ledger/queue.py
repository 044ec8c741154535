"""Files on their way to an analysis: added, claimed, released, tried again; one transaction a function."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from temwatch.domain import Status, utc_text
from temwatch.ledger import counters, exclusions, output_names, swapped_names
from temwatch.ledger.changes import rule_author
from temwatch.ledger.rows import FILE_COLUMNS, Arrival, File, file_from
from temwatch.ledger.supersede import (
    IS_NEWEST,
    make_stale,
    release_duplicates,
    set_superseded,
    settle_copies_of,
)
from temwatch.ledger.writer import Ledger
from temwatch.names import as_text, from_cell, name_key, to_stored

_RECHECK = "recheck"
"""Source of a revision of which only the time of the last change differs (`chmod`, a further hard link): its
content is most likely that of the revision before, and whole archives may change so at once."""

MOVED = "moved"
"""Source of a file that was most likely known at another path: it comes first and takes no time (`moves`)."""

_ORDERS = (
    f"f.crashes < 2 AND f.source = '{MOVED}' ORDER BY f.id",
    f"f.crashes < 2 AND f.source NOT IN ('{_RECHECK}', '{MOVED}') ORDER BY f.id",
    f"f.crashes < 2 AND f.source = '{_RECHECK}' ORDER BY f.id",
    "f.crashes >= 2 ORDER BY f.crashes, f.id",
)


def add(ledger: Ledger, arrival: Arrival) -> int | None:
    """Add one file; see `add_all`."""
    return add_all(ledger, [arrival])[0]


def add_all(ledger: Ledger, arrivals: Iterable[Arrival]) -> list[int | None]:
    """Add files in one transaction.

    Returns
    -------
    list of int or None
        Their ids; None where the latest revision of the file has the same size, time and sample. A file
        that changed before it was claimed keeps its row; after that a change is a new revision.
    """
    arrivals = list(arrivals)
    suffixes: dict[tuple[str, str], int] = {}
    with ledger.transaction() as connection:
        return [_add_one(connection, arrival, suffixes) for arrival in arrivals]


def _add_one(
    connection: sqlite3.Connection, arrival: Arrival, suffixes: dict[tuple[str, str], int]
) -> int | None:
    root, path = to_stored(arrival.root), to_stored(arrival.path)
    sample = output_names.sample(connection, arrival.sample)
    seen = (arrival.size_bytes, arrival.mtime_ns, arrival.ctime_ns)
    newest = _newest(connection, root, path)
    source = MOVED if _may_be_moved(connection, arrival, root, path) else arrival.source
    if newest and newest.sample == sample:
        if _is_same(newest, arrival):
            return None
        if source != MOVED and _differs_in_ctime_alone(newest, arrival):
            source = _RECHECK
        if newest.status is Status.PENDING and not newest.claimed and not newest.frames_recorded:
            # it changed before it was claimed: the same row, and earlier failures no longer count
            connection.execute(
                """UPDATE files SET size_bytes = ?, mtime_ns = ?, ctime_ns = ?, not_before = NULL,
                    attempts = 0, crashes = 0, source = ?, inode = ?, mounted = ? WHERE id = ?""",
                (*seen, source, arrival.inode, arrival.mounted, newest.id),
            )
            return newest.id
    name = output_names.micrograph(connection, arrival, sample, suffixes)
    row = {
        "root": root,
        "path": path,
        "revision": newest.revision + 1 if newest else 1,
        "sample": sample,
        "sequence": arrival.sequence and output_names.sequence(connection, sample, arrival.sequence),
        "frame": arrival.frame,
        "name": name,
        "name_key": name_key(name),
        "size_bytes": arrival.size_bytes,
        "mtime_ns": arrival.mtime_ns,
        "ctime_ns": arrival.ctime_ns,
        "source": source,
        "pixel_size_nm": arrival.pixel_size_nm,
        "position": arrival.position,
        "detected_at": utc_text(arrival.detected_at),
        "inode": arrival.inode,
        "mounted": arrival.mounted,
    }
    inserted = connection.execute(
        f"INSERT INTO files ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
    )
    assert inserted.lastrowid is not None
    if arrival.excluded_by is not None:
        author = rule_author(arrival.excluded_by, arrival.detected_at)
        exclusions.exclude_file(connection, inserted.lastrowid, None, author)
    if newest:
        _drop_if_obsolete(connection, newest.id)
    swapped_names.pass_decisions_on(connection, inserted.lastrowid, newest.id if newest else None)
    if source != _RECHECK:
        counters.add(connection, "files_detected", arrival.source)
    return inserted.lastrowid


def _may_be_moved(
    connection: sqlite3.Connection, arrival: Arrival, root: str | bytes, path: str | bytes
) -> bool:
    """Whether a file at another path, and none at this one, was as large, as old and of the same inode."""
    if not arrival.inode:
        return False
    found = connection.execute(
        """SELECT count(*) > sum(is_here) AND NOT max(is_here AND status <> 'pending') FROM (
            SELECT status, root = ? AND path = ? AS is_here FROM files
            WHERE inode = ? AND size_bytes = ? AND mtime_ns = ? AND status <> 'superseded')""",
        (root, path, arrival.inode, arrival.size_bytes, arrival.mtime_ns),
    ).fetchone()
    return bool(found[0])


def _is_same(file: File, arrival: Arrival) -> bool:
    """Whether nothing shows a change; a time of the last change that one of them lacks shows nothing."""
    if arrival.written_again or (file.size_bytes, file.mtime_ns) != (arrival.size_bytes, arrival.mtime_ns):
        return False
    return None in (file.ctime_ns, arrival.ctime_ns) or file.ctime_ns == arrival.ctime_ns


def _differs_in_ctime_alone(file: File, arrival: Arrival) -> bool:
    """Whether only ctime shows a change, and the file has its result or waits for that reason."""
    if arrival.written_again or (file.size_bytes, file.mtime_ns) != (arrival.size_bytes, arrival.mtime_ns):
        return False
    has_result = file.status in (Status.DONE, Status.REFUSED, Status.DUPLICATE)
    return has_result or (file.status is Status.PENDING and file.source == _RECHECK)


def _newest(connection: sqlite3.Connection, root: str | bytes, path: str | bytes) -> File | None:
    cursor = connection.cursor()
    cursor.row_factory = file_from
    newest: File | None = cursor.execute(
        f"SELECT {FILE_COLUMNS} FROM files f WHERE root = ? AND path = ? ORDER BY revision DESC LIMIT 1",
        (root, path),
    ).fetchone()
    return newest


def claim(
    ledger: Ledger, limit: int, now: datetime, longest_wait: timedelta = timedelta(days=1)
) -> list[File]:
    """Claim up to `limit` pending files, oldest first, but none that is to wait beyond `now`.

    Files of which only the time of the last change differs come behind all others; those on which a process
    died twice come last, that the others have results. A file that is to wait for more than `longest_wait`
    was put back when the clock was ahead: it waits no longer, and what was found in the future was found now.
    Two revisions of one file are never claimed together: they would write the same pictures. Nor is a file
    that may have been moved, before what it was is done with.
    """
    with ledger.reading() as connection:  # an idle service asks once a second, and takes no lock for that
        if not connection.execute("SELECT 1 FROM files WHERE status = 'pending' LIMIT 1").fetchall():
            return []
    with ledger.transaction() as connection:
        cursor = connection.cursor()
        cursor.row_factory = file_from
        files: list[File] = []
        for order in _ORDERS:
            files += cursor.execute(
                f"""SELECT {FILE_COLUMNS} FROM files f WHERE f.status = 'pending' AND NOT f.claimed
                    AND (f.position IS NULL OR f.frame IS NOT NULL)
                    AND (f.not_before IS NULL OR f.not_before <= ? OR f.not_before > ?) AND NOT EXISTS (
                        SELECT 1 FROM files h WHERE h.root = f.root AND h.path = f.path AND h.claimed)
                    AND NOT (f.source = '{MOVED}' AND EXISTS (
                        SELECT 1 FROM files h WHERE h.inode = f.inode AND h.size_bytes = f.size_bytes
                            AND h.mtime_ns = f.mtime_ns AND h.claimed))
                    AND {order} LIMIT ?""",
                (utc_text(now), utc_text(now + longest_wait), limit - len(files)),
            ).fetchall()
        claiming = "UPDATE files SET claimed = 1, attempts = attempts + 1 WHERE id = ?"
        connection.executemany(claiming, [(file.id,) for file in files])
        if any(file.detected_at > now for file in files):
            correcting = "UPDATE files SET detected_at = ?1 WHERE status = 'pending' AND detected_at > ?1"
            connection.execute(correcting, (utc_text(now),))
            files = [replace(file, detected_at=min(file.detected_at, now)) for file in files]
    return files


def release(
    ledger: Ledger, file_id: int, *, not_before: datetime | None = None, reason: str | None = None
) -> None:
    """Return a claimed file to the queue; a `reason`, a label of retries_total, makes it an attempt."""
    with ledger.transaction() as connection:
        _release(connection, file_id, not_before, is_attempt=reason is not None)
        if reason:
            counters.add(connection, "retries", reason)


def release_crashed(ledger: Ledger, file_id: int, *, not_before: datetime | None = None) -> int:
    """Release a file on which a worker process crashed; the number of crashes on it so far."""
    with ledger.transaction() as connection:
        connection.execute("UPDATE files SET crashes = crashes + 1 WHERE id = ?", (file_id,))
        crashes = connection.execute("SELECT crashes FROM files WHERE id = ?", (file_id,)).fetchone()
        _release(connection, file_id, not_before, is_attempt=True)
        counters.add(connection, "retries", "crashed")
    return int(crashes[0]) if crashes else 0


def release_all(ledger: Ledger) -> None:
    """Return every claimed file to the queue; the process that had them died, perhaps of one of them."""
    with ledger.transaction() as connection:
        claimed = connection.execute("SELECT id FROM files WHERE status = 'pending' AND claimed").fetchall()
        connection.execute(
            """UPDATE files SET claimed = 0, attempts = attempts - 1, crashes = crashes + 1
                WHERE status = 'pending' AND claimed"""
        )
        if claimed:
            counters.add(connection, "retries", "crashed", len(claimed))
        for (file_id,) in claimed:
            _drop_if_obsolete(connection, file_id)


def _release(
    connection: sqlite3.Connection, file_id: int, not_before: datetime | None, *, is_attempt: bool
) -> None:
    connection.execute(
        """UPDATE files SET claimed = 0, not_before = ?, attempts = attempts - (claimed AND NOT ?)
            WHERE id = ? AND status = 'pending'""",
        (utc_text(not_before) if not_before else None, is_attempt, file_id),
    )
    _drop_if_obsolete(connection, file_id)


def _drop_if_obsolete(connection: sqlite3.Connection, file_id: int) -> None:
    """Remove a pending revision that is not claimed and has a later one: its content is gone."""
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
    ledger: Ledger, paths: Collection[str] | None = None, pixel_size_nm: float | None = None
) -> tuple[list[File], list[str]]:
    """Put files into the queue again; the time to their results counts from now on.

    Parameters
    ----------
    ledger : Ledger
        The writer.
    paths : collection of str, optional
        Paths below the root, absolute paths or output names; also of files that are done. By default all
        files that failed or were refused and were not dismissed, by excluding them.
    pixel_size_nm : float, optional
        Given to every one of these files.

    Returns
    -------
    files, unknown
        The files as they were, and the paths that match none.
    """
    with ledger.transaction() as connection:
        cursor = connection.cursor()
        cursor.row_factory = file_from
        newest: list[File] = cursor.execute(
            f"SELECT {FILE_COLUMNS} FROM files f WHERE {IS_NEWEST} ORDER BY f.id"
        ).fetchall()
        wanted: dict[str, str] = {}
        if paths is None:
            dismissed = {row[0] for row in connection.execute("SELECT id FROM files WHERE excluded")}
            chosen = [
                file
                for file in newest
                if file.status in (Status.FAILED, Status.REFUSED) and file.id not in dismissed
            ]
        else:
            there = {designation for file in newest for designation in _designations(file)}
            wanted = {path: path if path in there else from_cell(path) for path in map(as_text, paths)}
            designations = {*wanted.values()}
            chosen = [file for file in newest if _designations(file) & designations]
        for file in chosen:
            connection.execute(
                """UPDATE files SET not_before = NULL, attempts = 0, crashes = 0, detected_at = ?,
                    pixel_size_nm = coalesce(?, pixel_size_nm) WHERE id = ?""",
                (utc_text(datetime.now(UTC)), pixel_size_nm, file.id),
            )
            if file.status is not Status.PENDING:
                counters.add(connection, "retries", "requested")
                reopen(connection, file)
    matched = {designation for file in chosen for designation in _designations(file)}
    return chosen, [path for path in paths or () if wanted[as_text(path)] not in matched]


def stated_sizes(ledger: Ledger, paths: Collection[str] | None) -> list[tuple[str, float]]:
    """Those of the paths, as they were given, whose file states its pixel size, with that size in nm."""
    if not paths:
        return []
    sizes: dict[str, tuple[int, float]] = {}
    # many paths and many files: neither the writer nor others wait for it
    with ledger.reader() as reader, reader.snapshot():
        largest = dict(
            reader.connection.execute(
                """SELECT file_id, max(stated_pixel_size_nm) FROM micrographs
                    WHERE stated_pixel_size_nm IS NOT NULL GROUP BY file_id"""
            ).fetchall()
        )
        cursor = reader.connection.cursor()
        cursor.row_factory = file_from
        for file in cursor.execute(f"SELECT {FILE_COLUMNS} FROM files f WHERE {IS_NEWEST} ORDER BY f.id"):
            if file.id in largest:
                for designation in _designations(file):
                    sizes.setdefault(designation, (file.id, largest[file.id]))
    found = []
    for path in paths:
        words = {as_text(path), from_cell(as_text(path))}
        if first := min((sizes[word] for word in words if word in sizes), default=None):
            found.append((path, first[1]))
    return found


def _designations(file: File) -> set[str]:
    return {as_text(file.path), as_text(str(file.location)), file.name} | (
        {file.sequence} if file.sequence else set()
    )


def reopen(connection: sqlite3.Connection, file: File) -> None:
    """Remove the rows of a file and make it pending."""
    connection.execute("DELETE FROM micrographs WHERE file_id = ?", (file.id,))
    connection.execute(
        "UPDATE files SET status = 'pending', claimed = 0, sha256 = NULL, frames_total = NULL WHERE id = ?",
        (file.id,),
    )
    make_stale(connection, file.sample, particles=file.status is Status.DONE or file.frames_recorded > 0)
    settle_copies_of(connection, file.id)
    connection.execute("UPDATE files SET exposure = NULL, area = NULL WHERE id = ?", (file.id,))
    if file.status is Status.DONE and file.sha256:
        release_duplicates(connection, file.sample, file.sha256)
