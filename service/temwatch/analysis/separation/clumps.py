"""From a clean mask to the regions of single particles: what is separated, and what is given up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from temwatch import descriptors
from temwatch.analysis import separation
from temwatch.analysis.measurement import shape
from temwatch.analysis.measurement.outline import visible_fraction
from temwatch.analysis.separation.cleaning import (
    find_regions,
    find_small_holes,
    touches_border,
)
from temwatch.analysis.separation.contacts import cut, view
from temwatch.analysis.separation.prior import NO_PRIOR, describe_lone, prior_from
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Reason, Region, Rejection
from temwatch.lone_particles import LoneParticles, completed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeparatedMask:
    """Regions in reading order, convex or separated, which may overlap, and those that are given up.

    `lone` are the particles that stand alone, None where the method does not ask what they are like.
    """

    regions: list[Region]
    rejections: list[Rejection]
    lone: LoneParticles | None


def separate_clumps(
    mask: Mask,
    *,
    gaps: Mask,
    contacts: Mask | None,
    min_area_px: int,
    settings: SeparationSettings,
    beyond: Mask | None = None,
    sample_prior: LoneParticles | None = None,
) -> SeparatedMask:
    """Separate the clumps of a mask: regions below the convexity threshold.

    Parameters
    ----------
    mask : bool, (y, x)
        Without speckles and small holes.
    gaps : bool, (y, x)
        The holes that were closed. Within a clump they are the background between its particles, so they
        stay open until it is separated.
    contacts : bool, (y, x), or None
        Where touching particles meet; left aside by a method that does not use contacts.
    min_area_px : int
        Nothing smaller counts as a particle, px.
    settings : SeparationSettings
        Method and thresholds.
    beyond : bool, (y, x), or None
        As for `touches_border`.
    sample_prior : LoneParticles or None
        What stands alone on other micrographs of the sample, px.
    """
    separator = separation.SEPARATORS[settings.method]
    clump_convexity = max(settings.convexity_threshold, separator.clump_convexity)
    contacts = contacts if separator.uses_contacts else None
    cuts, weighed = (None, contacts) if separator.weighs_contacts else (contacts, None)
    # in reading order; the list of a clump is filled once all regions have been seen
    particles: list[list[Region]] = []
    rejections: list[Rejection] = []
    clumps: list[tuple[Region, list[Region]]] = []
    whole: list[Region] = []
    for region in _cut_at_contacts(mask, cuts, min_area_px, settings.method):
        outline = shape.outline(region.mask)
        convexity = descriptors.convexity(outline)
        # a shallow notch shows in the solidity first
        least = min(convexity, descriptors.solidity(outline))
        # a contact may cross what is convex
        has_contact = weighed is not None and bool((region.mask & view(weighed, region)).any())
        is_whole = least >= settings.convexity_threshold and not has_contact
        if is_whole and not touches_border(region, mask.shape, beyond):
            whole.append(region)
        if least >= clump_convexity and not has_contact:
            particles.append([region])
        elif convexity < settings.min_convexity:
            rejections.append(Rejection(region=region, reason=Reason.LOW_CONVEXITY))
        elif settings.max_holes is not None and _count_holes(region.mask) > settings.max_holes:
            rejections.append(Rejection(region=region, reason=Reason.TOO_MANY_HOLES))
        else:
            particles.append([])
            clumps.append((region, particles[-1]))
    lone = describe_lone(whole) if separator.uses_prior else None
    expected = lone
    if lone is not None and sample_prior is not None and separator.uses_sample:
        expected = completed(lone, sample_prior)
    prior = NO_PRIOR if expected is None else prior_from(expected)
    for clump, found in clumps:
        parts, given_up = separator.separate(
            replace(clump, mask=clump.mask & ~view(gaps, clump)),
            shape=mask.shape,
            min_area_px=min_area_px,
            settings=settings,
            prior=prior,
            contacts=None if weighed is None else view(weighed, clump),
        )
        found += [_finish(part, clump, min_area_px, settings.method) for part in parts]
        rejections += given_up
    regions = [region for found in particles for region in found]
    return SeparatedMask(regions=regions, rejections=rejections, lone=lone)


def filter_particles(
    regions: Sequence[Region], micrograph: tuple[int, int], min_area_px: int, beyond: Mask | None = None
) -> tuple[list[Region], list[Rejection]]:
    """Reject the regions that touch the border of the micrograph, or are too small.

    Only the particle is rejected, not its clump: the others of the clump are complete.

    Parameters
    ----------
    regions : sequence of Region
        Single particles.
    micrograph : tuple of int
        Rows and columns of the micrograph.
    min_area_px : int
        Nothing smaller counts as a particle, px.
    beyond : bool, (y, x), or None
        As for `touches_border`.
    """
    particles: list[Region] = []
    rejections: list[Rejection] = []
    for region in regions:
        if touches_border(region, micrograph, beyond):
            rejections.append(Rejection(region=region, reason=Reason.TOUCHES_BORDER))
        elif np.count_nonzero(region.mask) < min_area_px:
            rejections.append(Rejection(region=region, reason=Reason.TOO_SMALL))
        else:
            particles.append(region)
    return particles, rejections


def _cut_at_contacts(mask: Mask, contacts: Mask | None, min_area_px: int, method: str) -> Iterator[Region]:
    """The connected regions of a mask, each cut along the contacts where there are any."""
    for region in find_regions(mask):
        if contacts is None:
            yield region
        else:
            yield from cut(region, view(contacts, region), min_area_px, method)


def _finish(part: Region, clump: Region, min_area_px: int, method: str) -> Region:
    """A part without small holes, with its method and how much of its outline is that of the clump."""
    mask = part.mask | find_small_holes(part.mask, min_area_px)
    if not part.separated:
        return replace(part, mask=mask)
    row, column = (part.origin_px[axis] - clump.origin_px[axis] for axis in (0, 1))
    return replace(
        part,
        mask=mask,
        separated_by=part.separated_by or method,
        visible_fraction=visible_fraction(mask, clump.mask, row, column),
    )


def _count_holes(mask: Mask) -> int:
    """Number of parts of the background that the region encloses."""
    _, count = ndimage.label(~np.pad(mask, 1))
    return int(count) - 1
