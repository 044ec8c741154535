"""Analyses as rows and compressed blobs, before it is known which row of the ledger they become.

`pack` takes most of the time of a record and needs no transaction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Any

import numpy as np

from temwatch import descriptors
from temwatch.domain import (
    Analysis,
    PackedFingerprint,
    Particle,
    Reason,
    Rejection,
    Segmentation,
    utc_text,
)
from temwatch.ledger.packing import (
    pack_mask,
    pack_regions,
    pack_segmentation,
)
from temwatch.ledger.rows import Result, metadata_text
from temwatch.notes import Note, join_notes
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
    row = (
        columns_of(result.analysis)
        | domain_column(result.segmentation)
        | {
            "frame": frame.index if frame else None,
            "elapsed_s": _real(frame.elapsed_s) if frame else None,
            "sha256": result.sha256,
            "acquired_at": utc_text(result.acquired_at) if result.acquired_at else None,
            "analysed_at": utc_text(result.analysed_at),
            "seconds": float(result.seconds),
            "metadata": metadata_text(result.metadata),
            "pixel_size_source": str(result.pixel_size_source),
            "stated_pixel_size_nm": _real(result.stated_pixel_size_nm),
        }
    )
    return PackedAnalysis(
        micrograph=row,
        method_json=result.analysis.method.to_json(),
        particles=[particle_row(particle) for particle in result.analysis.particles],
        rejections=[rejection_row(rejection) for rejection in result.analysis.rejections],
        segmentation=blobs_of(result.analysis, result.segmentation),
        fingerprint=result.fingerprint if _is_comparable(result.analysis) else None,
    )


def _is_comparable(analysis: Analysis) -> bool:
    """Whether there is something in the field that tells it from others."""
    return bool(analysis.particles) and Note.BLANK_FIELD not in analysis.notes


def columns_of(analysis: Analysis) -> dict[str, Any]:
    """What of a row of `micrographs` follows from the analysis, by column."""
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
        "lone_particles": analysis.lone.to_json() if analysis.lone and analysis.lone.count else None,
    } | {f"rejected_{reason}": reasons.count(reason) for reason in Reason}


def domain_column(segmentation: Segmentation) -> dict[str, Any]:
    """What of a row of `micrographs` comes from the segmentation, by column."""
    return {"domain_distance": _real(segmentation.domain_distance)}


def particle_row(particle: Particle) -> tuple[Any, ...]:
    """Measures, flags and box, in the order of the columns of `particles`."""
    measures = [_real(particle.descriptors.get(name)) for name in descriptors.NAMES]
    flags = (int(particle.separated), int(particle.overlapping), particle.separated_by)
    return (*measures, *flags, *_box(particle.region.origin_px, particle.region.mask.shape))


def rejection_row(rejection: Rejection) -> tuple[Any, ...]:
    """Reason, area, flag and box, in the order of the columns of `rejections`."""
    region = rejection.region
    area_px = int(np.count_nonzero(region.mask))
    return (str(rejection.reason), area_px, int(region.separated), *_box(region.origin_px, region.mask.shape))


def _box(origin_px: tuple[int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    return int(origin_px[1]), int(origin_px[0]), shape[1], shape[0]


def _real(value: float | None) -> float | None:
    return None if value is None else float(value)


BLOBS_OF_ANALYSIS = ("despeckling", "particle_regions", "rejection_regions")


def blobs_of(analysis: Analysis, segmentation: Segmentation) -> dict[str, Any]:
    """A row of `segmentations` by column."""
    if analysis.mask.shape != segmentation.mask.shape:
        raise ValueError(
            f"masks of {analysis.mask.shape} and {segmentation.mask.shape} px are of two micrographs"
        )
    height, width = analysis.mask.shape
    regions = regions_of(analysis, pack_mask(segmentation.mask ^ analysis.mask))
    return (
        dict(zip(BLOBS_OF_ANALYSIS, regions, strict=True))
        | {
            "height_px": height,
            "width_px": width,
        }
        | pack_segmentation(segmentation)
    )


def regions_of(analysis: Analysis, despeckling: bytes) -> tuple[bytes, bytes, bytes]:
    """The values of `BLOBS_OF_ANALYSIS`, with the packed pixels that despeckling has changed."""
    return (
        despeckling,
        pack_regions(particle.region for particle in analysis.particles),
        pack_regions(rejection.region for rejection in analysis.rejections),
    )
