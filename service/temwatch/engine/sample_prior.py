"""When a micrograph is given what the particles of its sample that stand alone are like."""

from __future__ import annotations

from dataclasses import replace

from temwatch.analysis.separation import SEPARATORS
from temwatch.config import SeparationSettings
from temwatch.domain import Segmentation
from temwatch.ledger import Ledger, sample_priors
from temwatch.lone_particles import LoneParticles


def give(ledger: Ledger, file_id: int, separation: SeparationSettings) -> LoneParticles | None:
    """The prior of a file, in nm; None where the method does not ask for it."""
    return sample_priors.give(ledger, file_id) if SEPARATORS[separation.method].uses_sample else None


def with_prior(
    segmentation: Segmentation, prior_nm: LoneParticles | None, pixel_size_nm: float
) -> Segmentation:
    """A segmentation with the prior of its file."""
    if prior_nm is None:
        return segmentation
    return replace(segmentation, sample_prior=prior_nm.scaled(1 / pixel_size_nm))


def with_missing_prior(
    ledger: Ledger,
    file_id: int,
    stored: Segmentation,
    separation: SeparationSettings,
    pixel_size_nm: float,
) -> Segmentation | None:
    """A stored segmentation with the prior that another method did not ask for; None where it lacks none."""
    if stored.sample_prior is not None:
        return None
    prior_nm = give(ledger, file_id, separation)
    return None if prior_nm is None else with_prior(stored, prior_nm, pixel_size_nm)
