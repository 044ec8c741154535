"""How likely it is that the parts into which a clump was separated are particles.

Six properties of a part speak for or against it: its size and elongation beside those of the particles that
stand alone, how far it is from convex, how much of its outline is hidden, and how much of it lies in other
parts. Each counts by what it is worth as evidence, the logarithm of a likelihood ratio; their sum is the
logarithm of the odds that the part is a particle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from temwatch import descriptors
from temwatch.analysis.measurement import shape
from temwatch.analysis.measurement.outline import visible_fraction
from temwatch.analysis.separation.prior import ParticlePrior, ellipse_of
from temwatch.domain import Mask, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceParameters:
    """Weights of the evidence, in units of e.

    One logistic regression gave all of them, on the parts that UECS, watershed and contour propose for 144
    simulated masks: ellipses, facetted particles and rods (seeds 101 to 103), 60 masks of all shapes, sizes,
    spreads, roughnesses and overlaps, and 60 of dented and angular particles that touch. A part counts as
    right from an intersection over union of 0.9 with a true particle on, as wrong up to 0.4, and in between
    in proportion.
    """

    convex_alone: float = 3.96
    """Of a part that is in no way unusual."""
    larger: float = -0.92
    """Of a size above that of the particles that stand alone, a unit of the logarithm of its improbability
    (`_improbability`)."""
    smaller: float = -0.67
    """The same below it."""
    larger_in_clump: float = -2.68
    """The same above the clump's median, where hardly any particle stands alone."""
    smaller_in_clump: float = -4.72
    """The same below it."""
    longer: float = -0.26
    """The same for an elongation above that of the particles that stand alone."""
    rounder: float = -0.76
    """The same below it."""
    not_convex: float = -1.16
    """A tolerance by which the solidity is below 1."""
    hidden: float = -5.06
    """An outline that is hidden altogether; counts by the square of the share."""
    covered: float = -0.47
    """A part that lies altogether in other parts; counts by the square of the share."""
    covered_rough: float = -1.39
    """The same, in addition, for each `roughness_unit` of the particles that stand alone: where outlines are
    rough, a dent is no sign of two particles that overlap."""

    size_freedom: float = 4.0
    """Degrees of freedom of the t distributions of sizes and elongations."""
    min_spread: float = 0.1
    """Least standard deviation of the logarithm of the radius."""
    min_elongation_spread: float = 0.07
    """Least standard deviation of the elongation."""
    spread_in_clump: float = 0.35
    """Standard deviation of the logarithm of the radius within a clump."""
    max_elongation: float = 1.0
    """Elongation of what no ellipse fits: an aspect ratio of 7."""
    solidity_px: float = 0.6
    """px; an outline on the pixel grid is off by so much, ..."""
    solidity_radii: float = 0.03
    """... and, of a rough particle, by this share of its radius: the tolerance of the solidity."""
    max_tolerances: float = 4.0
    """What is further from convex counts no more."""
    smooth: float = 0.015
    """Roughness, over the radius, of smooth particles."""
    roughness_unit: float = 0.03
    """Roughness beyond that which counts once, and at most twice."""
    usual_roughness: float = 0.03
    """Roughness that is expected before any particle was seen."""


PARAMETERS = EvidenceParameters()


def probabilities(
    parts: Sequence[Region], clump: Region, prior: ParticlePrior, contacts: Mask | None
) -> list[float]:
    """Probability, 0 to 1, that each part is a particle.

    Parameters
    ----------
    parts : sequence of Region
        What one method makes of the clump.
    clump : Region
        A connected region of the mask.
    prior : ParticlePrior
        What the particles that stand alone on the micrograph are like.
    contacts : bool, like the clump, or None
        Where touching particles meet: an outline along these lines is seen.
    """
    background = clump.mask if contacts is None else clump.mask & ~contacts
    covers = np.zeros(clump.mask.shape, np.uint16)
    places = [
        (part.origin_px[0] - clump.origin_px[0], part.origin_px[1] - clump.origin_px[1]) for part in parts
    ]
    views = []
    for part, (row, column) in zip(parts, places, strict=True):
        height, width = part.mask.shape
        views.append(covers[row : row + height, column : column + width])
        views[-1][...] += part.mask
    areas = [int(np.count_nonzero(part.mask)) for part in parts]
    radii = [math.sqrt(area / math.pi) for area in areas]
    middle = float(np.median(radii)) if radii else 1.0
    covered_weight = _weight_of_covered(prior)
    found = []
    for index, part in enumerate(parts):
        alone = np.count_nonzero((views[index] == 1) & part.mask)
        hidden = 1 - visible_fraction(part.mask, background, *places[index])
        odds = (
            PARAMETERS.convex_alone
            + _of_size(radii[index], middle, prior)
            + _of_shape(part.mask, radii[index], prior)
            + PARAMETERS.hidden * hidden**2
            + covered_weight * (1 - alone / areas[index]) ** 2
        )
        found.append(1 / (1 + math.exp(-odds)))
    return found


def _improbability(deviations: float) -> float:
    """Negative logarithm of a t distribution's density, over that of its mean."""
    freedom = PARAMETERS.size_freedom
    return (freedom + 1) / 2 * math.log(1 + deviations**2 / freedom)


def _of_size(radius: float, middle: float, prior: ParticlePrior) -> float:
    """Evidence of a radius in px beside the prior and, where that is weak, beside the clump's median."""
    by_prior = prior.trust * (math.log(radius) - prior.log_radius) / max(prior.spread, PARAMETERS.min_spread)
    by_clump = (1 - prior.trust) * math.log(radius / middle) / PARAMETERS.spread_in_clump
    return (PARAMETERS.larger if by_prior > 0 else PARAMETERS.smaller) * _improbability(by_prior) + (
        PARAMETERS.larger_in_clump if by_clump > 0 else PARAMETERS.smaller_in_clump
    ) * _improbability(by_clump)


def _of_shape(mask: Mask, radius: float, prior: ParticlePrior) -> float:
    """Evidence of a part's elongation and of its dents."""
    ellipse = ellipse_of(np.ascontiguousarray(mask))
    elongation = PARAMETERS.max_elongation
    if ellipse[2] > 0:
        elongation = min(math.log(ellipse[2] / ellipse[3]) / 2, elongation)
    spread = max(prior.elongation_spread, PARAMETERS.min_elongation_spread)
    longer = prior.trust * (elongation - prior.elongation) / spread
    tolerance = PARAMETERS.solidity_px / radius + PARAMETERS.solidity_radii
    dents = max(1 - descriptors.solidity(shape.outline(mask)), 0.0) / tolerance
    return (PARAMETERS.longer if longer > 0 else PARAMETERS.rounder) * _improbability(
        longer
    ) + PARAMETERS.not_convex * min(dents, PARAMETERS.max_tolerances)


def _weight_of_covered(prior: ParticlePrior) -> float:
    """Evidence of a part that lies altogether in other parts."""
    roughness = prior.trust * prior.roughness + (1 - prior.trust) * PARAMETERS.usual_roughness
    units = min(max((roughness - PARAMETERS.smooth) / PARAMETERS.roughness_unit, 0.0), 2.0)
    return PARAMETERS.covered + PARAMETERS.covered_rough * units
