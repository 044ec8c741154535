"""Arrivals and results for the tests of ledger and outputs: small, and different for every seed."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np

from temwatch.domain import (
    Analysis,
    Frame,
    Metadata,
    Method,
    Particle,
    Reason,
    Region,
    Rejection,
    Segmentation,
)
from temwatch.kept_picture import KeptPicture
from temwatch.ledger import Arrival, Result, queue, recording
from temwatch.notes import Note

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
METHOD = Method(
    segmentation="threshold",
    separation="uecs",
    parameters=(("convexity_threshold", 0.95), ("min_marker_px", 30), ("sigma_px", None)),
    software_version="0.1.0",
)


def arrival(path="a.dm3", *, size_bytes=100, mtime_ns=1, root="/microscope", sample="Au", **more):
    """A file as the intake hands it over."""
    return Arrival(
        root=root,
        path=path,
        sample=sample,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
        source=more.pop("source", "event"),
        detected_at=more.pop("detected_at", START),
        **more,
    )


def disc(radius_px):
    """A disc as a tight crop."""
    y, x = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return x * x + y * y <= radius_px * radius_px


def particle(random, region, pixel_size_nm=0.1):
    """A particle with made up but consistent numbers."""
    area_nm2 = float(np.count_nonzero(region.mask)) * pixel_size_nm**2
    diameter_nm = float(np.sqrt(4 * area_nm2 / np.pi))
    row, column = region.origin_px
    seen = bool(random.random() < 0.5)
    values = {
        "centroid_x_nm": (column + region.mask.shape[1] / 2) * pixel_size_nm,
        "centroid_y_nm": (row + region.mask.shape[0] / 2) * pixel_size_nm,
        "area_nm2": area_nm2,
        "equivalent_diameter_nm": diameter_nm,
        "feret_min_nm": diameter_nm * 0.97,
        "feret_max_nm": diameter_nm * 1.05,
        "aspect_ratio": 1.05 / 0.97,
        "perimeter_nm": np.pi * diameter_nm * (1 + 0.01 * random.random()),
        "circularity": float(random.uniform(0.8, 1)),
        "convexity": float(random.uniform(0.9, 1)),
        "solidity": float(random.uniform(0.9, 1)),
    }
    overlapping = bool(random.random() < 0.1)
    values |= {
        "visible_fraction": float(random.random()) if seen else None,
        "contrast": float(random.random()) if seen else None,
        "confidence": float(random.random()) if seen else None,
        "equivalent_diameter_low_nm": diameter_nm * 0.9 if seen else None,
        "equivalent_diameter_high_nm": diameter_nm * 1.1 if seen else None,
    }
    return Particle(
        descriptors=values,
        overlapping=overlapping,
        region=region,
        separated_by="uecs" if region.separated else "",
    )


def segmented(seed=0, particles=3, size_px=96):
    """A segmentation and its analysis: discs at random places, a rejection and a speckle that was removed."""
    random = np.random.default_rng(seed)
    mask = np.zeros((size_px, size_px - 8), bool)
    found = []
    for number in range(particles):
        crop = disc(int(random.integers(3, 9)))
        row, column = (
            int(random.integers(0, edge - side)) for edge, side in zip(mask.shape, crop.shape, strict=True)
        )
        mask[row : row + crop.shape[0], column : column + crop.shape[1]] |= crop
        found.append(Region(origin_px=(row, column), mask=crop, separated=number % 3 == 1))
    border = Region(origin_px=(0, 0), mask=np.ones((3, 5), bool))
    mask[:3, :5] = True
    raw = mask.copy()
    raw[-1, -1] = ~raw[-1, -1]
    notes = (Note.BLANK_FIELD,) if seed % 3 else ()
    analysis = Analysis(
        mask=mask,
        particles=tuple(particle(random, region) for region in found),
        rejections=(Rejection(region=border, reason=Reason.TOUCHES_BORDER),),
        method=METHOD,
        pixel_size_nm=0.1,
        removed=raw & ~mask,
        notes=(*notes, Note.TWO_KINDS) if seed % 2 else notes,
    )
    recorded = np.indices(mask.shape)[0] > seed if seed % 2 else None
    codes = random.integers(0, 255, mask.shape, np.uint8)
    return Segmentation(
        mask=raw,
        contacts=raw & ~raw if seed % 2 else None,
        notes=notes,
        recorded=recorded,
        picture=KeptPicture(codes=codes, offset=-0.1, step=1 / 3) if seed % 2 else None,
        probability=codes // 8 if seed % 2 else None,
        domain_distance=0.1 * seed if seed % 2 else None,
    ), analysis


def sha256(content):
    """Digest of what a file of the tests is said to hold."""
    return hashlib.sha256(str(content).encode()).hexdigest()


def result(content=0, particles=3, *, frame=None, sequence="series", minutes=0):
    """What the analysis of a file gives; equal content gives equal results."""
    segmentation, analysis = segmented(int(sha256(content)[:8], 16) + (frame or 0), particles)
    return Result(
        sha256=sha256(content),
        segmentation=segmentation,
        analysis=analysis,
        analysed_at=START + timedelta(minutes=minutes),
        seconds=0.25,
        acquired_at=START - timedelta(hours=1),
        frame=None if frame is None else Frame(sequence=sequence, index=frame, elapsed_s=frame * 0.5),
        metadata=Metadata(voltage_kV=300.0, instrument="simulator"),
    )


def take(ledger, path="a.dm3", content=0, particles=3, **more):
    """Bring one file the whole way into the ledger; gives what was recorded."""
    file_id = queue.add(ledger, arrival(path, **more))
    (file,) = [file for file in queue.claim(ledger, 1000, START) if file.id == file_id]
    return recording.record(ledger, file.id, [result(content, particles)])
