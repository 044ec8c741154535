"""How clumps of overlapping particles are parted: one module a method, one line in `SEPARATORS`."""

from __future__ import annotations

from typing import Protocol

from temwatch.analysis.separation import uecs, whole
from temwatch.config import SeparationSettings
from temwatch.domain import Region, Rejection


class Separator(Protocol):
    """Parts one region of the mask; `contacts`, a crop as large as the region, hints at where particles meet."""

    def __call__(
        self, region: Region, settings: SeparationSettings, smallest_px: int
    ) -> tuple[list[Region], list[Rejection]]: ...


SEPARATORS: dict[str, Separator] = {"uecs": uecs.separate, "none": whole.separate}
