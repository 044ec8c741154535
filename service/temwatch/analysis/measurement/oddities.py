"""What is odd about the particles of one micrograph: they are few pixels across, or look like two kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from temwatch.descriptors import SIZE
from temwatch.domain import Particle
from temwatch.notes import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class OddityParameters:
    """When sizes are coarse, and when they are of two kinds; the rates are in docs/measurement.md."""

    few_px: float = 15.0
    """px; diameters below it are uncertain by 5 % and more, see the accuracy in docs/measurement.md."""
    fewest: int = 30
    """Particles below which the shape of a distribution says nothing."""
    least_of_a_kind: int = 8
    """Particles; fewer are outliers, and no kind."""
    least_share: float = 0.1
    """Share of the particles; the same."""
    separation: float = 4.0
    """How far the kinds lie apart in their pooled standard deviation (Ashman, Bird and Zepf, Astronomical
    Journal 1994, 108, 2348). From 2 on there are two modes; two halves of a flat distribution have 3.5."""
    clear_split: float = 3.2
    """The same of two halves that are cut apart where they differ most; a normal distribution has 2.7."""
    evidence: float = 10.0
    """How much better two kinds are by the Bayesian information criterion (Kass and Raftery, 1995)."""
    least_spread: float = 0.02
    """Of ln d; a kind is not narrower, or pixels would be kinds."""
    steps: int = 30
    """Of expectation and maximization; the kinds that are meant lie apart, and are found in fewer."""


PARAMETERS = OddityParameters()


def oddities(particles: Sequence[Particle], pixel_size_nm: float) -> tuple[Note, ...]:
    """Notes on the particles of a micrograph."""
    if not particles:
        return ()
    diameters = np.array([particle.descriptors[SIZE] for particle in particles], float)
    return tuple(
        note
        for note, applies in (
            (Note.FEW_PX_PER_PARTICLE, np.median(diameters) < PARAMETERS.few_px * pixel_size_nm),
            (Note.TWO_KINDS, are_two_kinds(diameters)),
        )
        if applies
    )


def are_two_kinds(diameters: NDArray[np.float64]) -> bool:
    """Whether diameters, float64 (N,), are those of two log-normal kinds that hardly overlap."""
    x = np.log(np.sort(diameters[diameters > 0]))
    if len(x) < PARAMETERS.fewest:
        return False
    upper = (np.arange(len(x)) >= _best_split(x)).astype(float)
    if _kinds(x, upper).apart < PARAMETERS.clear_split:  # most samples: a cheap test
        return False
    for _ in range(PARAMETERS.steps):
        lower_log, upper_log = _log_densities(x, _kinds(x, upper))
        upper = np.exp(upper_log - np.logaddexp(lower_log, upper_log))
    found = _kinds(x, upper)
    if min(found.share) < max(PARAMETERS.least_share, PARAMETERS.least_of_a_kind / len(x)):
        return False
    two = float(np.logaddexp(*_log_densities(x, found)).sum())
    one = float(_log_densities(x, _kinds(x, np.ones(len(x))))[1].sum())
    evidence = 2 * (two - one) - 3 * math.log(len(x))  # three more parameters
    return found.apart >= PARAMETERS.separation and evidence > PARAMETERS.evidence


class _Kinds(NamedTuple):
    """Mean, standard deviation and share of the lower and of the upper kind."""

    mean: tuple[float, float]
    spread: tuple[float, float]
    share: tuple[float, float]

    @property
    def apart(self) -> float:
        return math.sqrt(2) * (self.mean[1] - self.mean[0]) / math.hypot(*self.spread)


def _kinds(x: NDArray[np.float64], upper: NDArray[np.float64]) -> _Kinds:
    """Of values that belong to the upper kind by these shares, between 0 and 1."""
    lower = _moments(x, 1 - upper)
    higher = _moments(x, upper)
    return _Kinds(*zip(lower, higher, strict=True))


def _moments(x: NDArray[np.float64], belongs: NDArray[np.float64]) -> tuple[float, float, float]:
    weight = max(float(belongs.sum()), 1e-12)
    mean = float((belongs * x).sum()) / weight
    variance = float((belongs * (x - mean) ** 2).sum()) / weight
    return mean, max(math.sqrt(variance), PARAMETERS.least_spread), weight / len(x)


def _best_split(x: NDArray[np.float64]) -> int:
    """Where ascending values fall into the two parts that differ most (Otsu)."""
    lower = np.arange(1, len(x))
    sums = np.cumsum(x)
    apart = sums[:-1] / lower - (sums[-1] - sums[:-1]) / (len(x) - lower)
    return int(np.argmax(lower * (len(x) - lower) * apart**2)) + 1


def _log_densities(x: NDArray[np.float64], kinds: _Kinds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of both kinds, each by its share, without the constant that all have."""
    lower, upper = (
        -0.5 * ((x - mean) / spread) ** 2 + math.log(share / spread)
        for mean, spread, share in zip(*kinds, strict=True)
    )
    return lower, upper
