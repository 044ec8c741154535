"""What follows where a file comes to another sample, within the transaction of the caller."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from temwatch.domain import Kin, Status
from temwatch.ledger import calibrations, sample_settings
from temwatch.ledger.exposures import relate
from temwatch.ledger.rows import File
from temwatch.ledger.supersede import release_duplicates, settle_copies


def change(connection: sqlite3.Connection, file: File, sample: str, ids: Sequence[int]) -> None:
    """Bring the rows of a file, all revisions of which have these ids, into another sample.

    `file` is as it was. With the last file of a sample its history goes along, and `samples.renamed_to` names
    the other sample.
    """
    _carry_correction(connection, file, sample)
    _carry_settings(connection, file, sample)
    used = sample_settings.decisive(connection, file.sample)
    chosen = json.dumps(ids)
    connection.execute(
        """UPDATE coarse_maps SET sample = ? WHERE micrograph_id IN (SELECT m.id FROM micrographs m
            WHERE m.file_id IN (SELECT value FROM json_each(?)))""",
        (sample, chosen),
    )
    for table in ("micrographs", "calibrations", "changes"):
        connection.execute(
            f"UPDATE {table} SET sample = ? WHERE file_id IN (SELECT value FROM json_each(?))",
            (sample, chosen),
        )
    exposure, sha256 = connection.execute(
        "SELECT exposure, sha256 FROM files WHERE id = ?", (file.id,)
    ).fetchone()
    if exposure is not None:
        for one in (file.sample, sample):
            settle_copies(connection, one, exposure)
    if file.status is Status.DONE and sha256 is not None:
        release_duplicates(connection, file.sample, sha256)
    if not connection.execute("SELECT 1 FROM files WHERE sample = ? LIMIT 1", (file.sample,)).fetchone():
        _rename(connection, file.sample, sample)
    for (row,) in connection.execute("SELECT id FROM micrographs WHERE file_id = ?", (file.id,)).fetchall():
        calibrations.expect(connection, row)
        sample_settings.expect(connection, row, used, sample)


def _carry_correction(connection: sqlite3.Connection, file: File, sample: str) -> None:
    """A correction of the sample that a file leaves goes on, unless the other sample has one.

    The first micrograph of a sample brings it for all that follow, another one for itself alone.
    """
    connection.execute(
        """INSERT INTO calibrations (change_id, sample, file_id, factor, pixel_size_nm, stated_nm)
            SELECT c.change_id, ?1, CASE WHEN EXISTS (SELECT 1 FROM micrographs m WHERE m.sample = ?1)
                THEN ?2 END, c.factor, c.pixel_size_nm, c.stated_nm FROM calibrations c
            WHERE c.sample = ?3 AND c.file_id IS NULL AND c.ended_by IS NULL AND NOT EXISTS (
                SELECT 1 FROM calibrations o WHERE o.ended_by IS NULL
                AND (o.file_id = ?2 OR o.sample = ?1 AND o.file_id IS NULL))
            ORDER BY c.id DESC LIMIT 1""",
        (sample, file.id, file.sample),
    )


def _carry_settings(connection: sqlite3.Connection, file: File, sample: str) -> None:
    """The first micrograph of a sample brings the settings of the sample that it leaves."""
    connection.execute(
        """INSERT INTO settings (change_id, sample, key, value)
            SELECT s.change_id, ?1, s.key, s.value FROM settings s WHERE s.sample = ?2 AND s.ended_by IS NULL
                AND NOT EXISTS (SELECT 1 FROM settings o WHERE o.sample = ?1)
                AND NOT EXISTS (SELECT 1 FROM micrographs m WHERE m.sample = ?1) ORDER BY s.id""",
        (sample, file.sample),
    )


def _rename(connection: sqlite3.Connection, before: str, after: str) -> None:
    """No file of a sample is left: what was carried to the one that has its files is decided there now."""
    connection.execute(
        """DELETE FROM calibrations WHERE sample = ?2 AND file_id IS NULL AND change_id IN (
            SELECT o.change_id FROM calibrations o WHERE o.sample = ?1 AND o.file_id IS NULL)""",
        (after, before),
    )
    connection.execute(
        """DELETE FROM settings WHERE sample = ?2 AND EXISTS (SELECT 1 FROM settings o
            WHERE o.sample = ?1 AND o.change_id = settings.change_id AND o.key = settings.key)""",
        (after, before),
    )
    for table in ("changes", "edited_tables"):
        connection.execute(f"UPDATE {table} SET sample = ? WHERE sample = ?", (after, before))
    connection.execute("UPDATE samples SET renamed_to = ? WHERE sample = ?", (after, before))


def relate_again(connection: sqlite3.Connection, file_id: int, kin: Kin | None) -> None:
    """Join a file to its kin in the sample that it has come to, unless its kin came along."""
    row = connection.execute(
        """SELECT m.id FROM files f JOIN micrographs m ON m.file_id = f.id
            WHERE f.id = ? AND f.status = 'done' AND f.exposure IS NULL AND f.area IS NULL AND NOT EXISTS (
                SELECT 1 FROM files o WHERE o.sample = f.sample AND (o.exposure = f.id OR o.area = f.id))""",
        (file_id,),
    ).fetchone()
    if kin is not None and row is not None:
        relate(connection, file_id, row[0], kin)
