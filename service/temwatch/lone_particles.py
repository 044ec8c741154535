"""Size and shape of particles that stand alone: of one micrograph, or of a sample so far."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

ENOUGH = 20.0
"""Number of particles that are known well enough: more of a micrograph count no more beside others, and it
needs none of its sample."""
_NORMAL = 1.4826
"""Standard deviation over the median absolute deviation of a normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneParticles:
    """Particles that stand alone, each counted by its area.

    Attributes
    ----------
    count
        How many particles of one size they are worth.
    log_radius, spread
        Median and standard deviation of the logarithm of the equivalent radius in px, in nm where stated.
    elongation, elongation_spread
        Mean and standard deviation of half the logarithm of the aspect ratio.
    roughness
        Root mean square distance of the outline from an ellipse, over the radius.
    """

    count: float = 0.0
    log_radius: float = 0.0
    spread: float = 0.0
    elongation: float = 0.0
    elongation_spread: float = 0.0
    roughness: float = 0.0

    def scaled(self, factor: float) -> LoneParticles:
        """The same in another unit of length."""
        return replace(self, log_radius=self.log_radius + math.log(factor)) if self.count else self

    def to_json(self) -> str:
        """Text from which `from_json` makes the same values, to the last bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LoneParticles:
        """The value of `to_json`."""
        return cls(**json.loads(text))


def of_sample(micrographs: Sequence[LoneParticles]) -> LoneParticles:
    """What the micrographs of a sample show together, all in one unit of length.

    Medians, in which a micrograph weighs as much as its particles, so that one with others changes little.
    The spread is that within micrographs and, added to it, that between them.
    """
    known = [one for one in micrographs if one.count > 0]
    if not known:
        return LoneParticles()
    weights = np.array([min(one.count, ENOUGH) for one in known])

    def middle(values: Sequence[float]) -> float:
        order = np.argsort(values, kind="stable")
        below = np.cumsum(weights[order]) - weights[order] / 2
        return float(np.interp(weights.sum() / 2, below, np.asarray(values)[order]))

    size = middle([one.log_radius for one in known])
    between = _NORMAL * middle([abs(one.log_radius - size) for one in known])
    return LoneParticles(
        count=float(weights.sum()),
        log_radius=size,
        spread=math.hypot(middle([one.spread for one in known]), between),
        elongation=middle([one.elongation for one in known]),
        elongation_spread=middle([one.elongation_spread for one in known]),
        roughness=middle([one.roughness for one in known]),
    )


def completed(own: LoneParticles, sample: LoneParticles) -> LoneParticles:
    """Those of a micrograph and, where they are few, so many of its sample that they are enough."""
    count = min(sample.count, ENOUGH - own.count)
    if count <= 0:
        return own
    share = own.count / (own.count + count)

    def mean(one: float, other: float) -> float:
        return share * one + (1 - share) * other

    def spread(one: float, other: float, apart: float) -> float:
        return math.sqrt(mean(one**2, other**2) + share * (1 - share) * apart**2)

    return LoneParticles(
        count=own.count + count,
        log_radius=mean(own.log_radius, sample.log_radius),
        spread=spread(own.spread, sample.spread, own.log_radius - sample.log_radius),
        elongation=mean(own.elongation, sample.elongation),
        elongation_spread=spread(
            own.elongation_spread, sample.elongation_spread, own.elongation - sample.elongation
        ),
        roughness=spread(own.roughness, sample.roughness, 0.0),
    )
