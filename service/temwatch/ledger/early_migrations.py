"""Migrations of early versions of the ledger that no module of their own has; see `schema`."""

from __future__ import annotations

import sqlite3


def notice_edits(connection: sqlite3.Connection) -> None:
    """What tells a table that somebody has edited from one that only this service wrote."""
    connection.execute("ALTER TABLE publications ADD COLUMN crc32 INTEGER")
    connection.execute("ALTER TABLE publications ADD COLUMN signature TEXT")
    connection.execute(
        """CREATE TABLE edited_tables (
            sample TEXT NOT NULL REFERENCES samples (sample),
            file TEXT NOT NULL,
            kept_as TEXT NOT NULL,
            noticed_at TEXT NOT NULL
        )"""
    )


def notes(connection: sqlite3.Connection) -> None:
    """Remarks, and where the pixel size comes from; who stated it before is not known.

    `micrographs.notes` are those of the analysis and `segmentations.notes` those of the segmenter among them;
    `notes_of_record` are what the ledger itself found, which an analysis made again leaves alone.
    """
    for column in (
        "pixel_size_source TEXT",
        "stated_pixel_size_nm REAL",
        "notes TEXT NOT NULL DEFAULT ''",
        "notes_of_record TEXT NOT NULL DEFAULT ''",
    ):
        connection.execute(f"ALTER TABLE micrographs ADD COLUMN {column}")
    connection.execute("ALTER TABLE segmentations ADD COLUMN notes TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE samples SET generation = generation + 1")


def levels(connection: sqlite3.Connection) -> None:
    """Outlines between the pixels; earlier segmentations have none and are measured by their pixels."""
    connection.execute("ALTER TABLE segmentations ADD COLUMN level BLOB")
