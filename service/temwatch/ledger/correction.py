"""A correction of a pixel size, as it applies to one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from temwatch.choices import is_plausible_pixel_size


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
