"""Outlines of regions as polygons: with few corners for a page or a drawing, or as they were measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.measurement import outline
from temwatch.analysis.measurement.sub_pixel import simplified
from temwatch.domain import Region

_FEWEST_CORNERS = 3
_TOLERANCE_PX = 0.1
"""An outline between the pixels has a corner for each of them; those that are within this of a line between
others are left out."""


def polygon(region: Region) -> list[float]:
    """Outline of a region in px of the micrograph: x, y, x, y ... with pixel (0, 0) centred at (0.5, 0.5).

    That between the pixels where it is known; else the shortest polygon between the pixels inside and outside
    the outline, which is never further than a pixel from it. A region too small for that gets the corners of
    its pixels.
    """
    if region.outline is not None:
        fewer = simplified(region.outline, _TOLERANCE_PX)
        if len(fewer) >= _FEWEST_CORNERS:
            found: list[float] = (fewer[:, ::-1] + 0.5).ravel().tolist()
            return found
    corners, inside, outside = outline.trace(region.mask)
    points, offset = outline.shortest_polygon(inside, outside), 0.5
    if len(points) < _FEWEST_CORNERS:
        points, offset = corners, 0.0
    row, column = region.origin_px
    moved = points[:, ::-1] + (column + offset, row + offset)
    flat: list[float] = moved.ravel().tolist()
    return flat


def measured_polygon(region: Region) -> NDArray[np.float64]:
    """Outline of a region as it was measured: x and y of each corner in px of the micrograph, (corners, 2).

    The corner of the micrograph is (0, 0) and the centre of its first pixel (0.5, 0.5), as in ImageJ and
    QuPath. Between the pixels where that is known; else along their edges, so that the area is their number.
    Holes are not cut out.
    """
    if region.outline is not None and len(region.outline) >= _FEWEST_CORNERS:
        return np.ascontiguousarray(region.outline[:, ::-1]) + 0.5
    corners, _, _ = outline.trace(np.ascontiguousarray(region.mask))
    row, column = region.origin_px
    return np.asarray(corners[:, ::-1] + (column, row), np.float64)
