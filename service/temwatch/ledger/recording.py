"""Records the outcome of a file: results, refusal, failure, duplicate; one transaction each."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from temwatch.domain import Kin, Reason, Status, utc_text
from temwatch.ledger import analyses, calibrations, counters, exclusions, sample_settings
from temwatch.ledger.exposures import relate
from temwatch.ledger.packed_analysis import PackedAnalysis, pack
from temwatch.ledger.rows import FILE_COLUMNS, File, Recorded, Result, file_from
from temwatch.ledger.supersede import make_stale, supersede_earlier
from temwatch.ledger.writer import Ledger
from temwatch.names import as_text, to_stored


def record(
    ledger: Ledger,
    file_id: int,
    results: Sequence[Result | PackedAnalysis],
    *,
    finished: bool = True,
    frames_total: int | None = None,
    kin: Kin | None = None,
) -> Recorded:
    """Add the results of a file, whole or not at all.

    Recording is idempotent: a file that is finished and a frame that is there change nothing. A stack
    comes in batches, `finished=False` before the last; after a crash it resumes from
    `File.frames_recorded`. Whether the content is a duplicate is decided here, once more; `kin` says what
    else the micrograph of a file belongs to. Where a sample has other settings by now than the results were
    found with, the rows wait to be resolved again.
    """
    packed = [result if isinstance(result, PackedAnalysis) else pack(result) for result in results]
    with ledger.transaction() as connection:
        file = _pending(connection, file_id)
        if isinstance(file, Recorded):
            return file
        if packed:
            last = packed[-1].micrograph
            sha256 = str(last["sha256"])
            if original := _duplicate_of(connection, file, sha256):
                return _duplicate(
                    connection,
                    file,
                    sha256,
                    original,
                    analysed_at=last["analysed_at"],
                    seconds=last["seconds"],
                )
        if frames_total is not None and file.sequence is not None:
            # a stack in a folder of frames is a sequence of its own
            connection.execute("UPDATE files SET sequence = NULL, frame = NULL WHERE id = ?", (file_id,))
        recorded = connection.execute("SELECT frame FROM micrographs WHERE file_id = ?", (file_id,))
        there = {row[0] for row in recorded}
        ids = tuple(
            _insert(connection, file, item) for item in packed if item.micrograph["frame"] not in there
        )
        status, reason = Status.DONE if finished else Status.PENDING, ""
        for micrograph_id in ids:
            exclusions.apply(connection, micrograph_id, is_published=False)
            calibrations.expect(connection, micrograph_id)
            if packed[0].settings is not None:
                sample_settings.expect(connection, micrograph_id, packed[0].settings, file.sample)
        if kin is not None and finished and len(ids) == 1:
            relate(connection, file.id, ids[0], kin)
            found = connection.execute("SELECT status, reason FROM micrographs WHERE id = ?", ids).fetchone()
            status, reason = Status(found[0]), found[1] or ""
        _settle(connection, file, status, sha256 if packed else None, frames_total)
        return Recorded(status=status, micrograph_ids=ids, reason=reason)


def _insert(connection: sqlite3.Connection, file: File, packed: PackedAnalysis) -> int:
    row = packed.micrograph
    if file.position is not None and row["frame"] is not None:
        row = {**row, "frame": file.frame, "elapsed_s": file.elapsed_s}  # it was numbered again meanwhile
    connection.execute(
        "INSERT OR IGNORE INTO methods (digest, json) VALUES (?, ?)", (row["method"], packed.method_json)
    )
    micrograph_id = _insert_micrograph(connection, file, Status.DONE, row)
    analyses.insert(connection, micrograph_id, packed)
    counters.add(connection, "particles_measured", amount=row["particles"])
    counters.add(connection, "frames_processed", amount=int(row["frame"] is not None))
    for reason in Reason:
        counters.add(connection, "particles_rejected", reason, row[f"rejected_{reason}"])
    return micrograph_id


def _insert_micrograph(
    connection: sqlite3.Connection, file: File, status: Status, values: Mapping[str, Any]
) -> int:
    """One line of micrographs.csv."""
    row = {"file_id": file.id, "sample": file.sample, "status": str(status), **values}
    inserted = connection.execute(
        f"INSERT INTO micrographs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )
    assert inserted.lastrowid is not None
    return inserted.lastrowid


def reject_file(
    ledger: Ledger,
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
    with ledger.transaction() as connection:
        file = _pending(connection, file_id)
        if isinstance(file, Recorded):
            return file
        micrograph_id = _insert_micrograph(connection, file, status, row)
        counters.add(connection, "micrographs_failed", code)
        _settle(connection, file, status, sha256, None)
        return Recorded(status=status, micrograph_ids=(micrograph_id,))


def recognise(
    ledger: Ledger, file_id: int, sha256: str, at: datetime, *, seconds: float | None = None
) -> Recorded | None:
    """Whether a file needs an analysis, by its content; None where it does.

    A duplicate gets its row. A revision with the content of the one before it is removed: only the file's
    time had changed, and the earlier row gets its size and time.
    """
    with ledger.transaction() as connection:
        file = _pending(connection, file_id)
        if isinstance(file, Recorded):
            return file
        previous = connection.execute(
            """SELECT id, sha256, status FROM files
                WHERE root = ? AND path = ? AND revision < ? AND sample = ? ORDER BY revision DESC LIMIT 1""",
            (*_place(file), file.revision, file.sample),
        ).fetchone()
        if previous and previous[1] == sha256 and previous[2] in ("done", "refused", "duplicate"):
            exclusions.hand_over(connection, file_id, previous[0])
            connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
            connection.execute(
                "UPDATE files SET size_bytes = ?, mtime_ns = ?, ctime_ns = ? WHERE id = ?",
                (file.size_bytes, file.mtime_ns, file.ctime_ns, previous[0]),
            )
            return Recorded(status=Status(previous[2]))
        if original := _duplicate_of(connection, file, sha256):
            return _duplicate(connection, file, sha256, original, analysed_at=utc_text(at), seconds=seconds)
        connection.execute("UPDATE files SET sha256 = ? WHERE id = ?", (sha256, file_id))
        return None


def _duplicate(
    connection: sqlite3.Connection,
    file: File,
    sha256: str,
    original: str,
    *,
    analysed_at: str,
    seconds: float | None,
) -> Recorded:
    """The row of a file whose content its sample has; frames that were recorded before leave."""
    if connection.execute("DELETE FROM micrographs WHERE file_id = ?", (file.id,)).rowcount:
        make_stale(connection, file.sample, particles=True)
    reason = f"same content as {original}"
    row = {
        "reason": reason,
        "sha256": sha256,
        "analysed_at": analysed_at,
        "seconds": seconds,
    }
    micrograph_id = _insert_micrograph(connection, file, Status.DUPLICATE, row)
    _settle(connection, file, Status.DUPLICATE, sha256, None)
    return Recorded(
        status=Status.DUPLICATE, micrograph_ids=(micrograph_id,), duplicate_of=original, reason=reason
    )


def _duplicate_of(connection: sqlite3.Connection, file: File, sha256: str) -> str | None:
    """Path of another file of the sample that is done and has this content.

    Frames of one sequence are never duplicates of each other: a blank or repeated frame is a point in time.
    """
    found = connection.execute(
        """SELECT f.path FROM files f WHERE f.sample = ? AND f.sha256 = ? AND f.status = 'done' AND f.id <> ?
            AND NOT (f.root = ? AND f.path = ?)
            AND NOT (f.sequence IS NOT NULL AND f.sequence IS ? AND f.frame IS NOT ?)
            ORDER BY f.id LIMIT 1""",
        (file.sample, sha256, file.id, *_place(file), file.sequence, file.frame),
    ).fetchone()
    return None if found is None else as_text(found[0])


def _pending(connection: sqlite3.Connection, file_id: int) -> File | Recorded:
    """The file, or its outcome if it is finished: recording it a second time changes nothing."""
    cursor = connection.cursor()
    cursor.row_factory = file_from
    file: File | None = cursor.execute(
        f"SELECT {FILE_COLUMNS} FROM files f WHERE f.id = ?", (file_id,)
    ).fetchone()
    if file is None:
        return Recorded(status=Status.SUPERSEDED)
    return file if file.status is Status.PENDING else Recorded(status=file.status)


def _settle(
    connection: sqlite3.Connection, file: File, status: Status, sha256: str | None, frames_total: int | None
) -> None:
    connection.execute(
        """UPDATE files SET status = ?, claimed = CASE WHEN ? = 'pending' THEN claimed ELSE 0 END,
            sha256 = coalesce(?, sha256), frames_total = coalesce(?, frames_total), changes = changes + 1
            WHERE id = ?""",
        (str(status), str(status), sha256, frames_total, file.id),
    )
    if status is not Status.PENDING:
        counters.add(connection, "micrographs_processed", status)
    supersede_earlier(connection, file.id)


def _place(file: File) -> tuple[str | bytes, str | bytes]:
    """Root and path as they are stored."""
    return to_stored(file.root), to_stored(file.path)
