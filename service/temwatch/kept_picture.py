"""What is kept of a micrograph's picture: how dark particles and their surroundings are, in few bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptPicture:
    """Brightness of particles and of what lies around them, as the segmenter sees it: particles dark.

    Attributes
    ----------
    codes
        uint8, (y, x): 0 where nothing is kept, else the brightness is `offset + step * code`.
    offset, step
        In the unit of the recorded picture, whose zero is that of the detector.
    """

    codes: NDArray[np.uint8]
    offset: float
    step: float
