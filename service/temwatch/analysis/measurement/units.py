"""From px to nm and back: the only place where the unit changes."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.measurement import shape
from temwatch.config import SeparationSettings
from temwatch.domain import Particle, Region

Lengths = TypeVar("Lengths", float, NDArray[np.float64])


def to_nm(lengths_px: Lengths, pixel_size_nm: float) -> Lengths:
    """Lengths in px, a number or an array of any shape, in nm."""
    return lengths_px * pixel_size_nm


def to_px(lengths_nm: Lengths, pixel_size_nm: float) -> Lengths:
    """Lengths in nm, a number or an array of any shape, in px."""
    return lengths_nm / pixel_size_nm


def disc_area_px(diameter_nm: float, pixel_size_nm: float) -> int:
    """Area in px of a disc of `diameter_nm`, rounded up."""
    return math.ceil(math.pi / 4 * (diameter_nm / pixel_size_nm) ** 2)


def measure(region: Region, *, pixel_size_nm: float, settings: SeparationSettings) -> Particle:
    """All descriptors of a region.

    Parameters
    ----------
    region
        Tight crop of an 8-connected region.
    pixel_size_nm
        Edge of a pixel, nm.
    settings
        Its convexity threshold: a particle below it is labelled as overlapping.
    """
    outline = shape.outline(region.mask)
    row, column = region.origin_px
    convexity = shape.convexity(outline)
    return Particle(
        # positions count from the outer corner of the first pixel, whose centre is at half a pixel
        centroid_x_nm=(column + outline.centroid_column + 0.5) * pixel_size_nm,
        centroid_y_nm=(row + outline.centroid_row + 0.5) * pixel_size_nm,
        area_nm2=outline.area * pixel_size_nm**2,
        equivalent_diameter_nm=shape.equivalent_diameter(outline) * pixel_size_nm,
        feret_min_nm=outline.feret_min * pixel_size_nm,
        feret_max_nm=outline.feret_max * pixel_size_nm,
        aspect_ratio=shape.aspect_ratio(outline),
        perimeter_nm=outline.perimeter * pixel_size_nm,
        circularity=shape.circularity(outline),
        convexity=convexity,
        solidity=shape.solidity(outline),
        overlapping=convexity < settings.convexity_threshold,
        region=region,
        separated_by=region.separated_by,
        visible_fraction=region.visible_fraction,
        equivalent_diameter_low_nm=shape.moved_diameter(outline, -1.0) * pixel_size_nm,
        equivalent_diameter_high_nm=shape.moved_diameter(outline, 1.0) * pixel_size_nm,
    )
