"""From the mask of a region to its outline in px, of which all descriptors are taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from temwatch.analysis.measurement.outline import describe
from temwatch.analysis.measurement.sub_pixel import describe_polygon, hole_area, outline_between_pixels
from temwatch.descriptors import Outline
from temwatch.domain import Level, Mask, Region


def outline(mask: Mask, origin_px: tuple[int, int] = (0, 0), visible_fraction: float = 1.0) -> Outline:
    """Trace around the region in `mask`.

    Parameters
    ----------
    mask
        One region (8-connected) as a tight crop, shape (y, x), at least one pixel.
    origin_px
        Row and column of the crop's first pixel in the micrograph.
    visible_fraction
        Share of the outline that was seen.
    """
    traced = describe(np.ascontiguousarray(mask, dtype=np.bool_))
    return Outline(*traced, *origin_px, visible_fraction)


def outline_of_region(region: Region) -> Outline:
    """What the outline of a region yields: between the pixels where that is known, else of its pixels."""
    if region.outline is None:
        return outline(region.mask, region.origin_px, region.visible_fraction)
    found = Outline(*describe_polygon(region.outline), *region.origin_px, region.visible_fraction)
    return found._replace(
        area=found.area - hole_area(np.ascontiguousarray(region.mask)),
        centroid_row=found.centroid_row - found.origin_row,
        centroid_column=found.centroid_column - found.origin_column,
    )


def with_outlines(regions: Iterable[Region], level: Level | None) -> list[Region]:
    """The regions with their outlines between the pixels, where the micrograph's level is known."""
    if level is None:
        return list(regions)
    return [
        replace(
            region,
            outline=outline_between_pixels(np.ascontiguousarray(region.mask), level, *region.origin_px),
        )
        for region in regions
    ]
