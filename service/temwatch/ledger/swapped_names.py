"""Files that took each other's names: what people decided about one goes to where its content lies now.

A file that was moved to a free name takes its rows along (`moves`). Where its name is taken by another one at
the same time, both are analysed again, and here their decisions follow.
"""

from __future__ import annotations

import sqlite3

_COARSE_NS = 10_000_000
_IS_SAME = f"""d.inode = w.inode AND d.size_bytes = w.size_bytes AND d.mtime_ns = w.mtime_ns
    AND d.inode <> 0 AND d.mtime_ns % {_COARSE_NS} <> 0 AND NOT (d.root = w.root AND d.path = w.path)"""
_WAITS = "w.status = 'pending'"
_LOST_ITS_NAME = """d.status <> 'pending' AND EXISTS (SELECT 1 FROM files n WHERE n.root = d.root
    AND n.path = d.path AND n.revision > d.revision AND n.inode IS NOT d.inode)"""


def pass_decisions_on(connection: sqlite3.Connection, added_id: int, displaced_id: int | None) -> None:
    """Pass on decisions after a file was added at a path where `displaced_id` was before.

    What was there may wait at another path, and what has come may have lost its former path before.
    """
    for condition in ("d.id = :displaced", "w.id = :added"):
        found = connection.execute(
            f"""SELECT d.id, w.id, w.sample FROM files d JOIN files w ON {_IS_SAME}
                WHERE {condition} AND {_WAITS} AND {_LOST_ITS_NAME} ORDER BY d.id DESC LIMIT 1""",
            {"displaced": displaced_id, "added": added_id},
        ).fetchone()
        if found is not None:
            _pass_on(connection, *found)


def _pass_on(connection: sqlite3.Connection, before_id: int, now_id: int, sample: str) -> None:
    """Exclusions, corrections and their history; what a rule of the configuration decided is decided anew."""
    chosen = "SELECT id FROM changes WHERE file_id = ?1 AND source <> 'configuration'"
    for table in ("exclusions", "dismissals"):
        connection.execute(
            f"UPDATE {table} SET file_id = ?2 WHERE file_id = ?1 AND change_id IN ({chosen})",
            (before_id, now_id),
        )
    for table in ("calibrations", "changes"):
        connection.execute(
            f"""UPDATE {table} SET file_id = ?2, sample = ?3 WHERE file_id = ?1
                AND {"id" if table == "changes" else "change_id"} IN ({chosen})""",
            (before_id, now_id, sample),
        )
    connection.execute(
        """UPDATE files SET excluded = 1 WHERE id = ?1 AND EXISTS (SELECT 1 FROM exclusions
            WHERE file_id = ?1 AND ended_by IS NULL AND frame IS NULL AND outline IS NULL)""",
        (now_id,),
    )
