"""Files that were moved: their rows, exclusions and history go along to the new path and sample.

A move is one transaction, see `move`. Output folders come behind, see `relocations`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from temwatch.domain import Kin, Status
from temwatch.ledger import exclusions, queue, sample_changes
from temwatch.ledger.changes import Author, rule_author
from temwatch.ledger.rows import FILE_COLUMNS, File, file_from
from temwatch.ledger.sequences import moving
from temwatch.ledger.supersede import IS_NEWEST, make_stale, supersede_earlier
from temwatch.ledger.writer import Ledger
from temwatch.names import from_stored, name_key, to_stored

SOURCE = queue.MOVED
"""Source of a file that may have been moved."""

_COARSE_NS = 10_000_000
_MOST_SUSPECTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerPlace:
    """A file that may be the same as one that has arrived, at its former path.

    `inode` is None where the contents are equal. `mounted` says that it lay on another file system than its
    root.
    """

    file_id: int
    root: str
    path: str
    inode: int | None
    mounted: bool


def suspects(ledger: Ledger, file: File, sha256: str | None = None) -> list[FormerPlace]:
    """Files that this one may have been before it was moved, the likeliest first.

    By inode, size and time, or by content where that is given. Equal content alone tells a picture without
    particles from no other, nor one frame of a sequence from another. None where the file was at its path
    before: of its hard links another one was deleted.
    """
    if sha256 is None:
        values: tuple[int | str, ...] = (file.id,)
        is_same = "{0}.inode = a.inode AND {0}.size_bytes = a.size_bytes AND {0}.mtime_ns = a.mtime_ns"
        condition = f"a.inode <> 0 AND {is_same.format('f')} AND a.mtime_ns % {_COARSE_NS} <> 0"
    else:
        values = (file.id, sha256, sha256)
        is_same = "{0}.sha256 = ?"
        condition = """a.sequence IS NULL AND f.sequence IS NULL AND f.sha256 = ? AND EXISTS (
            SELECT 1 FROM micrographs m WHERE m.file_id = f.id AND m.particles + m.excluded_particles > 0)"""
    with ledger.reader() as reader:
        rows = reader.connection.execute(
            f"""SELECT f.id, f.root, f.path, f.inode, f.mounted FROM files a JOIN files f
                ON f.id <> a.id AND NOT (f.root = a.root AND f.path = a.path)
                WHERE a.id = ? AND {condition} AND NOT f.claimed AND f.status <> 'superseded' AND {IS_NEWEST}
                AND NOT EXISTS (SELECT 1 FROM files p WHERE p.root = a.root AND p.path = a.path
                    AND p.revision = a.revision - 1 AND {is_same.format("p")})
                ORDER BY f.status <> 'done', f.id LIMIT {_MOST_SUSPECTS}""",
            values,
        ).fetchall()
    found = [
        FormerPlace(
            file_id=number,
            root=from_stored(root),
            path=from_stored(path),
            inode=inode if sha256 is None else None,
            mounted=bool(mounted),
        )
        for number, root, path, inode, mounted in rows
    ]
    own = PurePosixPath(file.path).name
    return sorted(found, key=lambda one: PurePosixPath(one.path).name != own)


def move(
    ledger: Ledger,
    arrived_id: int,
    former_id: int,
    *,
    entered: str | None = None,
    left: str | None = None,
    kin: Kin | None = None,
) -> File | None:
    """Give the rows of a file that was moved its new place; all of it, or nothing.

    Parameters
    ----------
    ledger : Ledger
        The writer.
    arrived_id : int
        The file at its new place, which is not analysed yet; its row goes.
    former_id : int
        The file at its former place, where it is no more; its row stays. It is analysed again only where it
        becomes a frame, or another one, or was a copy of a file that it leaves.
    entered, left : str, optional
        The rule of the configuration that excludes its new place, or its former one.
    kin : Kin, optional
        Its kin among the micrographs of another sample that it comes to.

    Returns
    -------
    File or None
        The file as it was; None where one of them has changed meanwhile.
    """
    with ledger.transaction() as connection:
        new, old = _file(connection, arrived_id), _file(connection, former_id)
        if (
            new is None
            or old is None
            or old.claimed
            or new.frames_recorded
            or new.status is not Status.PENDING
        ):
            return None
        is_reopened = _is_reopened(connection, old, new)
        if is_reopened:
            queue.reopen(connection, old)
        _take_decisions(connection, new.id, old.id)
        ids = _rename(connection, old, new, is_reopened=is_reopened)
        if new.sample != old.sample:
            sample_changes.change(connection, old, new.sample, ids)
            sample_changes.relate_again(connection, old.id, kin)
        moving.enter(connection, ids)
        moving.forget_empty(connection, old.sample, old.sequence or old.name)
        if old.status is not Status.PENDING and not is_reopened:
            supersede_earlier(connection, old.id)
        _apply_rules(connection, old.id, entered, left)
        for sample in {old.sample, new.sample}:
            make_stale(connection, sample, particles=True)
        return old


def _file(connection: sqlite3.Connection, file_id: int) -> File | None:
    cursor = connection.cursor()
    cursor.row_factory = file_from
    file: File | None = cursor.execute(
        f"SELECT {FILE_COLUMNS} FROM files f WHERE f.id = ? AND {IS_NEWEST}", (file_id,)
    ).fetchone()
    return file


def _is_reopened(connection: sqlite3.Connection, old: File, new: File) -> bool:
    """Whether a file is to be analysed once more, because its new place makes something else of it."""
    if old.status is Status.PENDING and not old.frames_recorded:
        return False
    if old.status is Status.FAILED or (old.status is Status.REFUSED and new.pixel_size_nm is not None):
        return True
    is_stack = old.frames_total is not None
    if not is_stack and (old.sequence is None, old.position) != (new.sequence is None, new.position):
        return True
    if not is_stack and old.position is None and old.frame != new.frame:
        return True
    if new.sample == old.sample:
        return False
    is_analysed, is_there = connection.execute(
        """SELECT EXISTS (SELECT 1 FROM micrographs WHERE file_id = ? AND method IS NOT NULL),
            EXISTS (SELECT 1 FROM files WHERE sample = ? AND sha256 = ? AND status = 'done')""",
        (old.id, new.sample, old.sha256),
    ).fetchone()
    return bool(is_there) or (old.status is Status.DUPLICATE and not is_analysed)


def _take_decisions(connection: sqlite3.Connection, arrived_id: int, former_id: int) -> None:
    """What was decided about the new row holds for the old one; what a rule decided is decided anew."""
    by_rule = connection.execute(
        """SELECT c.id FROM exclusions e JOIN changes c ON c.id = e.change_id
            WHERE e.file_id = ? AND e.ended_by IS NULL AND c.source = 'configuration'""",
        (arrived_id,),
    ).fetchall()
    connection.executemany("DELETE FROM exclusions WHERE change_id = ?", by_rule)
    connection.executemany("DELETE FROM changes WHERE id = ?", by_rule)
    exclusions.hand_over(connection, arrived_id, former_id)
    connection.execute("UPDATE changes SET file_id = ? WHERE file_id = ?", (former_id, arrived_id))


def _rename(connection: sqlite3.Connection, old: File, new: File, *, is_reopened: bool) -> list[int]:
    """Give all revisions of a file the place of another row, which goes; gives their ids."""
    earlier, inode, mounted = connection.execute(
        """SELECT coalesce((SELECT max(revision) FROM files e
                WHERE e.root = f.root AND e.path = f.path AND e.id <> f.id), 0), inode, mounted
            FROM files f WHERE id = ?""",
        (new.id,),
    ).fetchone()
    connection.execute("DELETE FROM files WHERE id = ?", (new.id,))
    place = (to_stored(old.root), to_stored(old.path))
    rows = connection.execute("SELECT id FROM files WHERE root = ? AND path = ?", place).fetchall()
    ids = [row[0] for row in rows]
    keeps_name = (
        not earlier
        and new.sample == old.sample
        and PurePosixPath(old.path).stem == PurePosixPath(new.path).stem
    )
    name = old.name if keeps_name else new.name
    sequence = new.sequence if is_reopened or old.frames_total is None else None
    if (old.sample, old.sequence, old.name) != (new.sample, sequence, name):
        moving.leave(connection, ids)
        connection.execute(
            """INSERT OR REPLACE INTO relocations (file_id, sample, sequence, name, name_key, is_kept)
                VALUES (?, ?, ?, ?, ?, ?)""",
            (old.id, old.sample, old.sequence or old.name, old.name, name_key(old.name), not is_reopened),
        )
    connection.execute(
        """UPDATE files SET root = ?, path = ?, revision = revision + ?, sample = ?, sequence = ?, name = ?,
            name_key = ?, gone = 0 WHERE root = ? AND path = ?""",
        (
            to_stored(new.root),
            to_stored(new.path),
            earlier,
            new.sample,
            sequence,
            name,
            name_key(name),
            *place,
        ),
    )
    connection.execute(
        """UPDATE files SET size_bytes = ?, mtime_ns = ?, ctime_ns = ?, inode = ?, mounted = ?,
            changes = changes + 1, pixel_size_nm = coalesce(?, pixel_size_nm) WHERE id = ?""",
        (new.size_bytes, new.mtime_ns, new.ctime_ns, inode, mounted, new.pixel_size_nm, old.id),
    )
    connection.execute(
        """UPDATE files SET not_before = NULL, attempts = 0, crashes = 0
            WHERE id = ? AND status = 'pending'""",
        (old.id,),
    )
    connection.execute(
        """UPDATE files SET frame = ?, elapsed_s = NULL, position = ?
            WHERE id = ? AND status = 'pending' AND frames_total IS NULL""",
        (new.frame, new.position, old.id),
    )
    return ids


def _apply_rules(connection: sqlite3.Connection, file_id: int, entered: str | None, left: str | None) -> None:
    """A move into a folder that a rule excludes excludes, and a move out of it includes."""
    now = datetime.now(UTC)
    if entered is not None and left is None:
        exclusions.exclude_file(connection, file_id, None, rule_author(entered, now))
    if left is None or entered is not None:
        return
    by_rule = connection.execute(
        """SELECT 1 FROM exclusions e JOIN changes c ON c.id = e.change_id WHERE e.file_id = ?
            AND e.frame IS NULL AND e.outline IS NULL AND e.ended_by IS NULL
            AND c.source = 'configuration'""",
        (file_id,),
    ).fetchone()
    if by_rule is not None:
        author = Author(
            by="configuration", at=now, source="configuration", reason=f"no longer matches {left}"
        )
        exclusions.include_file(connection, file_id, None, author)
