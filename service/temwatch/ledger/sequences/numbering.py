"""Numbers for the frames of Gatan's tree, whose file names count from 0 in every second.

The frame rate is not a whole number, so the number of frames in a second is known only when the second is
over. Then all of its files are numbered; until then they wait. If a frame arrives later still, the frames
behind it are numbered again: the numbers are always those of the files present, in their order.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from temwatch.ledger.supersede import make_stale
from temwatch.ledger.writer import Ledger

PLACES = 1_000_000
"""A file's position is its second times this, plus its number in the second."""

MAX_FRAME = 2**53 - 1
"""Highest number of a frame, and position: exact in JSON and in a browser. A longer one is no counter."""

_SHORTEST_WAIT_S = 2.0  # for late frames of the first second, which has no other to be compared with


@dataclass(frozen=True, slots=True)
class _Second:
    """Files of one second: `width` is the highest number plus one, `base` the frame of number 0 if known."""

    second: int
    files: int
    width: int
    base: int | None
    first_seen: datetime
    last_seen: datetime


def number(ledger: Ledger, *, now: datetime, gap_s: float, interval_s: float | None = None) -> None:
    """Number the files of seconds that are over, and set their time since the first frame.

    Parameters
    ----------
    ledger : Ledger
        The writer.
    now : datetime
        UTC.
    gap_s : float
        Longest time to wait for missing frames.
    interval_s : float, optional
        Time between frames; else the frames of a second are taken to be spread evenly over it.
    """
    with ledger.reading() as connection:
        waiting = connection.execute(
            "SELECT DISTINCT sample, sequence FROM files WHERE position IS NOT NULL AND frame IS NULL"
        ).fetchall()
    for sample, sequence in waiting:
        with ledger.transaction() as connection:
            _number(connection, sample, sequence, now, gap_s, interval_s)


def _number(
    connection: sqlite3.Connection,
    sample: str,
    sequence: str,
    now: datetime,
    gap_s: float,
    interval_s: float | None,
) -> None:
    condition = "sample = ? AND sequence = ? AND position IS NOT NULL"
    begin, lowest = (
        connection.execute(
            f"SELECT min(position) / ? FROM files WHERE {part}", (PLACES, sample, sequence)
        ).fetchone()[0]
        for part in (condition, f"{condition} AND frame IS NULL")
    )
    start = connection.execute(
        f"""SELECT coalesce(max(position) / ?, ?) FROM files
            WHERE {condition} AND frame IS NOT NULL AND position < ?""",
        (PLACES, begin, sample, sequence, lowest * PLACES),
    ).fetchone()[0]
    seconds = _seconds(connection, condition, (sample, sequence), start)
    base, previous, changed = seconds[0].base or 0, None, 0
    if start == begin:
        base = 0
    for index, this in enumerate(seconds):
        if previous is not None:
            base += previous.width * (this.second - previous.second)
        if this.base is None and not _is_over(seconds, index, now, gap_s):
            break
        changed += _assign(connection, condition, (sample, sequence), this, base, begin, interval_s)
        previous = this
    if changed:
        make_stale(connection, sample, particles=True)


def _seconds(
    connection: sqlite3.Connection, condition: str, values: tuple[str, str], start: int
) -> list[_Second]:
    rows = connection.execute(
        f"""SELECT position / {PLACES}, count(DISTINCT position), max(position % {PLACES}) + 1,
                min(frame - position % {PLACES}), min(detected_at), max(detected_at)
            FROM files WHERE {condition} AND position >= ? GROUP BY 1 ORDER BY 1""",
        (*values, start * PLACES),
    )
    return [
        _Second(second, files, width, base, datetime.fromisoformat(seen), datetime.fromisoformat(last))
        for second, files, width, base, seen, last in rows
    ]


def _is_over(seconds: list[_Second], index: int, now: datetime, gap_s: float) -> bool:
    """Whether a second is complete, or is not waited for any longer."""
    this, later = seconds[index], seconds[index + 1 :]
    before = seconds[index - 1] if index else None
    if not later:
        return _waited(this.last_seen, now, gap_s)
    if _waited(min(each.first_seen for each in later), now, gap_s):
        return True
    if before is None:
        return this.files == this.width and _waited(later[0].first_seen, now, min(gap_s, _SHORTEST_WAIT_S))
    follows = this.second == before.second + 1
    return follows and this.files == this.width >= before.width


def _waited(since: datetime, now: datetime, seconds: float) -> bool:
    return not 0 <= (now - since).total_seconds() < seconds  # a clock that was set back must not delay it


def _assign(
    connection: sqlite3.Connection,
    condition: str,
    values: tuple[str, str],
    this: _Second,
    base: int,
    begin: int,
    interval_s: float | None,
) -> int:
    """Number the files of a second; the number of recorded frames whose number or time changed."""
    step_s = interval_s or 1 / this.width
    inside = (*values, this.second * PLACES, (this.second + 1) * PLACES)
    where = f"{condition} AND position >= ? AND position < ?"
    connection.execute(
        f"""UPDATE files SET frame = ? + position % {PLACES}, elapsed_s = ? + (position % {PLACES}) * ?
            WHERE {where}""",
        (base, this.second - begin, step_s, *inside),
    )
    return connection.execute(
        f"""UPDATE micrographs SET frame = f.frame, elapsed_s = f.elapsed_s
            FROM (SELECT id, frame, elapsed_s FROM files WHERE {where}) f
            WHERE micrographs.file_id = f.id AND micrographs.frame IS NOT NULL
                AND (micrographs.frame <> f.frame OR micrographs.elapsed_s IS NOT f.elapsed_s)""",
        inside,
    ).rowcount
