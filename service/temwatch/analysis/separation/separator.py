"""What a separation method is: a function that separates one clump, and what it needs to be given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from temwatch.analysis.separation.prior import NO_PRIOR, ParticlePrior
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Region, Rejection


class SeparateClump(Protocol):
    """Separates one clump, a region that is not convex.

    Parameters
    ----------
    clump : Region
        A connected region of the mask; gaps between its particles are open.
    shape : tuple of int
        Rows and columns of the micrograph: a clump may go on beyond its border.
    min_area_px : int
        Nothing smaller counts as a particle, px.
    settings : SeparationSettings
        Thresholds of all methods.
    prior : ParticlePrior
        What the particles that stand alone are like; `NO_PRIOR` unless `uses_prior`.
    contacts : bool, like the clump, or None
        Where touching particles meet, unless the clump has been cut there; None without `weighs_contacts`.

    Returns
    -------
    The particles, which may overlap, and the regions that are given up.
    """

    def __call__(
        self,
        clump: Region,
        /,
        *,
        shape: tuple[int, int],
        min_area_px: int,
        settings: SeparationSettings,
        prior: ParticlePrior = NO_PRIOR,
        contacts: Mask | None = None,
    ) -> tuple[list[Region], list[Rejection]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Separator:
    """A separation method, as it stands in `SEPARATORS`.

    Attributes
    ----------
    separate
        Separates one clump.
    description
        The method in the words of a report.
    clump_convexity
        Regions below this convexity and solidity are handed to `separate`, where it is above the threshold
        of the settings.
    uses_contacts
        Clumps are cut at the contacts that a network has found, before anything else.
    weighs_contacts
        Contacts are handed to `separate`, and nothing is cut before.
    uses_prior
        `separate` gets what the particles that stand alone are like; otherwise that is not computed.
    uses_sample
        Where few stand alone on a micrograph, those of its sample count as well.
    """

    separate: SeparateClump
    description: str
    clump_convexity: float = 0.0
    uses_contacts: bool = True
    weighs_contacts: bool = False
    uses_prior: bool = False
    uses_sample: bool = False
