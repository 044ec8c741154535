"""No separation: a clump is measured whole, and its convexity labels it as overlapping."""

from __future__ import annotations

from temwatch.analysis.separation.prior import NO_PRIOR, ParticlePrior
from temwatch.analysis.separation.separator import Separator
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Region, Rejection


def separate(
    clump: Region,
    *,
    shape: tuple[int, int],
    min_area_px: int,
    settings: SeparationSettings,
    prior: ParticlePrior = NO_PRIOR,
    contacts: Mask | None = None,
) -> tuple[list[Region], list[Rejection]]:
    """Hand the clump back as it is; see `SeparateClump`."""
    del shape, min_area_px, settings, prior, contacts
    return [clump], []


SEPARATOR = Separator(
    separate=separate,
    description="no separation; clumps were measured whole",
    uses_contacts=False,
)
