"""The tables of the ledger, and migrations from older versions.

A migration is a function that runs in the transaction that records it. A released migration is never changed:
a new version is a new migration at the end of the tuple.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from temwatch import descriptors
from temwatch.errors import LedgerMissing, StartError
from temwatch.ledger import (
    calibrations,
    changes,
    dismissals,
    early_migrations,
    exposures,
    output_names,
    packing,
    relocations,
    run_settings,
    sample_priors,
    sample_settings,
)
from temwatch.ledger.sequences import tables

FILE_NAME = "ledger.sqlite3"
BUSY_TIMEOUT_SECONDS = 10.0
_UPDATE = "the service updates it when it starts"

_FIRST = (
    # one row per sample; every change of published rows increases `generation`, and also
    # `particles_generation` where rows of particles change
    """CREATE TABLE samples (
        sample TEXT NOT NULL PRIMARY KEY,
        generation INTEGER NOT NULL DEFAULT 0,
        particles_generation INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    # one row per revision of a file; root and path are blobs where they are not UTF-8;
    # an output folder with `written` below `changes` is out of date
    """CREATE TABLE files (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        root TEXT NOT NULL,
        path TEXT NOT NULL,
        revision INTEGER NOT NULL,
        sample TEXT NOT NULL REFERENCES samples (sample),
        sequence TEXT,
        frame INTEGER,
        name TEXT NOT NULL,
        name_key TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT,
        status TEXT NOT NULL DEFAULT 'pending'
            CHECK (status IN ('pending', 'done', 'failed', 'refused', 'duplicate', 'superseded')),
        claimed INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        source TEXT NOT NULL,
        pixel_size_nm REAL,
        detected_at TEXT NOT NULL,
        not_before TEXT,
        frames_total INTEGER,
        changes INTEGER NOT NULL DEFAULT 0,
        written INTEGER NOT NULL DEFAULT 0,
        UNIQUE (root, path, revision)
    )""",
    "CREATE INDEX files_pending ON files (id) WHERE status = 'pending'",
    "CREATE INDEX files_of_sample ON files (sample, status)",
    "CREATE INDEX files_by_name ON files (sample, name_key)",
    "CREATE INDEX files_by_content ON files (sample, sha256) WHERE sha256 IS NOT NULL",
    "CREATE INDEX files_unwritten ON files (sample) WHERE written < changes",
    # one row per line of micrographs.csv, in the order of `id`
    """CREATE TABLE micrographs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        file_id INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
        sample TEXT NOT NULL,
        frame INTEGER,
        elapsed_s REAL,
        status TEXT NOT NULL CHECK (status IN ('done', 'failed', 'refused', 'duplicate', 'superseded')),
        reason_code TEXT,
        reason TEXT,
        sha256 TEXT,
        width_px INTEGER,
        height_px INTEGER,
        pixel_size_nm REAL,
        particles INTEGER NOT NULL DEFAULT 0,
        rejected_touches_border INTEGER NOT NULL DEFAULT 0,
        rejected_too_small INTEGER NOT NULL DEFAULT 0,
        rejected_low_convexity INTEGER NOT NULL DEFAULT 0,
        rejected_too_many_holes INTEGER NOT NULL DEFAULT 0,
        rejected_not_separable INTEGER NOT NULL DEFAULT 0,
        particle_fraction REAL,
        mean_equivalent_diameter_nm REAL,
        acquired_at TEXT,
        analysed_at TEXT NOT NULL,
        seconds REAL,
        method TEXT REFERENCES methods (digest),
        metadata TEXT NOT NULL DEFAULT '{}'
    )""",
    "CREATE INDEX micrographs_of_file ON micrographs (file_id, frame)",
    "CREATE INDEX micrographs_of_sample ON micrographs (sample, id, status, particles)",
    """CREATE TABLE particles (
        micrograph_id INTEGER NOT NULL REFERENCES micrographs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        centroid_x_nm REAL,
        centroid_y_nm REAL,
        area_nm2 REAL,
        equivalent_diameter_nm REAL,
        feret_min_nm REAL,
        feret_max_nm REAL,
        aspect_ratio REAL,
        perimeter_nm REAL,
        circularity REAL,
        convexity REAL,
        solidity REAL,
        separated INTEGER NOT NULL,
        overlapping INTEGER NOT NULL,
        bbox_x_px INTEGER NOT NULL,
        bbox_y_px INTEGER NOT NULL,
        bbox_width_px INTEGER NOT NULL,
        bbox_height_px INTEGER NOT NULL,
        separated_by TEXT NOT NULL,
        visible_fraction REAL,
        equivalent_diameter_low_nm REAL,
        equivalent_diameter_high_nm REAL,
        PRIMARY KEY (micrograph_id, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE rejections (
        micrograph_id INTEGER NOT NULL REFERENCES micrographs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        reason TEXT NOT NULL,
        area_px INTEGER NOT NULL,
        separated INTEGER NOT NULL,
        bbox_x_px INTEGER NOT NULL,
        bbox_y_px INTEGER NOT NULL,
        bbox_width_px INTEGER NOT NULL,
        bbox_height_px INTEGER NOT NULL,
        PRIMARY KEY (micrograph_id, number)
    ) WITHOUT ROWID""",
    # all pixel data as compressed blobs, see packing.py; `despeckling` is the difference between the
    # segmenter's mask and the mask after despeckling
    """CREATE TABLE segmentations (
        micrograph_id INTEGER PRIMARY KEY REFERENCES micrographs (id) ON DELETE CASCADE,
        height_px INTEGER NOT NULL,
        width_px INTEGER NOT NULL,
        mask BLOB NOT NULL,
        contacts BLOB,
        despeckling BLOB NOT NULL,
        particle_regions BLOB NOT NULL,
        rejection_regions BLOB NOT NULL
    )""",
    "CREATE TABLE methods (digest TEXT NOT NULL PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID",
    # how far a file of a sample was published: its bytes, its last micrograph, its generation
    """CREATE TABLE publications (
        sample TEXT NOT NULL REFERENCES samples (sample),
        file TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        through_id INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        PRIMARY KEY (sample, file)
    ) WITHOUT ROWID""",
    """CREATE TABLE counters (
        name TEXT NOT NULL,
        label TEXT NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (name, label)
    ) WITHOUT ROWID""",
    """CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        arguments TEXT NOT NULL,
        created_at TEXT NOT NULL,
        done_at TEXT,
        answer TEXT
    )""",
)


def _first(connection: sqlite3.Connection) -> None:
    for statement in _FIRST:
        connection.execute(statement)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _first,
    tables.create,
    early_migrations.notice_edits,
    early_migrations.notes,
    early_migrations.levels,
    output_names.migrate,
    exposures.create,
    changes.create,
    calibrations.create,
    run_settings.create,
    packing.add_recorded,
    sample_settings.create,
    relocations.create,
    packing.add_picture,
    tables.add_holder_values,
    dismissals.create,
    packing.add_probability,
    packing.add_domain_distance,
    sample_priors.create,
)
"""Migration n brings a ledger from version n to version n + 1."""


def connect_to_write(path: Path) -> sqlite3.Connection:
    """Open for writing, durable at every commit; the caller begins transactions.

    Raises
    ------
    StartError
        The file is not a ledger, or its folder cannot hold one.
    """
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_SECONDS
        )
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as error:
        raise StartError(f"{path}: cannot be used as a ledger: {error}") from None
    if mode != "wal":
        raise StartError(
            f"{path}: this file system cannot hold a ledger; set [output] state_folder to a local disk"
        )
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open for reading, beside a writer or alone.

    Raises
    ------
    LedgerMissing
        There is no ledger.
    StartError
        It cannot be read, or it is of another version.
    """
    try:
        connection = _read_only(path)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        missing = _missing(connection)
    except sqlite3.Error as error:
        if not path.exists():
            raise LedgerMissing(
                f"{path}: there is no ledger yet; the service creates it when it first starts"
            ) from None
        raise StartError(f"{path}: cannot be read as a ledger: {error}") from None
    if version != len(MIGRATIONS) or missing:
        connection.close()
        without = f"ledger without {', '.join(missing)}; {_UPDATE}"
        raise StartError(f"{path}: {_other_version(version) if version != len(MIGRATIONS) else without}")
    return connection


def _read_only(path: Path) -> sqlite3.Connection:
    connection = _open(path, "mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # without permission to write the folder, a ledger that was closed properly can still be read
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        connection = _open(path, "mode=ro&immutable=1")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("PRAGMA query_only = ON")
    return connection


def _open(path: Path, options: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_SECONDS
    )


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the ledger to the current version and table of descriptors, each step in one transaction.

    Raises
    ------
    StartError
        The ledger is of a newer version.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StartError(f"{path}: {_other_version(version)}")
    for number, migration in enumerate(MIGRATIONS[version:], version + 1):
        _apply(connection, migration, number)
    if _missing(connection):
        _apply(connection, _add_descriptors, len(MIGRATIONS))


def _apply(
    connection: sqlite3.Connection, migration: Callable[[sqlite3.Connection], None], version: int
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        migration(connection)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _missing(connection: sqlite3.Connection) -> list[str]:
    """Descriptors for which the table of particles has no column yet."""
    there = {row[1] for row in connection.execute("PRAGMA table_info(particles)")}
    return [name for name in descriptors.NAMES if name not in there]


def _add_descriptors(connection: sqlite3.Connection) -> None:
    """A column for each new descriptor, empty where it was not measured; published tables are stale then."""
    for name in _missing(connection):
        connection.execute(f"ALTER TABLE particles ADD COLUMN {name} {descriptors.SQL_TYPE}")
    connection.execute(
        "UPDATE samples SET generation = generation + 1, particles_generation = particles_generation + 1"
    )


def _other_version(version: int) -> str:
    if version > len(MIGRATIONS):
        return f"ledger of version {version}, newer than {len(MIGRATIONS)}; install a newer temwatch"
    return f"ledger of the older version {version}; {_UPDATE}"
