"""From the mask of a region to its outline in px, of which all descriptors are taken."""

from __future__ import annotations

import numpy as np

from temwatch.analysis.measurement.outline import describe
from temwatch.descriptors import Outline
from temwatch.domain import Mask


def outline(mask: Mask, origin_px: tuple[int, int] = (0, 0), visible_fraction: float = 1.0) -> Outline:
    """Trace around the region in `mask`.

    Parameters
    ----------
    mask
        One region (8-connected) as a tight crop, shape (y, x), at least one pixel.
    origin_px
        Row and column of the crop's first pixel in the micrograph.
    visible_fraction
        Share of the outline that was seen.
    """
    traced = describe(np.ascontiguousarray(mask, dtype=np.bool_))
    return Outline(*traced, *origin_px, visible_fraction)
