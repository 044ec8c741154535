"""Which files the watched folder holds, as the ledger knows it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from temwatch.ledger.requests import ask_to_publish
from temwatch.ledger.supersede import make_stale
from temwatch.ledger.writer import Ledger
from temwatch.names import from_stored, to_stored


def known(ledger: Ledger, root: str) -> dict[str, tuple[int, int, int | None]]:
    """Size in bytes, time and ctime in ns of the latest revision of every file below `root`, by path."""
    with ledger.reading() as connection:
        rows = connection.execute(
            """SELECT path, size_bytes, mtime_ns, ctime_ns, max(revision) FROM files
                WHERE root = ? GROUP BY path""",
            (to_stored(root),),
        ).fetchall()
    return {from_stored(path): (size, mtime_ns, ctime_ns) for path, size, mtime_ns, ctime_ns, _ in rows}


def note_gone(ledger: Ledger, root: str, paths: Collection[str]) -> set[str]:
    """Note which known files below `root` are gone: these, and no others; the tables say so.

    Nothing else follows: somebody may have made room, or a folder cannot be reached for a while. Gives the
    paths that no file has any more, because it was moved.
    """
    missing = frozenset(paths)
    with ledger.transaction() as connection:
        stored = to_stored(root)
        noted = {
            from_stored(path)
            for (path,) in connection.execute(
                "SELECT DISTINCT path FROM files WHERE root = ? AND gone", (stored,)
            )
        }
        changed = [(1, path) for path in missing - noted] + [(0, path) for path in noted - missing]
        samples, unknown = set[str](), set[str]()
        for gone, path in changed:
            place = (stored, to_stored(path))
            connection.execute("UPDATE files SET gone = ? WHERE root = ? AND path = ?", (gone, *place))
            rows = connection.execute("SELECT DISTINCT sample FROM files WHERE root = ? AND path = ?", place)
            found = {sample for (sample,) in rows}
            samples |= found
            if not found:
                unknown.add(path)
        for sample in samples:
            make_stale(connection, sample, particles=False)
        if samples:
            ask_to_publish(connection, sorted(samples), datetime.now(UTC))
    return unknown
