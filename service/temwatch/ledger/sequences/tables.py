"""The tables of sequences, added by the second version of the ledger.

A frame that is recorded, replaced or removed enters `unfollowed` by a trigger, within the same transaction.
Tracking takes frames out of there, in their order. `followed` and `unfollowed` are the stored names of linked
and of pending frames.
"""

from __future__ import annotations

import sqlite3

QUANTITIES = ("temperature_C", "pressure_Pa", "bias_V")
"""Columns of frames.csv that come from logs of holders."""

# stacks have the name of their output folder, which no other file of the sample has
_NAME = "coalesce(f.sequence, f.name)"

_STATEMENTS = (
    # `position` is a frame's place in Gatan's tree, from which its number follows: see numbering.py
    "ALTER TABLE files ADD COLUMN position INTEGER",
    "ALTER TABLE files ADD COLUMN elapsed_s REAL",
    "CREATE INDEX files_of_sequence ON files (sample, coalesce(sequence, name), frame)",
    "CREATE INDEX files_of_tree ON files (sample, sequence, position) WHERE position IS NOT NULL",
    "CREATE INDEX files_unnumbered ON files (sample, sequence, position)"
    " WHERE position IS NOT NULL AND frame IS NULL",
    # whatever changes rows of a sequence that were published counts `generation` up
    """CREATE TABLE sequences (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sample TEXT NOT NULL REFERENCES samples (sample),
        sequence TEXT NOT NULL,
        generation INTEGER NOT NULL DEFAULT 0,
        UNIQUE (sample, sequence)
    )""",
    # frames that are not linked yet in their present form; a frame that changes once more gets a new id
    """CREATE TABLE unfollowed (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sequence_id INTEGER NOT NULL REFERENCES sequences (id),
        frame INTEGER NOT NULL,
        UNIQUE (sequence_id, frame)
    )""",
    # one row for each line of frames.csv, in the order of `id`; the row without a frame ends a sequence;
    # `tracks` is the number of identities so far
    """CREATE TABLE followed (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sequence_id INTEGER NOT NULL REFERENCES sequences (id),
        frame INTEGER,
        micrograph_id INTEGER,
        elapsed_s REAL,
        particles INTEGER,
        mean_equivalent_diameter_nm REAL,
        sd_equivalent_diameter_nm REAL,
        mean_area_nm2 REAL,
        particle_fraction REAL,
        drift_x_nm REAL,
        drift_y_nm REAL,
        tracks INTEGER,
        UNIQUE (sequence_id, frame)
    )""",
    "CREATE INDEX followed_of_sequence ON followed (sequence_id, id)",
    # one row for each line of tracks.csv, in the order of followed_id and number
    """CREATE TABLE track_points (
        followed_id INTEGER NOT NULL REFERENCES followed (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        track INTEGER NOT NULL,
        x_nm REAL NOT NULL,
        y_nm REAL NOT NULL,
        equivalent_diameter_nm REAL NOT NULL,
        PRIMARY KEY (followed_id, number)
    ) WITHOUT ROWID""",
    # one row for each line of events.csv; an event may be found some frames after its own
    """CREATE TABLE track_events (
        followed_id INTEGER NOT NULL REFERENCES followed (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        frame INTEGER NOT NULL,
        event TEXT NOT NULL,
        track INTEGER NOT NULL,
        others TEXT NOT NULL,
        PRIMARY KEY (followed_id, number)
    ) WITHOUT ROWID""",
    # the tracker as it was after a frame: the last one, and some earlier ones for frames that come late
    """CREATE TABLE tracker_states (
        followed_id INTEGER PRIMARY KEY REFERENCES followed (id) ON DELETE CASCADE,
        sequence_id INTEGER NOT NULL,
        frame INTEGER NOT NULL,
        state BLOB NOT NULL
    )""",
    "CREATE INDEX tracker_states_of_sequence ON tracker_states (sequence_id, frame)",
)


def _changed(row: str) -> str:
    return f"""
        INSERT OR IGNORE INTO sequences (sample, sequence)
            SELECT {row}.sample, {_NAME} FROM files f WHERE f.id = {row}.file_id;
        INSERT OR REPLACE INTO unfollowed (sequence_id, frame)
            SELECT s.id, {row}.frame FROM files f JOIN sequences s
                ON s.sample = {row}.sample AND s.sequence = {_NAME} WHERE f.id = {row}.file_id;"""


_TRIGGERS = (
    f"""CREATE TRIGGER frame_recorded AFTER INSERT ON micrographs
        WHEN NEW.frame IS NOT NULL AND NEW.status = 'done' BEGIN {_changed("NEW")} END""",
    f"""CREATE TRIGGER frame_changed AFTER UPDATE OF status, frame, elapsed_s, analysed_at ON micrographs
        WHEN OLD.frame IS NOT NULL BEGIN {_changed("OLD")} {_changed("NEW")} END""",
    f"""CREATE TRIGGER frame_lost AFTER DELETE ON micrographs
        WHEN OLD.frame IS NOT NULL AND OLD.status = 'done' BEGIN {_changed("OLD")} END""",
)


def create(connection: sqlite3.Connection) -> None:
    """Add the tables, and make frames that were recorded before pending."""
    for statement in (*_STATEMENTS, *_TRIGGERS):
        connection.execute(statement)
    frames = (
        "FROM micrographs m JOIN files f ON f.id = m.file_id WHERE m.frame IS NOT NULL AND m.status = 'done'"
    )
    connection.execute(
        f"INSERT OR IGNORE INTO sequences (sample, sequence) SELECT m.sample, {_NAME} {frames} ORDER BY m.id"
    )
    connection.execute(
        f"""INSERT OR IGNORE INTO unfollowed (sequence_id, frame) SELECT
            (SELECT s.id FROM sequences s WHERE s.sample = m.sample AND s.sequence = {_NAME}), m.frame
            {frames} ORDER BY m.id"""
    )


def link_again_after_exclusions(connection: sqlite3.Connection) -> None:
    """A frame also changes when it or particles of it are excluded or included."""
    connection.execute("DROP TRIGGER frame_changed")
    connection.execute(
        f"""CREATE TRIGGER frame_changed AFTER UPDATE OF status, frame, elapsed_s, analysed_at, excluded,
            excluded_particles ON micrographs
            WHEN OLD.frame IS NOT NULL BEGIN {_changed("OLD")} {_changed("NEW")} END"""
    )


def add_holder_values(connection: sqlite3.Connection) -> None:
    """Migration: frames.csv gets further columns, so that it is written anew."""
    columns = ", ".join(f"{name} REAL" for name in QUANTITIES)
    connection.execute(
        f"""CREATE TABLE holder_values (
            sequence_id INTEGER NOT NULL REFERENCES sequences (id) ON DELETE CASCADE,
            frame INTEGER NOT NULL,
            {columns},
            PRIMARY KEY (sequence_id, frame)
        ) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE holder_logs (
            sequence_id INTEGER PRIMARY KEY REFERENCES sequences (id) ON DELETE CASCADE,
            signature TEXT NOT NULL,
            last_id INTEGER NOT NULL,
            is_complete INTEGER NOT NULL
        )"""
    )
    connection.execute("UPDATE sequences SET generation = generation + 1")
