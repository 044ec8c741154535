"""Consequences of changed rows: superseded revisions, released duplicates, tables to be written again.

Every function works inside the transaction of its caller.
"""

from __future__ import annotations

import sqlite3

IS_NEWEST = """NOT EXISTS (
    SELECT 1 FROM files n WHERE n.root = f.root AND n.path = f.path AND n.revision > f.revision)"""
"""Condition on `files f`: there is no later revision of the file."""


def make_stale(connection: sqlite3.Connection, sample: str, *, particles: bool) -> None:
    """Note that published rows of a sample have changed, so that its tables are written again."""
    connection.execute(
        """UPDATE samples SET generation = generation + 1, particles_generation = particles_generation + ?
            WHERE sample = ?""",
        (int(particles), sample),
    )


def supersede_earlier(connection: sqlite3.Connection, file_id: int) -> None:
    """Mark earlier revisions of a file as superseded: their particles leave the tables."""
    earlier = connection.execute(
        """SELECT e.id, e.sample, e.sha256, e.status = 'done', e.sample <> f.sample,
            EXISTS (SELECT 1 FROM micrographs m WHERE m.file_id = e.id AND m.status = 'done')
        FROM files f JOIN files e ON e.root = f.root AND e.path = f.path AND e.revision < f.revision
        WHERE f.id = ? AND e.status <> 'superseded'""",
        (file_id,),
    ).fetchall()
    for earlier_id, sample, sha256, was_done, elsewhere, has_particles in earlier:
        set_superseded(connection, earlier_id)
        if elsewhere:  # no later revision overwrites a folder in another sample
            connection.execute("UPDATE files SET changes = changes + 1 WHERE id = ?", (earlier_id,))
        make_stale(connection, sample, particles=bool(has_particles))
        if was_done:
            release_duplicates(connection, sample, sha256)


def release_duplicates(connection: sqlite3.Connection, sample: str, sha256: str) -> None:
    """Make duplicates pending whose original is gone, so that their content is counted again."""
    if _is_done(connection, sample, sha256):
        return
    orphans = connection.execute(
        f"""SELECT f.id, {IS_NEWEST} FROM files f
            WHERE f.sample = ? AND f.sha256 = ? AND f.status = 'duplicate'""",
        (sample, sha256),
    ).fetchall()
    for file_id, is_newest in orphans:
        if is_newest:
            connection.execute("DELETE FROM micrographs WHERE file_id = ?", (file_id,))
            connection.execute(
                "UPDATE files SET status = 'pending', claimed = 0, sha256 = NULL WHERE id = ?", (file_id,)
            )
        else:  # a later revision is pending: it must be analysed even if its content is the same
            set_superseded(connection, file_id)
    if orphans:
        make_stale(connection, sample, particles=False)


def set_superseded(connection: sqlite3.Connection, file_id: int) -> None:
    """Mark a file and its rows as superseded; the rows stay."""
    connection.execute("UPDATE files SET status = 'superseded', claimed = 0 WHERE id = ?", (file_id,))
    connection.execute("UPDATE micrographs SET status = 'superseded' WHERE file_id = ?", (file_id,))


def _is_done(connection: sqlite3.Connection, sample: str, sha256: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM files WHERE sample = ? AND sha256 = ? AND status = 'done' LIMIT 1", (sample, sha256)
    ).fetchone()
    return found is not None
