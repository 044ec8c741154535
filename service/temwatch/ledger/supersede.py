"""Consequences of changed rows: superseded revisions, released duplicates, tables to be written again.

Every function works inside the transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from temwatch.names import as_text
from temwatch.notes import Note, join_notes, kind_of, split_notes

_OWN_FORMATS = (".dm3", ".dm4")

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
        settle_copies_of(connection, earlier_id)
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


def settle_copies_of(connection: sqlite3.Connection, file_id: int) -> None:
    """What `settle_copies` does for the copies of a file whose row was replaced or removed, if it has any."""
    sample, exposure = connection.execute(
        "SELECT sample, exposure FROM files WHERE id = ?", (file_id,)
    ).fetchone()
    if exposure is not None:
        settle_copies(connection, sample, exposure)


def settle_copies(
    connection: sqlite3.Connection, sample: str, exposure: int, new_file: int | None = None
) -> None:
    """Of the analysed copies of one exposure, the best is done and the others are its duplicates.

    The best is the same whichever came first: the microscope's own format before an export, one that states
    its pixel size before one that does not, the larger one, and last the one of the shorter path.
    """
    copies = connection.execute(
        """SELECT m.id, f.id, f.path, m.sha256, m.status, m.stated_pixel_size_nm IS NULL, m.width_px,
                m.notes_of_record
            FROM files f JOIN micrographs m ON m.file_id = f.id
            WHERE f.sample = ? AND f.exposure = ? AND m.status IN ('done', 'duplicate')
                AND m.method IS NOT NULL""",
        (sample, exposure),
    ).fetchall()
    if not copies:
        contents = "SELECT DISTINCT sha256 FROM files WHERE sample = ? AND exposure = ?"
        for (sha256,) in connection.execute(contents, (sample, exposure)).fetchall():
            if sha256 is not None:
                release_duplicates(connection, sample, sha256)
        return
    best = min(copies, key=_rank)
    for number, file_id, _, _, before, _, _, notes in copies:
        kept = [note for note in split_notes(notes) if kind_of(note) is not Note.SAME_FIELD_AS]
        status, reason = "done", None
        if number != best[0]:
            status, reason = "duplicate", f"copy of the exposure in {as_text(best[2])}"
            kept.append(Note.SAME_FIELD_AS.about(best[3]))
        after = join_notes(kept)
        if (status, after) == (before, notes):
            continue
        connection.execute(
            "UPDATE micrographs SET status = ?, reason = ?, notes_of_record = ? WHERE id = ?",
            (status, reason, after, number),
        )
        connection.execute(
            "UPDATE files SET status = ?, changes = changes + 1 WHERE id = ?", (status, file_id)
        )
        if file_id != new_file:  # it may be published already
            make_stale(connection, sample, particles=status != before)


def _rank(copy: tuple[Any, ...]) -> tuple[Any, ...]:
    """The lower, the better."""
    _, _, stored, _, _, has_no_size, width_px, _ = copy
    path = as_text(stored)
    return not path.lower().endswith(_OWN_FORMATS), has_no_size, -width_px, len(path), path


def add_note(connection: sqlite3.Connection, micrograph_id: int, note: str) -> None:
    """Add to what the ledger itself has found of a micrograph."""
    (text,) = connection.execute(
        "SELECT notes_of_record FROM micrographs WHERE id = ?", (micrograph_id,)
    ).fetchone()
    connection.execute(
        "UPDATE micrographs SET notes_of_record = ? WHERE id = ?",
        (join_notes([*split_notes(text), note]), micrograph_id),
    )
