"""From a clean mask to the regions of single particles: which are parted, and which are given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from temwatch.analysis.measurement import shape
from temwatch.analysis.measurement.outline import visible_fraction
from temwatch.analysis.separation import SEPARATORS, contour
from temwatch.analysis.separation.cleaning import regions, small_holes, speckles, touches_border
from temwatch.analysis.separation.prior import UNKNOWN, population_of
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Reason, Region, Rejection


def part(
    mask: Mask, *, gaps: Mask, contacts: Mask | None, smallest_px: int, settings: SeparationSettings
) -> tuple[list[Region], list[Rejection]]:
    """Part the clumps of a mask: regions below the convexity threshold.

    Parameters
    ----------
    mask
        Shape (y, x), without speckles and small holes.
    gaps
        Shape (y, x), the holes that were closed. Within a clump they are what is seen between its particles,
        so they stay open until it is parted.
    contacts
        Shape (y, x), where touching particles meet, or None; the method none measures clumps whole and does
        not cut there.
    smallest_px
        Nothing smaller counts as a particle.
    settings
        Method and thresholds.

    Returns
    -------
    Regions, convex or parted, which may overlap; and what was given up.
    """
    # in reading order: of a clump, what it is parted into later
    parts: list[list[Region]] = []
    rejections: list[Rejection] = []
    clumps: list[tuple[Region, list[Region]]] = []
    whole: list[Region] = []
    limit = settings.convexity_threshold
    if settings.method == "contour":
        limit = max(limit, contour.CLUMP_CONVEXITY)
    if settings.method == "none":
        contacts = None
    for connected in regions(mask):
        for region in (
            [connected] if contacts is None else _cut(connected, contacts, smallest_px, settings.method)
        ):
            outline = shape.outline(region.mask)
            convexity = shape.convexity(outline)
            # a shallow notch shows in the solidity first
            least = min(convexity, shape.solidity(outline))
            if least >= settings.convexity_threshold and not touches_border(region, mask.shape):
                whole.append(region)
            if least >= limit:
                parts.append([region])
            elif convexity < settings.min_convexity:
                rejections.append(Rejection(region=region, reason=Reason.LOW_CONVEXITY))
            elif settings.max_holes is not None and _holes(region.mask) > settings.max_holes:
                rejections.append(Rejection(region=region, reason=Reason.TOO_MANY_HOLES))
            else:
                parts.append([])
                clumps.append((region, parts[-1]))
    population = population_of(whole) if settings.method == "contour" else UNKNOWN
    for clump, into in clumps:
        found, given_up = SEPARATORS[settings.method](
            replace(clump, mask=clump.mask & ~_view(gaps, clump)),
            shape=mask.shape,
            smallest_px=smallest_px,
            settings=settings,
            population=population,
        )
        into += [_finished(part, clump, smallest_px, settings.method) for part in found]
        rejections += given_up
    return [part for group in parts for part in group], rejections


def sift(
    parts: Sequence[Region], micrograph: tuple[int, int], smallest_px: int
) -> tuple[list[Region], list[Rejection]]:
    """Give up the parts that touch the border of the micrograph, or are too small.

    Each particle by itself, not its whole clump: the others of the clump are complete.
    """
    kept: list[Region] = []
    rejections: list[Rejection] = []
    for region in parts:
        if touches_border(region, micrograph):
            rejections.append(Rejection(region=region, reason=Reason.TOUCHES_BORDER))
        elif np.count_nonzero(region.mask) < smallest_px:
            rejections.append(Rejection(region=region, reason=Reason.TOO_SMALL))
        else:
            kept.append(region)
    return kept, rejections


def _cut(region: Region, contacts: Mask, smallest_px: int, method: str) -> list[Region]:
    """Part a region along the contacts; their pixels, and splinters, go to the nearest part."""
    row, column = region.origin_px
    cores = region.mask & ~_view(contacts, region)
    cores &= ~speckles(cores, smallest_px)
    labels, count = ndimage.label(cores, np.ones((3, 3)))
    if count < 2:
        return [region]
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    labels = np.where(region.mask, labels[tuple(nearest)], 0)
    return [
        Region(
            origin_px=(row + piece.origin_px[0], column + piece.origin_px[1]),
            mask=piece.mask,
            separated=True,
            separated_by=method,
            visible_fraction=visible_fraction(piece.mask, region.mask, *piece.origin_px),
        )
        for number in range(1, count + 1)
        # what the nearest core cannot reach within the region stays with the region's other particles
        for piece in sorted(regions(labels == number), key=lambda piece: -np.count_nonzero(piece.mask))[:1]
    ]


def _view(mask: Mask, region: Region) -> Mask:
    """The part of a whole mask that a region's crop covers."""
    row, column = region.origin_px
    height, width = region.mask.shape
    return mask[row : row + height, column : column + width]


def _finished(part: Region, clump: Region, smallest_px: int, method: str) -> Region:
    """A part without small holes, with its method and how much of its outline is that of the clump."""
    mask = part.mask | small_holes(part.mask, smallest_px)
    if not part.separated:
        return replace(part, mask=mask)
    row, column = (part.origin_px[axis] - clump.origin_px[axis] for axis in (0, 1))
    return replace(
        part,
        mask=mask,
        separated_by=part.separated_by or method,
        visible_fraction=visible_fraction(mask, clump.mask, row, column),
    )


def _holes(mask: Mask) -> int:
    """Number of parts of the background that the region encloses."""
    _, count = ndimage.label(~np.pad(mask, 1))
    return int(count) - 1
