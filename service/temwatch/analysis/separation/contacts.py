"""Cuts a region along the lines where a network sees that touching particles meet."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from temwatch.analysis.measurement.outline import visible_fraction
from temwatch.analysis.separation.cleaning import find_regions, find_speckles
from temwatch.domain import Mask, Region


def cut(region: Region, contacts: Mask, min_area_px: int, name: str) -> list[Region]:
    """Cut a region along the contacts; their pixels, and splinters, go to the nearest part.

    Parameters
    ----------
    region : Region
        A connected region of the mask.
    contacts : bool, like the region
        Where touching particles meet.
    min_area_px : int
        Nothing smaller is a part, px.
    name : str
        `separated_by` of the parts.
    """
    row, column = region.origin_px
    cores = region.mask & ~contacts
    cores &= ~find_speckles(cores, min_area_px)
    labels, count = ndimage.label(cores, np.ones((3, 3)))
    if count < 2:
        return [region]
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    labels = np.where(region.mask, labels[tuple(nearest)], 0)
    return [
        Region(
            origin_px=(row + part.origin_px[0], column + part.origin_px[1]),
            mask=part.mask,
            separated=True,
            separated_by=name,
            visible_fraction=visible_fraction(part.mask, region.mask, *part.origin_px),
        )
        for number in range(1, count + 1)
        # what the nearest core cannot reach within the region stays with the region's other particles
        for part in sorted(find_regions(labels == number), key=lambda part: -np.count_nonzero(part.mask))[:1]
    ]


def view(mask: Mask, region: Region) -> Mask:
    """The part of a whole mask that a region's crop covers."""
    row, column = region.origin_px
    height, width = region.mask.shape
    return mask[row : row + height, column : column + width]
