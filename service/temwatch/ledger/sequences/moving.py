"""Frames whose files were moved leave one sequence and enter another, in the transaction of the caller."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

_FRAMES = """FROM micrographs m JOIN files f ON f.id = m.file_id JOIN sequences s
    ON s.sample = m.sample AND s.sequence = coalesce(f.sequence, f.name)
    WHERE f.id IN (SELECT value FROM json_each(?)) AND m.frame IS NOT NULL AND m.status = 'done'"""


def leave(connection: sqlite3.Connection, file_ids: Sequence[int]) -> None:
    """Before files get another place: their frames are to be linked again without them."""
    connection.execute(
        f"INSERT OR REPLACE INTO unfollowed (sequence_id, frame) SELECT s.id, m.frame {_FRAMES}",
        (json.dumps(file_ids),),
    )


def enter(connection: sqlite3.Connection, file_ids: Sequence[int]) -> None:
    """After it: their frames are to be linked in the sequence that they have now."""
    connection.execute(
        """INSERT OR IGNORE INTO sequences (sample, sequence)
            SELECT DISTINCT m.sample, coalesce(f.sequence, f.name)
            FROM micrographs m JOIN files f ON f.id = m.file_id
            WHERE f.id IN (SELECT value FROM json_each(?)) AND m.frame IS NOT NULL AND m.status = 'done'""",
        (json.dumps(file_ids),),
    )
    leave(connection, file_ids)


def forget_empty(connection: sqlite3.Connection, sample: str, sequence: str) -> None:
    """Remove a sequence that has no file any more, with its tracks; the tables of the sample follow."""
    row = connection.execute(
        """SELECT id, generation FROM sequences s WHERE sample = ? AND sequence = ? AND NOT EXISTS (
            SELECT 1 FROM files f WHERE f.sample = s.sample AND coalesce(f.sequence, f.name) = s.sequence)""",
        (sample, sequence),
    ).fetchone()
    if row is None:
        return
    number, generation = row
    connection.execute("DELETE FROM followed WHERE sequence_id = ?", (number,))
    connection.execute("DELETE FROM unfollowed WHERE sequence_id = ?", (number,))
    connection.execute("DELETE FROM sequences WHERE id = ?", (number,))
    # the sum of all generations tells the tables of a change
    connection.execute(
        """UPDATE sequences SET generation = generation + ? WHERE id = (
            SELECT max(id) FROM sequences WHERE sample = ?)""",
        (generation + 1, sample),
    )
