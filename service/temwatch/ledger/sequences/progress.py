"""Tracking of sequences in the ledger: which frames are to be linked, and recording of linked frames.

Each writing function is one transaction. A batch is recorded only if nothing was recorded of the sequence
since the batch was read, so that every frame is linked once, even after a crash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from temwatch.ledger.reader import Reader
from temwatch.ledger.rows import moment
from temwatch.ledger.writer import Ledger

STATE_EVERY_FRAMES = 512
"""A late frame sets tracking back by at most this many frames, and those after it."""

_IN_SEQUENCE = "f.sample = ? AND coalesce(f.sequence, f.name) = ?"
_COUNTS = "m.status = 'done' AND NOT m.excluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a sequence is tracked.

    `through` is the last frame linked, None before the first; `last_id` the last row of `followed`, 0 without
    any; `ended` whether that row ended the sequence; `first` the lowest pending frame.
    """

    id: int
    sample: str
    name: str
    generation: int
    last_id: int
    through: int | None
    ended: bool
    first: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingFrame:
    """A frame to link; without a micrograph it was removed and is a gap."""

    id: int
    frame: int
    micrograph_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceEvent:
    """One line of events.csv."""

    frame: int
    event: str
    track: int
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedFrame:
    """One line of frames.csv with its lines of tracks.csv and events.csv.

    `tracks` is the number of identities so far. `points` holds particle number, track, x and y in nm without
    drift, and equivalent diameter in nm.
    """

    frame: int
    micrograph_id: int
    elapsed_s: float | None
    particles: int
    mean_equivalent_diameter_nm: float | None
    sd_equivalent_diameter_nm: float | None
    mean_area_nm2: float | None
    particle_fraction: float | None
    drift_x_nm: float
    drift_y_nm: float
    tracks: int
    points: tuple[tuple[int, int, float, float, float], ...]
    events: tuple[SequenceEvent, ...]


def sequences(reader: Reader, *, sample: str | None = None, unfinished: bool = False) -> list[Progress]:
    """Every sequence, or those of a sample; `unfinished` leaves out those without anything to do."""
    condition, values = ("true", ()) if sample is None else ("s.sample = ?", (sample,))
    rows = reader.connection.execute(
        f"""SELECT id, sample, sequence, generation, coalesce(last_id, 0), through,
                last_id IS NOT NULL AND (SELECT frame IS NULL FROM followed WHERE id = last_id), first
            FROM (SELECT s.id, s.sample, s.sequence, s.generation,
                (SELECT max(id) FROM followed WHERE sequence_id = s.id) AS last_id,
                (SELECT max(frame) FROM followed WHERE sequence_id = s.id) AS through,
                (SELECT min(frame) FROM unfollowed WHERE sequence_id = s.id) AS first
                FROM sequences s WHERE {condition}) ORDER BY id""",
        values,
    )
    found = [
        Progress(
            id=row[0],
            sample=row[1],
            name=row[2],
            generation=row[3],
            last_id=row[4],
            through=row[5],
            ended=bool(row[6]),
            first=row[7],
        )
        for row in rows
    ]
    return [one for one in found if one.first is not None or not one.ended] if unfinished else found


def ready_frames(
    reader: Reader, sequence: Progress, *, limit: int, now: datetime, gap_s: float
) -> list[PendingFrame]:
    """The next frames to link, in order, up to a gap that may still be filled.

    A gap is skipped when all of its files have failed, were refused or are excluded, or when the frame
    behind it has waited for `gap_s`; not while a file of the gap waits for its first analysis. A sequence may
    begin with frame 0 or 1.
    """
    after = -1 if sequence.through is None else sequence.through
    rows = reader.connection.execute(
        "SELECT id, frame FROM unfollowed WHERE sequence_id = ? AND frame > ? ORDER BY frame LIMIT ?",
        (sequence.id, after, limit),
    ).fetchall()
    if not rows:
        return []
    there = _micrographs(reader, sequence, rows[0][1], rows[-1][1])
    found = []
    for number, frame in rows:
        micrograph_id, analysed_at = there.get(frame, (None, None))
        if analysed_at is not None:
            begins = sequence.through is None and after == -1 and frame == 1
            waited_s = (now - analysed_at).total_seconds()
            given_up = not 0 <= waited_s < gap_s  # a clock that was set back must not delay it
            if (
                frame > after + 1
                and not begins
                and not _is_gap(reader, sequence, after, frame, given_up=given_up)
            ):
                break
            after = frame
        found.append(PendingFrame(id=number, frame=frame, micrograph_id=micrograph_id))
    return found


def _micrographs(
    reader: Reader, sequence: Progress, first: int, last: int
) -> dict[int, tuple[int, datetime | None]]:
    """The valid micrograph of every frame from `first` to `last`, and when it was analysed."""
    rows = reader.connection.execute(
        f"""SELECT frame, max(id), analysed_at FROM (
                SELECT m.frame, m.id, m.analysed_at FROM files f JOIN micrographs m ON m.file_id = f.id
                WHERE {_IN_SEQUENCE} AND f.frame BETWEEN ? AND ? AND m.frame = f.frame AND {_COUNTS}
                UNION ALL
                SELECT m.frame, m.id, m.analysed_at FROM files f JOIN micrographs m ON m.file_id = f.id
                WHERE {_IN_SEQUENCE} AND f.frame IS NULL AND m.frame BETWEEN ? AND ? AND {_COUNTS}
            ) GROUP BY frame""",
        (sequence.sample, sequence.name, first, last) * 2,
    )
    return {frame: (number, moment(analysed_at)) for frame, number, analysed_at in rows}


def _is_gap(reader: Reader, sequence: Progress, after: int, before: int, *, given_up: bool) -> bool:
    """Whether to skip the frames between two."""
    waits, hopeless = reader.connection.execute(
        f"""SELECT coalesce(sum(f.status = 'pending' AND f.attempts < 2), 0),
                count(DISTINCT CASE WHEN f.status IN ('failed', 'refused', 'duplicate') THEN f.frame END)
            FROM files f WHERE {_IN_SEQUENCE} AND f.frame > ? AND f.frame < ?""",
        (sequence.sample, sequence.name, after, before),
    ).fetchone()
    if not waits and not given_up:
        (excluded,) = reader.connection.execute(
            f"""SELECT count(DISTINCT m.frame) FROM files f JOIN micrographs m ON m.file_id = f.id
                WHERE {_IN_SEQUENCE} AND m.status = 'done' AND m.excluded AND m.frame > ? AND m.frame < ?""",
            (sequence.sample, sequence.name, after, before),
        ).fetchone()
        hopeless += excluded
    return not waits and (given_up or hopeless == before - after - 1)


def is_complete(reader: Reader, sequence: Progress) -> bool:
    """Whether all of a stack is linked; of a folder nobody knows."""
    row = reader.connection.execute(
        f"""SELECT f.frames_total FROM files f WHERE {_IN_SEQUENCE} AND f.frame IS NULL AND f.status = 'done'
            ORDER BY f.id DESC LIMIT 1""",
        (sequence.sample, sequence.name),
    ).fetchone()
    return (
        sequence.first is None and row is not None and row[0] is not None and sequence.through == row[0] - 1
    )


def idle_since(reader: Reader, sequence: Progress) -> tuple[datetime, float] | None:
    """When the last linked frame was analysed, and seconds between frames; None while frames are pending."""
    if sequence.first is not None or sequence.last_id == 0:
        return None
    moments = reader.connection.execute(
        """SELECT m.analysed_at FROM followed w JOIN micrographs m ON m.id = w.micrograph_id
            WHERE w.sequence_id = ? ORDER BY w.id DESC LIMIT 20""",
        (sequence.id,),
    ).fetchall()
    if not moments:
        return None
    times = [datetime.fromisoformat(text) for (text,) in moments]
    in_time = sorted(times)  # frames that came out of order are not far apart for that
    steps_s = sorted((later - earlier).total_seconds() for earlier, later in pairwise(in_time))
    usual_s = steps_s[: max(1, len(steps_s) - 2)]  # a clock that was ahead for a while jumped twice
    return times[0], sum(usual_s) / max(1, len(usual_s))


def has_pending_files(reader: Reader, sequence: Progress) -> bool:
    """Whether files of a sequence are pending."""
    found = (
        reader.connection.execute(  # + makes SQLite look at the few pending files, not at all of the sequence
            """SELECT 1 FROM files f WHERE f.status = 'pending' AND +f.sample = ?
            AND coalesce(+f.sequence, f.name) = ? LIMIT 1""",
            (sequence.sample, sequence.name),
        ).fetchone()
    )
    return found is not None


def tracker_state(reader: Reader, sequence: Progress) -> bytes | None:
    """The tracker after the last linked frame, None before the first."""
    row = reader.connection.execute(
        "SELECT state FROM tracker_states WHERE sequence_id = ? ORDER BY frame DESC LIMIT 1", (sequence.id,)
    ).fetchone()
    return None if row is None else bytes(row[0])


def record(
    ledger: Ledger, sequence: Progress, frames: Sequence[LinkedFrame], state: bytes, done: Collection[int]
) -> bool:
    """Record a batch of linked frames; False if other frames were recorded meanwhile.

    Parameters
    ----------
    ledger : Ledger
        The writer.
    sequence : Progress
        The sequence as it was when the batch was read.
    frames : sequence of LinkedFrame
        In their order.
    state : bytes
        The tracker after the last frame.
    done : collection of int
        Ids of `PendingFrame` that are finished.
    """
    with ledger.transaction() as connection:
        if _last_id(connection, sequence.id) != sequence.last_id:
            return False
        number = 0
        for frame in frames:
            number = _insert(connection, sequence.id, frame)
        if frames:
            connection.execute(
                """DELETE FROM tracker_states WHERE followed_id = ? AND sequence_id = ?
                    AND frame / ? = ? / ?""",
                (sequence.last_id, sequence.id, STATE_EVERY_FRAMES, frames[-1].frame, STATE_EVERY_FRAMES),
            )
            connection.execute(
                "INSERT INTO tracker_states (followed_id, sequence_id, frame, state) VALUES (?, ?, ?, ?)",
                (number, sequence.id, frames[-1].frame, state),
            )
        connection.executemany("DELETE FROM unfollowed WHERE id = ?", [(each,) for each in done])
    return True


def end(ledger: Ledger, sequence: Progress, events: Sequence[SequenceEvent]) -> bool:
    """End the sequence, for now, and record the events that only its end shows."""
    with ledger.transaction() as connection:
        if _last_id(connection, sequence.id) != sequence.last_id or sequence.ended:
            return False
        added = connection.execute("INSERT INTO followed (sequence_id) VALUES (?)", (sequence.id,))
        assert added.lastrowid is not None
        _insert_events(connection, added.lastrowid, events)
    return True


def rewind(ledger: Ledger, sequence: Progress, frame: int) -> int:
    """Remove linked frames from `frame` on, to be linked again; the number of frames."""
    with ledger.transaction() as connection:
        kept = connection.execute(
            "SELECT max(followed_id) FROM tracker_states WHERE sequence_id = ? AND frame < ?",
            (sequence.id, frame),
        ).fetchone()[0]
        after = (sequence.id, kept or 0)
        again = connection.execute(
            """INSERT OR IGNORE INTO unfollowed (sequence_id, frame)
                SELECT sequence_id, frame FROM followed
                WHERE sequence_id = ? AND id > ? AND frame IS NOT NULL""",
            after,
        ).rowcount
        connection.execute("DELETE FROM followed WHERE sequence_id = ? AND id > ?", after)
        connection.execute("UPDATE sequences SET generation = generation + 1 WHERE id = ?", (sequence.id,))
    return again


def _last_id(connection: sqlite3.Connection, sequence_id: int) -> int:
    """Number of the last row, 0 without any, -1 where the sequence is gone: its files were moved."""
    row = connection.execute(
        """SELECT coalesce((SELECT max(id) FROM followed WHERE sequence_id = s.id), 0)
            FROM sequences s WHERE s.id = ?""",
        (sequence_id,),
    ).fetchone()
    return -1 if row is None else int(row[0])


def _insert(connection: sqlite3.Connection, sequence_id: int, frame: LinkedFrame) -> int:
    added = connection.execute(
        """INSERT INTO followed (sequence_id, frame, micrograph_id, elapsed_s, particles,
            mean_equivalent_diameter_nm, sd_equivalent_diameter_nm, mean_area_nm2, particle_fraction,
            drift_x_nm, drift_y_nm, tracks) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            sequence_id,
            frame.frame,
            frame.micrograph_id,
            frame.elapsed_s,
            frame.particles,
            frame.mean_equivalent_diameter_nm,
            frame.sd_equivalent_diameter_nm,
            frame.mean_area_nm2,
            frame.particle_fraction,
            frame.drift_x_nm,
            frame.drift_y_nm,
            frame.tracks,
        ),
    )
    assert added.lastrowid is not None
    connection.executemany(
        "INSERT INTO track_points VALUES (?, ?, ?, ?, ?, ?)",
        [(added.lastrowid, *point) for point in frame.points],
    )
    _insert_events(connection, added.lastrowid, frame.events)
    return added.lastrowid


def _insert_events(connection: sqlite3.Connection, followed_id: int, events: Sequence[SequenceEvent]) -> None:
    connection.executemany(
        "INSERT INTO track_events VALUES (?, ?, ?, ?, ?, ?)",
        [
            (followed_id, number, event.frame, event.event, event.track, ";".join(map(str, event.others)))
            for number, event in enumerate(events, 1)
        ],
    )
