"""No separation: a clump is measured whole, and its convexity labels it as overlapping."""

from __future__ import annotations

from temwatch.analysis.separation.prior import UNKNOWN, Population
from temwatch.config import SeparationSettings
from temwatch.domain import Region, Rejection


def separate(
    clump: Region,
    *,
    shape: tuple[int, int],
    smallest_px: int,
    settings: SeparationSettings,
    population: Population = UNKNOWN,
) -> tuple[list[Region], list[Rejection]]:
    """Hand the clump back as it is; see `Separator`."""
    del shape, smallest_px, settings, population
    return [clump], []
