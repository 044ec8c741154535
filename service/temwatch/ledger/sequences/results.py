"""Tracks, events and curves of sequences, as the tables, films and pages read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.ledger.reader import Reader, number_table
from temwatch.ledger.sequences.progress import Progress, SequenceEvent, sequences


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """One linked frame: a line of frames.csv in short."""

    id: int
    frame: int
    micrograph_id: int
    elapsed_s: float | None
    particles: int


def generation(reader: Reader, sample: str) -> int:
    """A number that changes when rows of the sample's sequences that were published have changed."""
    return int(reader.value("SELECT coalesce(sum(generation), 0) FROM sequences WHERE sample = ?", sample))


def last_id(reader: Reader, sample: str) -> int:
    """Number of the last row of frames.csv, 0 before the first."""
    query = """SELECT max((SELECT max(id) FROM followed WHERE sequence_id = s.id)) FROM sequences s
        WHERE s.sample = ?"""
    return int(reader.value(query, sample) or 0)


_TABLES = {
    "frames": """SELECT s.sequence, w.frame, w.elapsed_s, w.particles, w.mean_equivalent_diameter_nm,
        w.sd_equivalent_diameter_nm, w.mean_area_nm2, w.particle_fraction, w.drift_x_nm, w.drift_y_nm,
        h.temperature_C, h.pressure_Pa, h.bias_V
        FROM followed w JOIN sequences s ON s.id = w.sequence_id
        LEFT JOIN holder_values h ON h.sequence_id = w.sequence_id AND h.frame = w.frame
        WHERE {condition} AND w.frame IS NOT NULL ORDER BY w.id""",
    "tracks": """SELECT s.sequence, p.track, w.frame, p.number, p.x_nm, p.y_nm, p.equivalent_diameter_nm
        FROM followed w JOIN sequences s ON s.id = w.sequence_id JOIN track_points p ON p.followed_id = w.id
        WHERE {condition} ORDER BY w.id, p.number""",
    "events": """SELECT s.sequence, e.frame, e.event, e.track, e.others
        FROM followed w JOIN sequences s ON s.id = w.sequence_id JOIN track_events e ON e.followed_id = w.id
        WHERE {condition} ORDER BY w.id, e.number""",
    # the first pixel has its centre at 0
    "trackpy": """SELECT s.sequence, w.frame, p.track, p.x_nm / m.pixel_size_nm - 0.5,
        p.y_nm / m.pixel_size_nm - 0.5, p.number, p.equivalent_diameter_nm, m.pixel_size_nm, w.elapsed_s
        FROM followed w JOIN sequences s ON s.id = w.sequence_id JOIN track_points p ON p.followed_id = w.id
        JOIN micrographs m ON m.id = w.micrograph_id
        WHERE {condition} ORDER BY w.id, p.number""",
}


def rows(reader: Reader, table: str, sample: str, *, after_id: int = 0) -> Iterator[tuple[object, ...]]:
    """Rows of one of these tables, those after the row `after_id` of frames.csv."""
    ids = [one.id for one in sequences(reader, sample=sample)]
    # + lets SQLite go through the rows in their order rather than sort all of them
    condition = f"+w.sequence_id IN ({', '.join(map(str, ids))}) AND w.id > ?"
    yield from reader.connection.execute(_TABLES[table].format(condition=condition), (after_id,))


def frame_rows(reader: Reader, sequence: Progress) -> list[FrameRow]:
    """The linked frames of a sequence, in order."""
    found = reader.connection.execute(
        """SELECT id, frame, micrograph_id, elapsed_s, particles FROM followed
            WHERE sequence_id = ? AND frame IS NOT NULL ORDER BY id""",
        (sequence.id,),
    )
    return [
        FrameRow(id=row[0], frame=row[1], micrograph_id=row[2], elapsed_s=row[3], particles=row[4])
        for row in found
    ]


def span(reader: Reader, sequence: Progress, through_id: int) -> int:
    """Number of frames from the first of a sequence to that of a row of frames.csv, missing ones included.

    It takes as long for a long sequence as for a short one.
    """
    first = reader.value("SELECT min(frame) FROM followed WHERE sequence_id = ?", sequence.id)
    last = reader.value(
        """SELECT frame FROM followed WHERE sequence_id = ? AND id <= ? AND frame IS NOT NULL
            ORDER BY id DESC LIMIT 1""",
        sequence.id,
        through_id,
    )
    return 0 if last is None else last - first + 1


def tracks(reader: Reader, frame: FrameRow) -> dict[int, int]:
    """The track of every particle of a frame, by the particle's number."""
    return dict(
        reader.connection.execute(
            "SELECT number, track FROM track_points WHERE followed_id = ?", (frame.id,)
        ).fetchall()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A sequence at a glance.

    `tracks` counts identities so far, `events` each kind of event; `pending` frames are recorded and not
    linked yet; `gaps` are the first hundred, each as first and last missing frame.
    """

    frames: int
    pending: int
    tracks: int
    events: dict[str, int]
    gaps: list[tuple[int, int]]


def overview(reader: Reader, sequence: Progress) -> Overview:
    """Counts of a sequence, without reading its points."""
    frames, first, last = reader.connection.execute(
        "SELECT count(frame), min(frame), max(frame) FROM followed WHERE sequence_id = ?", (sequence.id,)
    ).fetchone()
    return Overview(
        frames=frames,
        pending=int(reader.value("SELECT count(*) FROM unfollowed WHERE sequence_id = ?", sequence.id)),
        tracks=int(
            reader.value(
                "SELECT tracks FROM followed WHERE sequence_id = ? AND frame = ?",
                sequence.id,
                sequence.through,
            )
            or 0
        ),
        events=dict(
            reader.connection.execute(
                f"SELECT event, count(*) {_EVENTS} GROUP BY event ORDER BY event", (sequence.id,)
            ).fetchall()
        ),
        gaps=[] if not frames or frames == last - first + 1 else gaps(reader, sequence),
    )


_EVENTS = "FROM followed w JOIN track_events e ON e.followed_id = w.id WHERE w.sequence_id = ?"


def gaps(reader: Reader, sequence: Progress, limit: int = 100) -> list[tuple[int, int]]:
    """The first gaps of a sequence, each as first and last missing frame."""
    return reader.connection.execute(
        """SELECT before + 1, frame - 1 FROM (
                SELECT frame, lag(frame) OVER (ORDER BY frame) AS before FROM followed
                WHERE sequence_id = ? AND frame IS NOT NULL)
            WHERE before IS NOT NULL AND frame > before + 1 ORDER BY frame LIMIT ?""",
        (sequence.id, limit),
    ).fetchall()


def curves(reader: Reader, sequence: Progress, columns: tuple[str, ...], most: int) -> list[tuple[Any, ...]]:
    """Columns of `followed` for at most `most` frames, spread evenly over the sequence, with the last one."""
    count = int(reader.value("SELECT count(frame) FROM followed WHERE sequence_id = ?", sequence.id))
    step = max(1, -(-count // most))
    return reader.connection.execute(
        f"""SELECT {", ".join(columns)} FROM followed WHERE sequence_id = ? AND frame IS NOT NULL
            AND (frame % ? = 0 OR frame = ?) ORDER BY id""",
        (sequence.id, step, sequence.through),
    ).fetchall()


def events_by_frame(reader: Reader, sequence: Progress) -> list[tuple[int, str, int]]:
    """Frame, kind and number of events, in the order of the frames."""
    return reader.connection.execute(
        f"SELECT e.frame, e.event, count(*) {_EVENTS} GROUP BY 1, 2 ORDER BY 1, 2", (sequence.id,)
    ).fetchall()


def diameters_nm(reader: Reader, frame: FrameRow) -> NDArray[np.float64]:
    """Equivalent diameters of the particles of a frame."""
    rows = reader.connection.execute(
        "SELECT equivalent_diameter_nm FROM track_points WHERE followed_id = ? ORDER BY number", (frame.id,)
    )
    return np.fromiter((row[0] for row in rows), np.float64)


def track_table(reader: Reader, sequence: Progress, most_points: int) -> tuple[NDArray[np.float64], int]:
    """Tracks of a sequence as rows of track, frame, elapsed s, diameter nm, x and y nm with the drift.

    Of a sequence with more than `most_points` sightings every second frame is taken, every fourth ...

    Returns
    -------
    rows : float64, (R, 6)
        In the order of the frames; elapsed time is NaN where it is not known.
    step : int
        One of so many frames was taken.
    """
    total, step = int(reader.value(_SIGHTINGS, sequence.id) or 0), 1
    while total > most_points * step:
        step *= 2
    cursor = reader.connection.execute(
        """SELECT p.track, w.frame, w.elapsed_s, p.equivalent_diameter_nm,
                p.x_nm + w.drift_x_nm, p.y_nm + w.drift_y_nm
            FROM followed w JOIN track_points p ON p.followed_id = w.id
            WHERE w.sequence_id = ? AND w.frame % ? = 0 ORDER BY w.id, p.number""",
        (sequence.id, step),
    )
    return number_table(cursor, 6), step


_SIGHTINGS = "SELECT sum(particles) FROM followed WHERE sequence_id = ?"


def events(reader: Reader, sequence: Progress) -> list[SequenceEvent]:
    """All events of a sequence, in the order of events.csv."""
    return [
        SequenceEvent(
            frame=frame, event=event, track=track, others=tuple(map(int, filter(None, others.split(";"))))
        )
        for frame, event, track, others in reader.connection.execute(
            f"SELECT e.frame, e.event, e.track, e.others {_EVENTS} ORDER BY w.id, e.number", (sequence.id,)
        )
    ]


def points(reader: Reader, followed_ids: list[int]) -> Iterator[tuple[int, int, float]]:
    """Row of frames.csv, track and equivalent diameter in nm, of every particle of some frames."""
    marks = ", ".join("?" * len(followed_ids))
    yield from reader.connection.execute(
        f"""SELECT followed_id, track, equivalent_diameter_nm FROM track_points
            WHERE followed_id IN ({marks}) ORDER BY followed_id, number""",
        followed_ids,
    )
