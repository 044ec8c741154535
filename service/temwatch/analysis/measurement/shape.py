"""From the mask of a region to its outline in px, of which all descriptors are taken."""

from __future__ import annotations

import numpy as np

from temwatch.analysis.measurement.outline import describe
from temwatch.descriptors import Outline
from temwatch.domain import Mask


def outline(mask: Mask) -> Outline:
    """Trace around the region in `mask`.

    Parameters
    ----------
    mask
        One region (8-connected) as a tight crop, shape (y, x), at least one pixel.
    """
    return Outline(*describe(np.ascontiguousarray(mask, dtype=np.bool_)))
