"""How clumps of overlapping particles are parted: one module a method, one line in `SEPARATORS`."""

from __future__ import annotations

from typing import Protocol

from temwatch.analysis.separation import contour, uecs, unseparated, watershed
from temwatch.analysis.separation.prior import UNKNOWN, Population
from temwatch.config import SeparationMethod, SeparationSettings
from temwatch.domain import Region, Rejection


class Separator(Protocol):
    """Parts one clump, a region that is not convex.

    Takes the clump, the shape of the micrograph (a clump may go on beyond its border), the area in px below
    which nothing counts as a particle, the settings, and what the particles that stand alone are like.
    Returns the particles, which may overlap, and what was given up.
    """

    def __call__(
        self,
        clump: Region,
        /,
        *,
        shape: tuple[int, int],
        smallest_px: int,
        settings: SeparationSettings,
        population: Population = UNKNOWN,
    ) -> tuple[list[Region], list[Rejection]]: ...


SEPARATORS: dict[SeparationMethod, Separator] = {
    "uecs": uecs.separate,
    "watershed": watershed.separate,
    "contour": contour.separate,
    "none": unseparated.separate,
}
