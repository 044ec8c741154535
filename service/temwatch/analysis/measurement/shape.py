"""Shape descriptors of one region, in px: one function a descriptor, after ISO 9276-6.

All of them are taken from one trace around the region, an `Outline`, which `outline(mask)` makes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from temwatch.analysis.measurement.outline import describe
from temwatch.domain import Mask


class Outline(NamedTuple):
    """What one trace around a region yields; lengths in px, areas in px, the centroid in pixel indices.

    Attributes
    ----------
    area
        Number of pixels; pixels of holes do not count.
    centroid_row, centroid_column
        Centre of mass; 0 is the centre of the crop's first pixel.
    perimeter
        Length of the outer outline: the minimum-length polygon between the pixels on both sides of it,
        lengthened by what it cuts off at its bends. Mean error over sub-pixel positions: discs of r >= 6 px
        below 0.2 %, ellipses 0.3 %, rectangles with a short side of 20 px or more 1 %.
    hull_perimeter
        Perimeter of the convex hull, measured the same way.
    hull_area
        Number of pixels whose centres lie in the convex hull of the region's pixel centres.
    feret_min, feret_max
        Smallest and largest distance between parallel tangents, on pixel corners.
    """

    area: int
    centroid_row: float
    centroid_column: float
    perimeter: float
    hull_perimeter: float
    hull_area: float
    feret_min: float
    feret_max: float


def outline(mask: Mask) -> Outline:
    """Trace around the region in `mask`.

    Parameters
    ----------
    mask
        One region (8-connected) as a tight crop, shape (y, x), at least one pixel.
    """
    return Outline(*describe(np.ascontiguousarray(mask, dtype=np.bool_)))


def equivalent_diameter(outline: Outline) -> float:
    """Diameter of the disc of equal area, px (ISO 9276-6)."""
    return math.sqrt(4 * outline.area / math.pi)


def moved_diameter(outline: Outline, distance: float) -> float:
    """Equivalent diameter, px, after moving the outline outwards by `distance` px (inwards: less than 0).

    Steiner's formula, exact for convex regions as long as any of them is left.
    """
    area = outline.area + distance * outline.perimeter + math.pi * distance**2
    # inwards the formula grows again once nothing is left
    if distance < 0 and outline.perimeter < 2 * math.pi * -distance:
        return 0.0
    return math.sqrt(4 * max(area, 0.0) / math.pi)


def circularity(outline: Outline) -> float:
    """4 pi area / perimeter^2: 1 for a disc, pi / 4 for a square (ISO 9276-6)."""
    return 4 * math.pi * outline.area / outline.perimeter**2


def convexity(outline: Outline) -> float:
    """Perimeter of the convex hull / perimeter, both measured the same way: 1 for any convex region."""
    return outline.hull_perimeter / outline.perimeter


def solidity(outline: Outline) -> float:
    """Area / area of the convex hull, both in pixels: 1 for the pixels of any convex shape (ISO 9276-6)."""
    return outline.area / outline.hull_area


def aspect_ratio(outline: Outline) -> float:
    """Maximum / minimum Feret diameter, at least 1."""
    return outline.feret_max / outline.feret_min
