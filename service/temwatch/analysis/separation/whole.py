"""No separation: a clump is measured whole, and its convexity labels it as overlapping."""

from __future__ import annotations

from temwatch.config import SeparationSettings
from temwatch.domain import Region, Rejection


def separate(
    region: Region, settings: SeparationSettings, smallest_px: int
) -> tuple[list[Region], list[Rejection]]:
    """Hand the region back as it is."""
    del settings, smallest_px
    return [region], []
