"""What a holder's log says of the frames of a sequence, in the ledger: frames.csv is a view of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from temwatch.ledger.reader import Reader, number_table
from temwatch.ledger.requests import ask_to_publish
from temwatch.ledger.rows import moment
from temwatch.ledger.sequences.progress import Progress
from temwatch.ledger.sequences.tables import QUANTITIES
from temwatch.ledger.writer import Ledger
from temwatch.names import from_stored


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedLog:
    """Logs that were joined with a sequence: their signature, up to which row, whether they reach its end."""

    signature: str
    last_id: int
    is_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameTimes:
    """Frames of a sequence, their times in s since the first (NaN: unknown), and when the first was taken."""

    frames: NDArray[np.int64]
    elapsed_s: NDArray[np.float64]
    start: datetime | None


def first_file(reader: Reader, sequence: Progress) -> tuple[Path, bool, bool] | None:
    """Path of the first file of a sequence, whether it is a stack, and whether it lies in Gatan's tree."""
    row = reader.connection.execute(
        """SELECT root, path, frames_total IS NOT NULL, position IS NOT NULL FROM files
            WHERE sample = ? AND coalesce(sequence, name) = ? AND status = 'done'
            ORDER BY frame, id LIMIT 1""",
        (sequence.sample, sequence.name),
    ).fetchone()
    return (
        None if row is None else (Path(from_stored(row[0]), from_stored(row[1])), bool(row[2]), bool(row[3]))
    )


def frame_times(reader: Reader, sequence: Progress) -> FrameTimes:
    """The linked frames of a sequence and their times."""
    cursor = reader.connection.execute(
        "SELECT frame, elapsed_s FROM followed WHERE sequence_id = ? AND frame IS NOT NULL ORDER BY frame",
        (sequence.id,),
    )
    table = number_table(cursor, 2)
    start = reader.value(
        """SELECT m.acquired_at FROM followed w JOIN micrographs m ON m.id = w.micrograph_id
            WHERE w.sequence_id = ? AND w.frame IS NOT NULL ORDER BY w.frame LIMIT 1""",
        sequence.id,
    )
    return FrameTimes(frames=table[:, 0].astype(np.int64), elapsed_s=table[:, 1], start=moment(start))


def joined(reader: Reader, sequence: Progress) -> JoinedLog | None:
    """What was joined with a sequence before."""
    row = reader.connection.execute(
        "SELECT signature, last_id, is_complete FROM holder_logs WHERE sequence_id = ?", (sequence.id,)
    ).fetchone()
    return None if row is None else JoinedLog(signature=row[0], last_id=row[1], is_complete=bool(row[2]))


def record(
    ledger: Ledger,
    sequence: Progress,
    log: JoinedLog,
    frames: Sequence[int],
    values: Mapping[str, NDArray[np.float64]],
) -> bool:
    """Put these values of a sequence in place of earlier ones; gives whether any has changed.

    `values` has a number for each of `frames`, NaN where the log says nothing. A sequence that is gone
    meanwhile is left alone.
    """
    empty = np.full(len(frames), np.nan)
    columns = [values.get(name, empty) for name in QUANTITIES]
    rows = [
        (sequence.id, int(frame), *(None if np.isnan(one) else float(one) for one in each))
        for frame, *each in zip(frames, *columns, strict=True)
        if not all(np.isnan(one) for one in each)
    ]
    with ledger.transaction() as connection:
        if not connection.execute("SELECT 1 FROM sequences WHERE id = ?", (sequence.id,)).fetchone():
            return False
        before = connection.execute(
            "SELECT * FROM holder_values WHERE sequence_id = ? ORDER BY frame", (sequence.id,)
        ).fetchall()
        connection.execute(
            """INSERT OR REPLACE INTO holder_logs (sequence_id, signature, last_id, is_complete)
                VALUES (?, ?, ?, ?)""",
            (sequence.id, log.signature, log.last_id, log.is_complete),
        )
        if before == rows:
            return False
        connection.execute("DELETE FROM holder_values WHERE sequence_id = ?", (sequence.id,))
        marks = ", ".join("?" * (2 + len(QUANTITIES)))
        connection.executemany(f"INSERT INTO holder_values VALUES ({marks})", rows)
        connection.execute("UPDATE sequences SET generation = generation + 1 WHERE id = ?", (sequence.id,))
        ask_to_publish(connection, [sequence.sample], datetime.now(UTC))
    return True
