"""Arcs of the outline joined to convex particles: for particles with a large overlap.

The outline of a clump is cut where it bends inwards; its arcs are joined to particles (`grouping`); what of a
particle's outline is hidden in the clump is completed (`completion`), by an ellipse where one fits, else in
the directions in which the arcs end. What is likely is learned from the particles that stand alone on the
same micrograph (`prior`): their sizes, aspect ratios and roughness. So ellipses, rods and facetted
particles are all found, and an overlap belongs to both. Where outlines are no evidence, because a clump
bends inwards on one side only, UECS separates it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from temwatch import descriptors
from temwatch.analysis.measurement import shape as shapes
from temwatch.analysis.measurement.outline import convexity
from temwatch.analysis.separation import uecs, watershed
from temwatch.analysis.separation.arcs import find_arcs
from temwatch.analysis.separation.completion import complete_particles
from temwatch.analysis.separation.contour_parameters import PARAMETERS
from temwatch.analysis.separation.distance import squared_distances
from temwatch.analysis.separation.grouping import group_arcs, largest_hidden_share
from temwatch.analysis.separation.prior import NO_PRIOR, ParticlePrior
from temwatch.analysis.separation.separator import Separator
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Region, Rejection

_OTHERS = {"uecs": uecs.separate, "watershed": watershed.separate}


def separate(
    clump: Region,
    *,
    shape: tuple[int, int],
    min_area_px: int,
    settings: SeparationSettings,
    prior: ParticlePrior = NO_PRIOR,
    contacts: Mask | None = None,
) -> tuple[list[Region], list[Rejection]]:
    """Separate a clump; see `SeparateClump`."""
    del contacts
    found = propose(clump, shape=shape, min_area_px=min_area_px, settings=settings, prior=prior)
    if found is not None:
        return found
    if convexity(clump.mask) >= settings.convexity_threshold:
        return [clump], []
    return _separate_by("uecs", clump, shape, min_area_px, settings)


def propose(
    clump: Region,
    *,
    shape: tuple[int, int],
    min_area_px: int,
    settings: SeparationSettings,
    prior: ParticlePrior,
) -> tuple[list[Region], list[Rejection]] | None:
    """What the outline says of a clump, as `SeparateClump`; None where it is no evidence."""
    if not prior.are_ellipses and _is_dented(clump, shape, min_area_px, settings):
        return [clump], []
    canvas = np.pad(clump.mask, 1)
    row, column = clump.origin_px[0] - 1, clump.origin_px[1] - 1
    squared = squared_distances(canvas)
    arcs = find_arcs(canvas, squared)
    if 1 < len(arcs.starts) - 1 <= PARAMETERS.max_arcs:
        expected = prior.in_clump(arcs.radius)
        group = None
        if PARAMETERS.facetted_roughness < expected[3] < math.inf:
            any_shape = np.append(expected[:3], math.inf)
            group = group_arcs(arcs, canvas, any_shape)
            if largest_hidden_share(arcs, group) <= PARAMETERS.mostly_seen_share:
                expected = any_shape
            else:
                group = None
        if group is None:
            group = group_arcs(arcs, canvas, expected)
        pixels, parts = complete_particles(canvas, arcs, group, expected)
        if len(parts) > 1:
            radius_px = math.sqrt(squared.max())
            if prior.is_known:
                radius_px = min(radius_px, math.exp(prior.log_radius))
            if _is_rough(pixels, parts, radius_px):
                others = [_separate_by(name, clump, shape, min_area_px, settings) for name in _OTHERS]
                found, given_up = min(others, key=lambda other: len(other[0]))
                if len(found) < len(parts):
                    return found, given_up
            return [
                Region(
                    origin_px=(row + top, column + left),
                    mask=pixels[begin : begin + height * width].reshape(height, width),
                    separated=True,
                    separated_by="contour",
                )
                for begin, top, left, height, width in parts.tolist()
            ], []
    return None


def _separate_by(
    name: str, clump: Region, shape: tuple[int, int], min_area_px: int, settings: SeparationSettings
) -> tuple[list[Region], list[Rejection]]:
    """The clump as another method separates it, under that method's name."""
    found, given_up = _OTHERS[name](clump, shape=shape, min_area_px=min_area_px, settings=settings)
    return [replace(part, separated_by=name if part.separated else "") for part in found], given_up


def _is_rough(pixels: NDArray[np.bool_], parts: NDArray[np.intp], radius_px: float) -> bool:
    """Whether half of the parts are bumps of something larger: feathers and crusts, not a crowd."""
    areas = np.array([pixels[begin : begin + h * w].sum() for begin, _, _, h, w in parts.tolist()])
    bumps = areas < np.pi * (PARAMETERS.bump_radii * radius_px) ** 2
    return bool(np.count_nonzero(bumps) >= len(bumps) / 2)


def _is_dented(clump: Region, shape: tuple[int, int], min_area_px: int, settings: SeparationSettings) -> bool:
    """Whether a clump may as well be one particle with a waist or a dent: erosion does not separate it."""
    outline = shapes.outline(clump.mask)
    least = min(descriptors.convexity(outline), descriptors.solidity(outline))
    if least >= settings.convexity_threshold:
        return True
    if least < PARAMETERS.dented_convexity:
        return False
    found, _ = uecs.separate(clump, shape=shape, min_area_px=min_area_px, settings=settings)
    return len(found) == 1 and not found[0].separated


SEPARATOR = Separator(
    separate=separate,
    description="arcs of the outline joined to convex particles",
    clump_convexity=PARAMETERS.clump_convexity,
    uses_prior=True,
)
