"""How unlike a micrograph is to those that the network knows: by how much it doubts what it finds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from temwatch.analysis.appearance.confidence import STEPS
from temwatch.domain import Mask, Probability
from temwatch.notes import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainParameters:
    """A linear regression on micrographs that the network was trained on, 43 figures and 17 simulated ones.

    The logarithm of the doubt on the mask, 4 p (1 - p) in the mean, grows with that of the noise; what it
    differs from this line by, in its standard deviations, is the distance.
    """

    always: float = -1.358
    by_noise: float = 0.4205
    spread: float = 0.877
    least_noise: float = 0.003
    """Noise of a pixel over half the contrast; less makes no difference."""
    least_doubt: float = 0.005
    far: float = 2.2
    """From this distance on a micrograph is noted; none of those above is as far."""


PARAMETERS = DomainParameters()


def domain_distance(probability: Probability, mask: Mask, noise: float) -> float | None:
    """Distance in standard deviations, 0 or more; None where there is no particle to judge by.

    Parameters
    ----------
    probability : uint8, (y, x)
        Of being particle, in `STEPS` steps.
    mask : bool, (y, x)
        What is particle.
    noise : float
        Standard deviation of a pixel's noise over half the contrast of the picture.
    """
    counts = np.bincount(probability[mask], minlength=STEPS + 1)
    if not counts.any():
        return None
    share = np.arange(len(counts)) / STEPS
    doubt = float(counts @ (4 * share * (1 - share)) / counts.sum())
    expected = PARAMETERS.always + PARAMETERS.by_noise * math.log(noise + PARAMETERS.least_noise)
    return max(0.0, (math.log(doubt + PARAMETERS.least_doubt) - expected) / PARAMETERS.spread)


def notes_of(distance: float | None) -> tuple[str, ...]:
    """What is to be said of a micrograph at this distance."""
    return (Note.OUT_OF_DOMAIN,) if distance is not None and distance >= PARAMETERS.far else ()
