"""What a sample's particles that stand alone are like: the prior with which its next file is resolved.

`files.sample_prior`, in nm, is given once, so that a file that is analysed again, after a kill or a retry,
meets the same. `segmentations.sample_prior`, in px, is the one with which a row was resolved: resolving it
again reads this, whatever arrived meanwhile and whatever became of the pixel size.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from temwatch.lone_particles import LoneParticles, of_sample

if TYPE_CHECKING:
    from temwatch.ledger.reader import Reader
    from temwatch.ledger.writer import Ledger

LATEST = 50
"""Micrographs that count: the last ones of the sample on which particles stand alone."""

_STATEMENTS = (
    "ALTER TABLE micrographs ADD COLUMN lone_particles TEXT",
    "ALTER TABLE segmentations ADD COLUMN sample_prior TEXT",
    "ALTER TABLE files ADD COLUMN sample_prior TEXT",
    "CREATE INDEX micrographs_with_lone ON micrographs (sample, id) WHERE lone_particles IS NOT NULL",
)


def create(connection: sqlite3.Connection) -> None:
    """Migration: of earlier micrographs it is not known what stands alone, and they had no prior."""
    for statement in _STATEMENTS:
        connection.execute(statement)


def find(reader: Reader, file_id: int) -> LoneParticles:
    """The prior of a file, in nm: the one that it was given, else what its sample shows now."""
    sample, given = reader.connection.execute(
        "SELECT sample, sample_prior FROM files WHERE id = ?", (file_id,)
    ).fetchone()
    if given is not None:
        return LoneParticles.from_json(given)
    rows = reader.connection.execute(
        """SELECT lone_particles, pixel_size_nm FROM micrographs INDEXED BY micrographs_with_lone
            WHERE sample = ? AND lone_particles IS NOT NULL AND status = 'done' AND NOT excluded
                AND file_id <> ? ORDER BY id DESC LIMIT ?""",
        (sample, file_id, LATEST),
    )
    return of_sample([LoneParticles.from_json(text).scaled(pixel_size_nm) for text, pixel_size_nm in rows])


def give(ledger: Ledger, file_id: int) -> LoneParticles:
    """The same; it stays the file's from now on."""
    with ledger.reader() as reader:
        found = find(reader, file_id)
    with ledger.transaction() as connection:
        connection.execute(
            "UPDATE files SET sample_prior = ? WHERE id = ? AND sample_prior IS NULL",
            (found.to_json(), file_id),
        )
    return found
