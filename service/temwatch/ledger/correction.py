"""A correction of a pixel size, as it applies to one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from temwatch.choices import is_plausible_pixel_size

CORRECTION = """(SELECT json_array(c.factor, c.pixel_size_nm, c.stated_nm) FROM calibrations c
        WHERE c.sample = f.sample AND c.ended_by IS NULL AND (c.file_id = f.id OR c.file_id IS NULL)
        ORDER BY c.file_id IS NULL, c.id DESC LIMIT 1)"""
"""The correction that is in force for the pixel sizes of `files f`, as JSON; see `calibrations`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Corrects a stated pixel size by a factor, or to a size where the file states about `stated_nm`."""

    TOLERANCE: ClassVar[float] = 1.01

    factor: float | None = None
    pixel_size_nm: float | None = None
    stated_nm: float | None = None

    def size_nm(self, stated_nm: float) -> float | None:
        """The corrected size of a file that states this one; None where it does not apply."""
        if self.factor is not None:
            corrected = stated_nm * self.factor
            return corrected if is_plausible_pixel_size(corrected) else None
        known = self.stated_nm or stated_nm
        applies = max(known, stated_nm) <= min(known, stated_nm) * self.TOLERANCE
        return self.pixel_size_nm if applies else None


def correction_from(text: str | None) -> Correction | None:
    """A value of CORRECTION."""
    if text is None:
        return None
    factor, pixel_size_nm, stated_nm = json.loads(text)
    return Correction(factor=factor, pixel_size_nm=pixel_size_nm, stated_nm=stated_nm)
