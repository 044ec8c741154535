"""What to expect of the particles in a micrograph's clumps, learned from those that stand alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.measurement.outline import trace
from temwatch.analysis.separation.arcs import gaussian, midpoints, smooth_closed
from temwatch.analysis.separation.contour_parameters import PARAMETERS
from temwatch.analysis.separation.ellipse_fitting import Floats, conic_sums, fit_ellipse
from temwatch.domain import Region
from temwatch.lone_particles import LoneParticles

PRIOR_MIN_AREA_PX = PARAMETERS.prior_min_area_px
USUAL_SPREAD = PARAMETERS.usual_spread
USUAL_ECCENTRICITY = PARAMETERS.usual_eccentricity
USUAL_WEIGHT = PARAMETERS.usual_weight
USUAL_ELONGATION = USUAL_ECCENTRICITY * math.sqrt(math.pi / 2)
"""Mean length of two components that both have that standard deviation."""
MIN_SPREAD = PARAMETERS.min_spread
MIN_ECCENTRICITY = PARAMETERS.min_eccentricity
MIN_ROUGHNESS = PARAMETERS.min_roughness
MAX_ROUGHNESS = PARAMETERS.max_roughness
ROD_ECCENTRICITY = PARAMETERS.rod_eccentricity
ROD_ROUGHNESS = PARAMETERS.rod_roughness
SMOOTHING_PX = PARAMETERS.smoothing_px


class ParticlePrior(NamedTuple):
    """Sizes and shapes of particles that stand alone, each counted by its area.

    A clump's pixels are those of its large particles, and specks are many: counted by number they would
    decide.

    Attributes
    ----------
    worth
        How many particles this is worth.
    log_radius, spread
        Mean and standard deviation of the logarithm of the equivalent radius in px.
    eccentricity
        Standard deviation of each of the two components of half the logarithm of the aspect ratio.
    roughness
        Root mean square distance of the outline from an ellipse, over the radius.
    elongation, elongation_spread
        Mean and standard deviation of half the logarithm of the aspect ratio.
    """

    worth: float
    log_radius: float
    spread: float
    eccentricity: float
    roughness: float
    elongation: float = USUAL_ELONGATION
    elongation_spread: float = USUAL_ECCENTRICITY

    @property
    def is_known(self) -> bool:
        """Whether it is worth more than what is expected before any particle was seen."""
        return self.worth > USUAL_WEIGHT

    @property
    def trust(self) -> float:
        """0 to 1, how much it says over what is expected before any particle was seen."""
        return self.worth / (self.worth + USUAL_WEIGHT)

    @property
    def are_ellipses(self) -> bool:
        """Whether ellipses describe the particles, rather than any convex outline."""
        return self.worth > 0 and (self.eccentricity < ROD_ECCENTRICITY or self.roughness < ROD_ROUGHNESS)

    def in_clump(self, radius_px: float) -> Floats:
        """What is expected in a clump of this inscribed radius: (4,) mean, spread, eccentricity, roughness.

        The roughness is infinite where the particles are no ellipses.
        """
        weight = USUAL_WEIGHT / 2
        mean = (self.worth * self.log_radius + weight * math.log(radius_px)) / (self.worth + weight)
        return np.array(
            [
                mean,
                max(self.spread, MIN_SPREAD),
                max(self.eccentricity, MIN_ECCENTRICITY),
                min(max(self.roughness, MIN_ROUGHNESS), MAX_ROUGHNESS) if self.are_ellipses else math.inf,
            ]
        )


NO_PRIOR = ParticlePrior(0.0, 0.0, USUAL_SPREAD, USUAL_ECCENTRICITY, MAX_ROUGHNESS)
"""No particle stands alone."""


def describe_lone(regions: Sequence[Region]) -> LoneParticles:
    """Size and shape of a micrograph's whole particles: regions that are one particle each."""
    fitted = [ellipse_of(np.pad(r.mask, 1)) for r in regions if np.count_nonzero(r.mask) >= PRIOR_MIN_AREA_PX]
    ellipses = np.array([ellipse for ellipse in fitted if ellipse[2] > 0]).reshape(-1, 6)
    if not len(ellipses):
        return LoneParticles()
    area = ellipses[:, 2] * ellipses[:, 3]
    size = np.log(area) / 2
    elongation = np.minimum(np.log(ellipses[:, 2] / ellipses[:, 3]) / 2, 1.0)
    roughness = np.minimum(ellipses[:, 5] / np.sqrt(area), 0.1)
    share = area / area.sum()
    mean = float(share @ elongation)
    order = np.argsort(size)
    below = np.cumsum(share[order]) - share[order] / 2
    low, middle, high = np.interp([0.16, 0.5, 0.84], below, size[order])
    return LoneParticles(
        count=float(1 / (share**2).sum()),
        log_radius=float(middle),
        spread=float(high - low) / 2,
        elongation=mean,
        elongation_spread=math.sqrt(float(share @ (elongation - mean) ** 2)),
        roughness=math.sqrt(float(share @ roughness**2)),
    )


def prior_from(lone: LoneParticles) -> ParticlePrior:
    """What particles that stand alone, in px, let expect of those in clumps."""
    if not lone.count:
        return NO_PRIOR
    trust = lone.count / (lone.count + USUAL_WEIGHT)
    spread = math.sqrt(trust * lone.spread**2 + (1 - trust) * USUAL_SPREAD**2)
    variance = lone.elongation_spread**2
    return ParticlePrior(
        worth=lone.count,
        # the mean by number of sizes that are lognormal with this mean by area
        log_radius=lone.log_radius - 2 * spread**2,
        spread=spread,
        eccentricity=math.sqrt(
            trust * (variance + lone.elongation**2) / 2 + (1 - trust) * USUAL_ECCENTRICITY**2
        ),
        roughness=lone.roughness,
        elongation=trust * lone.elongation + (1 - trust) * USUAL_ELONGATION,
        elongation_spread=math.sqrt(trust * variance + (1 - trust) * USUAL_ECCENTRICITY**2),
    )


@njit(cache=True, nogil=True)
def ellipse_of(mask: NDArray[np.bool_]) -> Floats:
    """Ellipse around a region with a margin of background, as `fit_ellipse` returns it."""
    corners, _, _ = trace(mask)
    points = smooth_closed(midpoints(corners), gaussian(SMOOTHING_PX))
    centre = np.array([points[:, 0].mean(), points[:, 1].mean()])
    # the points alone decide
    return fit_ellipse(conic_sums(points, centre), 0.1, 1.0)
