"""Analyses as rows and compressed blobs of the ledger, and back.

`pack` takes most of the time and needs no transaction.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Any

import numpy as np

from temwatch import descriptors
from temwatch.domain import (
    Analysis,
    Level,
    PackedFingerprint,
    Particle,
    Reason,
    Region,
    Rejection,
    Segmentation,
    utc_text,
)
from temwatch.ledger import calibrations, exclusions, waiting_rows
from temwatch.ledger.packing import (
    BOX_COLUMNS,
    SEGMENTATION_COLUMNS,
    pack_mask,
    pack_regions,
    pack_segmentation,
    unpack_level,
    unpack_mask,
    unpack_regions,
    unpack_segmentation,
)
from temwatch.ledger.reader import Reader
from temwatch.ledger.rows import Result, metadata_text, method_from
from temwatch.ledger.supersede import make_stale
from temwatch.ledger.writer import Ledger
from temwatch.notes import Note, join_notes, split_notes
from temwatch.setting_keys import Settings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedAnalysis:
    """An analysis as rows; the id of its micrograph is not known yet."""

    micrograph: Mapping[str, Any]
    method_json: str
    particles: Sequence[tuple[Any, ...]]
    rejections: Sequence[tuple[Any, ...]]
    segmentation: Mapping[str, Any]
    fingerprint: PackedFingerprint | None = None
    settings: Settings | None = None

    def at(self, analysed_at: datetime, seconds: float, settings: Settings) -> PackedAnalysis:
        """The same, analysed at another moment, in other seconds, with these settings of the sample."""
        row = {**self.micrograph, "analysed_at": utc_text(analysed_at), "seconds": float(seconds)}
        return dataclasses.replace(self, micrograph=row, settings=settings)


def pack(result: Result) -> PackedAnalysis:
    """Rows of one analysed micrograph."""
    frame = result.frame
    row = _of_analysis(result.analysis) | {
        "frame": frame.index if frame else None,
        "elapsed_s": _real(frame.elapsed_s) if frame else None,
        "sha256": result.sha256,
        "acquired_at": utc_text(result.acquired_at) if result.acquired_at else None,
        "analysed_at": utc_text(result.analysed_at),
        "seconds": float(result.seconds),
        "metadata": metadata_text(result.metadata),
        "pixel_size_source": str(result.pixel_size_source),
        "stated_pixel_size_nm": _real(result.stated_pixel_size_nm),
        "domain_distance": _real(result.segmentation.domain_distance),
    }
    return PackedAnalysis(
        micrograph=row,
        method_json=result.analysis.method.to_json(),
        particles=[_particle(particle) for particle in result.analysis.particles],
        rejections=[_rejection(rejection) for rejection in result.analysis.rejections],
        segmentation=_pixels(result.analysis, result.segmentation),
        fingerprint=result.fingerprint if _is_comparable(result.analysis) else None,
    )


def _is_comparable(analysis: Analysis) -> bool:
    """Whether there is something in the field that tells it from others."""
    return bool(analysis.particles) and Note.BLANK_FIELD not in analysis.notes


def _of_analysis(analysis: Analysis) -> dict[str, Any]:
    height, width = analysis.mask.shape
    reasons = [rejection.reason for rejection in analysis.rejections]
    diameters = [float(particle.equivalent_diameter_nm) for particle in analysis.particles]
    return {
        "width_px": width,
        "height_px": height,
        "pixel_size_nm": float(analysis.pixel_size_nm),
        "particles": len(analysis.particles),
        "particle_fraction": analysis.particle_fraction,
        "mean_equivalent_diameter_nm": fmean(diameters) if diameters else None,
        "method": analysis.method.digest,
        "notes": join_notes(analysis.notes),
    } | {f"rejected_{reason}": reasons.count(reason) for reason in Reason}


def _particle(particle: Particle) -> tuple[Any, ...]:
    measures = [_real(particle.descriptors.get(name)) for name in descriptors.NAMES]
    flags = (int(particle.separated), int(particle.overlapping), particle.separated_by)
    return (*measures, *flags, *_box(particle.region.origin_px, particle.region.mask.shape))


def _rejection(rejection: Rejection) -> tuple[Any, ...]:
    region = rejection.region
    area_px = int(np.count_nonzero(region.mask))
    return (str(rejection.reason), area_px, int(region.separated), *_box(region.origin_px, region.mask.shape))


def _box(origin_px: tuple[int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    return int(origin_px[1]), int(origin_px[0]), shape[1], shape[0]


def _real(value: float | None) -> float | None:
    return None if value is None else float(value)


_OF_ANALYSIS = ("despeckling", "particle_regions", "rejection_regions")


def _pixels(analysis: Analysis, segmentation: Segmentation) -> dict[str, Any]:
    """A row of `segmentations` by column."""
    if analysis.mask.shape != segmentation.mask.shape:
        raise ValueError(
            f"masks of {analysis.mask.shape} and {segmentation.mask.shape} px are of two micrographs"
        )
    height, width = analysis.mask.shape
    regions = _regions(analysis, pack_mask(segmentation.mask ^ analysis.mask))
    return (
        dict(zip(_OF_ANALYSIS, regions, strict=True))
        | {
            "height_px": height,
            "width_px": width,
        }
        | pack_segmentation(segmentation)
    )


def _regions(analysis: Analysis, despeckling: bytes) -> tuple[bytes, bytes, bytes]:
    return (
        despeckling,
        pack_regions(particle.region for particle in analysis.particles),
        pack_regions(rejection.region for rejection in analysis.rejections),
    )


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
        blobs = dict(zip(_OF_ANALYSIS, _regions(analysis, despeckling), strict=True))
    else:
        blobs = _pixels(analysis, segmented)
    with ledger.transaction() as connection:
        if wanted is not None and not waiting_rows.is_wanted(connection, wanted):
            return False
        row = _of_analysis(analysis) | {"analysed_at": utc_text(at), "excluded_particles": 0}
        if segmented is not None:
            row["domain_distance"] = _real(segmented.domain_distance)
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
        details = map(_particle, analysis.particles), map(_rejection, analysis.rejections)
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
