"""Arcs of the outline joined to convex particles: for particles that overlap by much.

The outline of a clump is cut where it bends inwards; its arcs are joined to particles (`grouping`); what of a
particle's outline is hidden in the clump is completed (`completion`), by an ellipse where one fits, else in
the directions in which the arcs end. So ellipses, rods and facetted particles are all found, and an overlap
belongs to both. Where outlines say nothing, because a clump bends inwards on one side only, UECS parts it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from temwatch.analysis.outline import convexity
from temwatch.analysis.separation import uecs
from temwatch.analysis.separation.arcs import arcs_of
from temwatch.analysis.separation.completion import parts_of
from temwatch.analysis.separation.distance import squared_distances
from temwatch.analysis.separation.grouping import grouped
from temwatch.config import SeparationSettings
from temwatch.domain import Region, Rejection

CLUMP_CONVEXITY = 0.98
"""Two particles that overlap by more than half are a region above the usual threshold of 0.95; its outline
shows them all the same."""
MOST_ARCS = 1500
"""Pairs of arcs are compared, so a clump of some 500 particles and more would take minutes: UECS parts it."""


def separate(
    clump: Region, *, shape: tuple[int, int], smallest_px: int, settings: SeparationSettings
) -> tuple[list[Region], list[Rejection]]:
    """Part a clump; see `Separator`."""
    canvas = np.pad(clump.mask, 1)
    row, column = clump.origin_px[0] - 1, clump.origin_px[1] - 1
    squared = squared_distances(canvas)
    arcs = arcs_of(canvas, squared)
    if 1 < len(arcs.starts) - 1 <= MOST_ARCS:
        pixels, parts = parts_of(canvas, arcs, grouped(arcs, canvas))
        if len(parts) > 1:
            return [
                Region(
                    origin_px=(row + top, column + left),
                    mask=pixels[begin : begin + height * width].reshape(height, width),
                    separated=True,
                    separated_by="contour",
                )
                for begin, top, left, height, width in parts.tolist()
            ], []
    if convexity(clump.mask) >= settings.convexity_threshold:
        return [clump], []
    found, given_up = uecs.separate(clump, shape=shape, smallest_px=smallest_px, settings=settings)
    return [replace(part, separated_by="uecs" if part.separated else "") for part in found], given_up
