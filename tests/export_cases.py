"""A small sample for the tests of exports: round particles between the pixels, some of them overlapping."""

from dataclasses import replace

import numpy as np

from ledger_cases import METHOD, START, arrival, result, sha256
from temwatch.analysis.measurement.shape import with_outlines
from temwatch.analysis.measurement.units import measure
from temwatch.analysis.refinement.level import OUTLINE, REACH_PX
from temwatch.config import SeparationSettings
from temwatch.domain import Analysis, Region, Segmentation
from temwatch.ledger import queue, recording

SHAPE = (160, 220)
NM = 0.2
DISCS = ((30.3, 40.6, 11.2), (34.8, 55.1, 9.4), (90.2, 60.7, 16.9), (120.4, 150.2, 4.1), (60.5, 170.3, 25.6))
"""Row and column of the centre in px, and radius; the first two overlap."""


def disc_level(row, column, radius):
    """How deep every pixel lies in a disc, as `Segmentation.level` states it."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    depth = radius - np.hypot(y - row, x - column)
    return np.clip(np.rint(OUTLINE + depth * OUTLINE / REACH_PX), 0, 255).astype(np.uint8)


def discs(placed=DISCS, *, between_pixels=True, nm=NM):
    """Segmentation and analysis of a micrograph with discs."""
    levels = [disc_level(*disc) for disc in placed]
    level = np.maximum.reduce([np.zeros(SHAPE, np.uint8), *levels])
    regions = []
    for index, one in enumerate(levels):
        mask = one > OUTLINE
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        origin = (int(rows[0]), int(columns[0]))
        regions.append(Region(origin_px=origin, mask=crop, separated=index < 2, separated_by="contour"))
    outlined = with_outlines(regions, level if between_pixels else None)
    particles = [measure(one, pixel_size_nm=nm, settings=SeparationSettings()) for one in outlined]
    mask = level > OUTLINE
    analysis = Analysis(mask=mask, particles=tuple(particles), rejections=(), method=METHOD, pixel_size_nm=nm)
    return Segmentation(mask=mask, level=level if between_pixels else None), analysis


def record(ledger, path="Au/Au_01.dm3", found=None, *, sample="Au"):
    """Bring a micrograph with these results into the ledger."""
    segmentation, analysis = found or discs()
    queue.add(ledger, arrival(path, sample=sample))
    (file,) = queue.claim(ledger, 1, START)
    one = replace(result(path), sha256=sha256(path), segmentation=segmentation, analysis=analysis)
    recording.record(ledger, file.id, [one])


def polygon_area(polygon):
    """Area that straight lines between the corners (n, 2) enclose, without sign."""
    # from the first corner: far from (0, 0) the products would lose digits
    x, y = (polygon - polygon[0]).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
