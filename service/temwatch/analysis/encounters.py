"""Merging told from vanishing, splitting from appearing: by contact and by the balance of area or volume.

Two spheres that coalesce keep their volume, two that only touch keep the area of their shadows; what the
partner gains must lie between the two. A particle that dissolves leaves its neighbours as they were.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from temwatch.domain import Mask, Region

MOST = 8.0
"""Most that the balance of sizes counts for: segmentation errs more often than a normal distribution."""

LEAST_NOISE = 0.01
"""Least standard deviation that the logarithm of a measured diameter is given."""


def touching(first: Region, second: Region, reach_px: int) -> float:
    """Share of the smaller region's pixels that the other, widened by `reach_px`, covers."""
    smaller, larger = sorted((first, second), key=lambda region: int(np.count_nonzero(region.mask)))
    top, left = (origin - reach_px for origin in larger.origin_px)
    widened = np.pad(larger.mask, reach_px)
    row, column = smaller.origin_px[0] - top, smaller.origin_px[1] - left
    height, width = smaller.mask.shape
    if row >= widened.shape[0] or column >= widened.shape[1] or row + height <= 0 or column + width <= 0:
        return 0.0
    if reach_px:
        widened = _widened(widened, reach_px)
    rows = slice(max(row, 0), min(row + height, widened.shape[0]))
    columns = slice(max(column, 0), min(column + width, widened.shape[1]))
    part = smaller.mask[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
    return float(np.count_nonzero(part & widened[rows, columns]) / np.count_nonzero(smaller.mask))


def _widened(mask: Mask, reach_px: int) -> Mask:
    distance = ndimage.distance_transform_edt(~mask)
    return np.asarray(distance <= reach_px)


def balance(larger_px: float, smaller_px: float, log_gain: float, noise: float) -> float:
    """Logarithm of how much likelier a change of size is if the smaller particle was taken in than if not.

    Parameters
    ----------
    larger_px, smaller_px : float
        Diameters before.
    log_gain : float
        Logarithm of the larger one's diameter after / before.
    noise : float
        Standard deviation of that logarithm when nothing happens.
    """
    noise = max(noise, LEAST_NOISE)
    share = smaller_px / larger_px
    by_volume, by_area = math.log1p(share**3) / 3, math.log1p(share**2) / 2
    away = max(by_volume - log_gain, log_gain - by_area, 0.0)
    return (log_gain**2 - away**2) / (2 * noise**2)


def evidence(other_px: float, lost_px: float, log_gain: float, noise: float, contact: float) -> float:
    """Logarithm of how much likelier it is that a particle was taken in by another than that it vanished.

    `contact` is how closely they met, from `touching`. A small particle dissolves, a large one does not.
    """
    larger_px, smaller_px = max(other_px, lost_px), min(other_px, lost_px)
    gained = log_gain + math.log(other_px / larger_px)
    return float(np.clip(balance(larger_px, smaller_px, gained, noise), -MOST, MOST)) + 4 * contact - 1.0
