"""Corrections of calibrations: the pixel size that a file states is wrong, and somebody knows the right one.

A correction is in force for a sample, or for one revision of a file, until it is undone; the one for the file
goes before that for the sample, and a later one before an earlier one. `micrographs.wanted_pixel_size_nm` is
the size that a row is to be measured with and is not yet: whoever resolves it again with that size, see
`analyses.replace`, calls `settle`, and so a kill leaves nothing half corrected. `micrographs.uncorrected`
holds what a corrected row said before as JSON, so that undoing restores it.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from typing import Any

from temwatch.choices import implausible_pixel_size, is_plausible_pixel_size
from temwatch.domain import PixelSizeSource
from temwatch.ledger import changes, stated_sizes
from temwatch.ledger.changes import Action, Author, Subject
from temwatch.ledger.correction import CORRECTION, Correction, correction_from

_STATEMENTS = (
    "ALTER TABLE micrographs ADD COLUMN wanted_pixel_size_nm REAL",
    "ALTER TABLE micrographs ADD COLUMN uncorrected TEXT",
    "ALTER TABLE micrographs ADD COLUMN recalibrated INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX micrographs_to_recalibrate ON micrographs (id) WHERE wanted_pixel_size_nm IS NOT NULL",
    # `stated_nm` is the size that files must state for `pixel_size_nm` to apply
    """CREATE TABLE calibrations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        change_id INTEGER NOT NULL REFERENCES changes (id),
        ended_by INTEGER REFERENCES changes (id),
        sample TEXT NOT NULL,
        file_id INTEGER REFERENCES files (id) ON DELETE CASCADE,
        factor REAL,
        pixel_size_nm REAL,
        stated_nm REAL
    )""",
    "CREATE INDEX calibrations_in_force ON calibrations (sample) WHERE ended_by IS NULL",
)

_COLUMNS = "pixel_size_nm, pixel_size_source, stated_pixel_size_nm, uncorrected, wanted_pixel_size_nm, status"


class CannotCalibrate(Exception):
    """Nothing was changed; the text says why."""


def create(connection: sqlite3.Connection) -> None:
    """Migration: nothing was corrected yet."""
    for statement in _STATEMENTS:
        connection.execute(statement)


def calibrate(
    connection: sqlite3.Connection,
    author: Author,
    *,
    sample: str,
    file_ids: Sequence[int] | None,
    factor: float | None = None,
    pixel_size_nm: float | None = None,
) -> tuple[list[int], int, list[str]]:
    """Correct the stated sizes of a sample, or of these files of it.

    Returns
    -------
    changes, waiting, without
        Ids of the changes, the number of rows that are to be resolved again, and the paths of files that
        state no size and therefore stay as they are.

    Raises
    ------
    CannotCalibrate
        No file states a size, stated sizes differ by more than 1 %, or a size would not be plausible.
    """
    stated = stated_sizes.of(connection, sample, file_ids)
    without = stated_sizes.missing(connection, sample, file_ids)
    if not stated:
        raise CannotCalibrate(
            f"{stated_sizes.named(without.values())} states a pixel size; use temwatch retry --pixel-size"
        )
    low, high = min(stated), max(stated)
    if pixel_size_nm is not None and high > low * Correction.TOLERANCE:
        raise CannotCalibrate(f"its micrographs state {low:g} to {high:g} nm per pixel; use a factor")
    for size in (low, high):
        corrected = size * factor if factor is not None else pixel_size_nm
        assert corrected is not None
        if not (math.isfinite(corrected) and is_plausible_pixel_size(corrected)):
            raise CannotCalibrate(f"the corrected pixel size {implausible_pixel_size(corrected)}")
    found = []
    for file_id in [None] if file_ids is None else [one for one in file_ids if one not in without]:
        stated_nm = None if pixel_size_nm is None else low
        found.append(_add(connection, author, sample, file_id, (factor, pixel_size_nm, stated_nm)))
    return found, _expect_all(connection, sample, file_ids), [*without.values()]


def undo(
    connection: sqlite3.Connection, author: Author, *, sample: str, file_ids: Sequence[int] | None
) -> tuple[list[int], int]:
    """End the last correction of a sample, or that of each of these files.

    Returns
    -------
    changes, waiting
        As for `calibrate`.

    Raises
    ------
    CannotCalibrate
        None is in force.
    """
    found = []
    for file_id in [None] if file_ids is None else file_ids:
        row = connection.execute(
            """SELECT id, change_id FROM calibrations WHERE sample = ? AND file_id IS ? AND ended_by IS NULL
                ORDER BY id DESC LIMIT 1""",
            (sample, file_id),
        ).fetchone()
        if row is not None:
            found.append(_end(connection, author, row[1], [(row[0], sample, file_id)]))
    if not found:
        raise CannotCalibrate("no correction of its calibration is in force")
    return found, _expect_all(connection, sample, file_ids)


def undo_change(connection: sqlite3.Connection, author: Author, change_id: int) -> tuple[int, int]:
    """End what a change has corrected, also where micrographs that were moved have carried it.

    Gives the change and the number of rows as `undo` does.

    Raises
    ------
    CannotCalibrate
        Nothing of it is in force.
    """
    rows = connection.execute(  # the first is the change's own, if that is still in force
        "SELECT id, sample, file_id FROM calibrations WHERE change_id = ? AND ended_by IS NULL ORDER BY id",
        (change_id,),
    ).fetchall()
    if not rows:
        raise CannotCalibrate("no correction of its calibration is in force")
    made = _end(connection, author, change_id, rows)
    return made, sum(_expect_all(connection, one, None if own is None else [own]) for _, one, own in rows)


def _end(
    connection: sqlite3.Connection,
    author: Author,
    change_id: int,
    rows: Sequence[tuple[int, str, int | None]],
) -> int:
    """End these corrections (id, sample, file) of a change, which is undone with the last of them."""
    number, sample, file_id = rows[0]
    before = _corrections(connection, sample, file_id)[0]
    after = _corrections(connection, sample, file_id, without=number)[:1]
    subject = _subject(connection, sample, file_id)
    made = changes.add(connection, author, Action.UNDO_CALIBRATE, subject, before, after[0] if after else {})
    connection.executemany(
        "UPDATE calibrations SET ended_by = ? WHERE id = ?", [(made, row[0]) for row in rows]
    )
    connection.execute(
        """UPDATE changes SET undone_by = ?1 WHERE id = ?2 AND NOT EXISTS (
            SELECT 1 FROM calibrations WHERE change_id = ?2 AND ended_by IS NULL)""",
        (made, change_id),
    )
    return made


def restore(connection: sqlite3.Connection, author: Author, undoing: int) -> tuple[int, int]:
    """Put in force again what the change `undoing` has ended, below what was decided later.

    Gives the change and the number of rows as `undo` does.

    Raises
    ------
    CannotCalibrate
        It has ended none.
    """
    rows = connection.execute(  # the first is the change's own, others were carried by micrographs
        "SELECT sample, file_id FROM calibrations WHERE ended_by = ? ORDER BY id", (undoing,)
    ).fetchall()
    if not rows:
        raise CannotCalibrate("no correction was ended by it")
    sample, file_id = rows[0]
    before = _corrections(connection, sample, file_id)[:1]
    subject = _subject(connection, sample, file_id)
    change = changes.add(connection, author, Action.CALIBRATE, subject, before[0] if before else {}, {})
    connection.execute(
        "UPDATE calibrations SET ended_by = NULL, change_id = ? WHERE ended_by = ?", (change, undoing)
    )
    after = _corrections(connection, sample, file_id)[0]
    connection.execute("UPDATE changes SET after = ? WHERE id = ?", (json.dumps(after), change))
    return change, sum(_expect_all(connection, one, None if own is None else [own]) for one, own in rows)


def _add(
    connection: sqlite3.Connection,
    author: Author,
    sample: str,
    file_id: int | None,
    sizes: tuple[float | None, ...],
) -> int:
    """Note a correction of a sample or a file by (factor, pixel_size_nm, stated_nm); gives the change."""
    before = _corrections(connection, sample, file_id)[:1]
    after = dict(zip(("factor", "pixel_size_nm"), sizes, strict=False))
    subject = _subject(connection, sample, file_id)
    change = changes.add(connection, author, Action.CALIBRATE, subject, before[0] if before else {}, after)
    connection.execute(
        """INSERT INTO calibrations (change_id, sample, file_id, factor, pixel_size_nm, stated_nm)
            VALUES (?, ?, ?, ?, ?, ?)""",
        (change, sample, file_id, *sizes),
    )
    return change


def expect(connection: sqlite3.Connection, micrograph_id: int) -> bool:
    """Note which size a row is to be measured with; whether that is another than it has."""
    size, source, stated, uncorrected, wanted, status = (
        connection.execute(
            f"SELECT {_COLUMNS} FROM micrographs WHERE id = ? AND method IS NOT NULL", (micrograph_id,)
        ).fetchone()
        or (None,) * 6
    )
    if size is None or status == "superseded":
        return False
    if uncorrected is None and source == PixelSizeSource.CORRECTED and stated is not None:
        # it was read with its correction, which may have been undone since
        before = {"pixel_size_nm": stated, "pixel_size_source": "file", "stated_pixel_size_nm": stated}
        uncorrected = json.dumps(before)
        connection.execute(
            "UPDATE micrographs SET uncorrected = ? WHERE id = ?", (uncorrected, micrograph_id)
        )
    plain = json.loads(uncorrected)["pixel_size_nm"] if uncorrected else size
    target = plain
    # an older version did not say who stated a size: then the file did
    if stated is not None or source is None:
        correction = _in_force(connection, micrograph_id)
        target = (correction and correction.size_nm(stated or plain)) or plain
    new = None if target == size else target
    if new != wanted:
        connection.execute(
            "UPDATE micrographs SET wanted_pixel_size_nm = ? WHERE id = ?", (new, micrograph_id)
        )
    return new is not None


def settle(connection: sqlite3.Connection, micrograph_id: int, before: Sequence[Any]) -> None:
    """After a row got another analysis: whether it is the one with the size that was wanted.

    `before` are size, source, stated size and time of the analysis as they were.
    """
    size, wanted, uncorrected = connection.execute(
        "SELECT pixel_size_nm, wanted_pixel_size_nm, uncorrected FROM micrographs WHERE id = ?",
        (micrograph_id,),
    ).fetchone()
    if wanted is None or size != wanted:
        return
    names = ("pixel_size_nm", "pixel_size_source", "stated_pixel_size_nm", "analysed_at")
    was = json.loads(uncorrected) if uncorrected else dict(zip(names, before, strict=True))
    row: dict[str, Any] = {"wanted_pixel_size_nm": None, "recalibrated": 1}
    if size == was["pixel_size_nm"]:
        row |= {name: value for name, value in was.items() if name != "pixel_size_nm"} | {"uncorrected": None}
    else:
        stated = was["stated_pixel_size_nm"]
        row |= {
            "pixel_size_source": str(PixelSizeSource.CORRECTED),
            "stated_pixel_size_nm": was["pixel_size_nm"] if stated is None else stated,
            "uncorrected": json.dumps(was),
        }
    connection.execute(
        f"UPDATE micrographs SET {', '.join(f'{name} = ?' for name in row)} WHERE id = ?",
        (*row.values(), micrograph_id),
    )


def _expect_all(connection: sqlite3.Connection, sample: str, file_ids: Sequence[int] | None) -> int:
    rows = connection.execute("SELECT id, file_id FROM micrographs WHERE sample = ?", (sample,)).fetchall()
    files = None if file_ids is None else {*file_ids}
    chosen = [number for number, file_id in rows if files is None or file_id in files]
    return sum(expect(connection, number) for number in chosen)


def _in_force(connection: sqlite3.Connection, micrograph_id: int) -> Correction | None:
    (text,) = connection.execute(
        f"SELECT {CORRECTION} FROM files f JOIN micrographs m ON m.file_id = f.id WHERE m.id = ?",
        (micrograph_id,),
    ).fetchone()
    return correction_from(text)


def _corrections(
    connection: sqlite3.Connection, sample: str, file_id: int | None, without: int = 0
) -> list[dict[str, Any]]:
    """What was not undone for a sample or a file by itself, newest first, for the history."""
    rows = connection.execute(
        """SELECT factor, pixel_size_nm FROM calibrations WHERE sample = ? AND file_id IS ?
            AND ended_by IS NULL AND id <> ? ORDER BY id DESC""",
        (sample, file_id, without),
    )
    return [dict(zip(("factor", "pixel_size_nm"), row, strict=True)) for row in rows]


def _subject(connection: sqlite3.Connection, sample: str, file_id: int | None) -> Subject:
    return Subject(sample=sample) if file_id is None else changes.subject_of(connection, file_id, None)
