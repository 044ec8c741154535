"""Ultimate erosion of convex shapes (Park, Huang, Ji, Ding, IEEE TPAMI 35 (2013) 669).

A region is eroded until its parts are convex; each part is then dilated back by as many steps, within the
outline of the region. Parts grow independently, so that an overlap belongs to both particles.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from temwatch.analysis import cleaning, shape
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Reason, Region, Rejection

_SQUARE = np.ones((2, 2), dtype=bool)
_CROSS = ndimage.generate_binary_structure(2, 1)


def separate(
    region: Region, settings: SeparationSettings, smallest_px: int
) -> tuple[list[Region], list[Rejection]]:
    """Part a region that is not convex.

    Returns
    -------
    parts
        The region itself where it is convex, else what grew back from its markers.
    rejections
        What grew back and is not convex, and markers that were dropped (`vanishing_markers = "drop"`).
    """
    if shape.convexity(shape.outline(region.mask)) >= settings.convexity_threshold:
        return [region], []
    canvas = np.pad(region.mask, 1)
    parts, rejections = [], []
    for marker, steps in _markers(canvas, settings):
        if settings.vanishing_markers == "drop" and marker.sum() < max(settings.min_marker_px, smallest_px):
            rejections.append(Rejection(region=_placed(marker, region), reason=Reason.NOT_SEPARABLE))
            continue
        grown = _placed(_regrown(marker, steps, canvas), region)
        if shape.convexity(shape.outline(grown.mask)) < settings.convexity_threshold:
            rejections.append(Rejection(region=grown, reason=Reason.NOT_SEPARABLE))
        else:
            parts.append(grown)
    return parts, rejections


def _markers(canvas: Mask, settings: SeparationSettings) -> list[tuple[Mask, int]]:
    """Parts of the eroded region at the step where each is convex, or before it vanishes, with that step."""
    found: list[tuple[Mask, int]] = []
    waiting = [(canvas, 0)]
    while waiting:
        current, steps = waiting.pop()
        eroded = ndimage.binary_erosion(current, _SQUARE if steps % 2 == 0 else _CROSS)
        pieces = cleaning.regions(eroded)
        if not pieces:
            found.append((current, steps))
            continue
        for piece in pieces:
            alone = np.zeros_like(canvas)
            row, column = piece.origin_px
            height, width = piece.mask.shape
            alone[row : row + height, column : column + width] = piece.mask
            if shape.convexity(shape.outline(piece.mask)) > settings.convexity_threshold:
                found.append((alone, steps + 1))
            else:
                waiting.append((alone, steps + 1))
    return found


def _regrown(marker: Mask, steps: int, canvas: Mask) -> Mask:
    grown = marker
    for step in range(steps, 0, -1):
        # the reflected square undoes the drift of the 2 x 2 erosion
        grown = (
            ndimage.binary_dilation(grown, _SQUARE, origin=-1)
            if step % 2 == 1
            else ndimage.binary_dilation(grown, _CROSS)
        ) & canvas
    return grown


def _placed(mask: Mask, region: Region) -> Region:
    """The largest part of a mask on the padded canvas, as a tight crop in the micrograph."""
    part = max(cleaning.regions(mask), key=lambda crop: int(crop.mask.sum()))
    row, column = part.origin_px
    return Region(
        origin_px=(region.origin_px[0] + row - 1, region.origin_px[1] + column - 1),
        mask=part.mask,
        separated=True,
    )
