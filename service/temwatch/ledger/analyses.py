"""Analyses into the ledger, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from temwatch import descriptors
from temwatch.domain import (
    Analysis,
    Level,
    Particle,
    Reason,
    Region,
    Rejection,
    Segmentation,
    utc_text,
)
from temwatch.ledger import calibrations, exclusions, waiting_rows
from temwatch.ledger.packed_analysis import (
    BLOBS_OF_ANALYSIS,
    PackedAnalysis,
    blobs_of,
    columns_of,
    domain_column,
    particle_row,
    regions_of,
    rejection_row,
)
from temwatch.ledger.packing import (
    BOX_COLUMNS,
    SEGMENTATION_COLUMNS,
    pack_mask,
    unpack_level,
    unpack_mask,
    unpack_regions,
    unpack_segmentation,
)
from temwatch.ledger.reader import Reader
from temwatch.ledger.rows import method_from
from temwatch.ledger.supersede import make_stale
from temwatch.ledger.writer import Ledger
from temwatch.notes import split_notes


def insert(connection: sqlite3.Connection, micrograph_id: int, packed: PackedAnalysis) -> None:
    """Add particles, rejections and blobs of a micrograph whose row is there."""
    _insert_details(connection, micrograph_id, packed.particles, packed.rejections)
    blobs = {"micrograph_id": micrograph_id, **packed.segmentation}
    connection.execute(
        f"INSERT INTO segmentations ({', '.join(blobs)}) VALUES ({', '.join('?' * len(blobs))})",
        tuple(blobs.values()),
    )
    if packed.fingerprint is not None:
        connection.execute(
            "INSERT INTO coarse_maps SELECT id, sample, ? FROM micrographs WHERE id = ?",
            (packed.fingerprint.coarse, micrograph_id),
        )
        connection.execute(
            "INSERT INTO fingerprints VALUES (?, ?)", (micrograph_id, packed.fingerprint.whole)
        )


def _insert_details(
    connection: sqlite3.Connection,
    micrograph_id: int,
    particles: Iterable[tuple[Any, ...]],
    rejections: Iterable[tuple[Any, ...]],
) -> None:
    """Particles and rejections of a micrograph, numbered from 1."""
    measured = ", ".join(descriptors.NAMES)
    columns = f"micrograph_id, number, {measured}, separated, overlapping, separated_by, {BOX_COLUMNS}"
    connection.executemany(
        f"INSERT INTO particles ({columns}) VALUES ({', '.join('?' * len(columns.split(',')))})",
        ((micrograph_id, number, *row) for number, row in enumerate(particles, 1)),
    )
    connection.executemany(
        f"INSERT INTO rejections (micrograph_id, number, reason, area_px, separated, {BOX_COLUMNS})"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((micrograph_id, number, *row) for number, row in enumerate(rejections, 1)),
    )


def replace(
    ledger: Ledger,
    micrograph_id: int,
    analysis: Analysis,
    at: datetime,
    *,
    wanted: waiting_rows.WaitingRow | None = None,
    segmented: Segmentation | None = None,
) -> bool:
    """Replace the analysis in a row; whether that was done.

    It is of the stored segmentation, or of another one that was `segmented` from the same pixels and replaces
    that, too. Where `wanted` is given and no longer wanted, nothing changes.
    """
    if segmented is None:
        with ledger.reader() as reader:
            despeckling = pack_mask(segmentation(reader, micrograph_id).mask ^ analysis.mask)
        blobs = dict(zip(BLOBS_OF_ANALYSIS, regions_of(analysis, despeckling), strict=True))
    else:
        blobs = blobs_of(analysis, segmented)
    with ledger.transaction() as connection:
        if wanted is not None and not waiting_rows.is_wanted(connection, wanted):
            return False
        row = columns_of(analysis) | {"analysed_at": utc_text(at), "excluded_particles": 0}
        if segmented is not None:
            row |= domain_column(segmented)
        *before, file_id, sample = connection.execute(
            """SELECT pixel_size_nm, pixel_size_source, stated_pixel_size_nm, analysed_at, file_id, sample
                FROM micrographs WHERE id = ?""",
            (micrograph_id,),
        ).fetchone()
        connection.execute(
            "INSERT OR IGNORE INTO methods (digest, json) VALUES (?, ?)",
            (analysis.method.digest, analysis.method.to_json()),
        )
        connection.execute(
            f"UPDATE micrographs SET {', '.join(f'{name} = ?' for name in row)} WHERE id = ?",
            (*row.values(), micrograph_id),
        )
        connection.execute("DELETE FROM particles WHERE micrograph_id = ?", (micrograph_id,))
        connection.execute("DELETE FROM rejections WHERE micrograph_id = ?", (micrograph_id,))
        details = map(particle_row, analysis.particles), map(rejection_row, analysis.rejections)
        _insert_details(connection, micrograph_id, *details)
        connection.execute(
            f"UPDATE segmentations SET {', '.join(f'{name} = ?' for name in blobs)} WHERE micrograph_id = ?",
            (*blobs.values(), micrograph_id),
        )
        connection.execute("UPDATE files SET changes = changes + 1 WHERE id = ?", (file_id,))
        make_stale(connection, sample, particles=True)
        calibrations.settle(connection, micrograph_id, before)
        if wanted is not None and wanted.settings is not None:
            waiting_rows.set_up_to_date(connection, micrograph_id)
        exclusions.apply(connection, micrograph_id)
    return True


def load(reader: Reader, micrograph_id: int) -> Analysis:
    """The analysis as it was recorded.

    Raises
    ------
    KeyError
        There is no such micrograph, or it has no result.
    """
    pixels = _blobs(reader, micrograph_id, "mask, despeckling")
    before, difference = (unpack_mask(packed, pixels[:2]) for packed in pixels[2:])
    pixel_size_nm, notes, method = reader.connection.execute(
        "SELECT pixel_size_nm, notes, json FROM micrographs, methods WHERE id = ? AND digest = method",
        (micrograph_id,),
    ).fetchone()
    return Analysis(
        mask=before ^ difference,
        removed=before & difference,
        particles=particles(reader, micrograph_id),
        rejections=rejections(reader, micrograph_id),
        method=method_from(method),
        pixel_size_nm=pixel_size_nm,
        notes=split_notes(notes),
    )


def segmentation(reader: Reader, micrograph_id: int) -> Segmentation:
    """The segmentation before despeckling; KeyError as for `load`."""
    height, width, *stored = _blobs(reader, micrograph_id, ", ".join(SEGMENTATION_COLUMNS))
    return unpack_segmentation(stored, (height, width))


def level(reader: Reader, micrograph_id: int) -> Level | None:
    """Where outlines lie between the pixels; None where that is not known, or there is no result."""
    found = reader.connection.execute(
        "SELECT height_px, width_px, level FROM segmentations WHERE micrograph_id = ?", (micrograph_id,)
    ).fetchone()
    return None if found is None or found[2] is None else unpack_level(found[2], found[:2])


def particles(reader: Reader, micrograph_id: int) -> tuple[Particle, ...]:
    """Particles of a micrograph with their regions, in the order of their numbers."""
    rows = reader.connection.execute(
        f"""SELECT {BOX_COLUMNS}, separated, overlapping, separated_by, {", ".join(descriptors.NAMES)}
            FROM particles WHERE micrograph_id = ? ORDER BY number""",
        (micrograph_id,),
    ).fetchall()
    return tuple(
        Particle(
            region=region,
            overlapping=bool(overlapping),
            separated_by=separated_by,
            descriptors=dict(zip(descriptors.NAMES, measures, strict=True)),
        )
        for region, (*_, overlapping, separated_by), measures in zip(
            _stored_regions(reader, micrograph_id, "particle_regions", rows),
            (row[:7] for row in rows),
            (row[7:] for row in rows),
            strict=True,
        )
    )


def rejections(reader: Reader, micrograph_id: int) -> tuple[Rejection, ...]:
    """Rejections of a micrograph with their regions, in the order of their numbers."""
    rows = reader.connection.execute(
        f"SELECT {BOX_COLUMNS}, separated, reason FROM rejections WHERE micrograph_id = ? ORDER BY number",
        (micrograph_id,),
    ).fetchall()
    regions = _stored_regions(reader, micrograph_id, "rejection_regions", rows)
    return tuple(
        Rejection(region=region, reason=Reason(row[5])) for region, row in zip(regions, rows, strict=True)
    )


def _stored_regions(
    reader: Reader, micrograph_id: int, column: str, rows: Sequence[tuple[Any, ...]]
) -> list[Region]:
    if not rows:
        return []
    packed = _blobs(reader, micrograph_id, column)[2]
    return unpack_regions(packed, [row[:5] for row in rows])


def _blobs(reader: Reader, micrograph_id: int, columns: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = reader.connection.execute(
        f"SELECT height_px, width_px, {columns} FROM segmentations WHERE micrograph_id = ?",
        (micrograph_id,),
    ).fetchone()
    if row is None:
        raise KeyError(f"no analysis of a micrograph {micrograph_id}")
    return row
