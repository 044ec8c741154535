"""How two particles met: by contact of their pixels, and by how area or volume has grown.

Two spheres that coalesce keep their volume, two that only touch keep the area of their shadows; what the
partner gains must lie between the two. A particle that dissolves leaves its neighbours as they were.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.tracking.parameters import PARAMETERS
from temwatch.domain import Mask


@njit(cache=True, nogil=True)
def contact_share(
    first_origin_px: NDArray[np.int64],
    first: Mask,
    second_origin_px: NDArray[np.int64],
    second: Mask,
    reach_px: int,
) -> float:
    """Share of the smaller region's pixels with a pixel of the larger one at most `reach_px` away.

    Each region is a crop and the place of its top left pixel (row, column).
    """
    if first.sum() > second.sum():
        first_origin_px, second_origin_px = second_origin_px, first_origin_px
        first, second = second, first
    down = first_origin_px[0] - second_origin_px[0]
    right = first_origin_px[1] - second_origin_px[1]
    height, width = second.shape
    close = total = 0
    for row in range(first.shape[0]):
        for column in range(first.shape[1]):
            if not first[row, column]:
                continue
            total += 1
            found = False
            for y in range(max(row + down - reach_px, 0), min(row + down + reach_px + 1, height)):
                for x in range(max(column + right - reach_px, 0), min(column + right + reach_px + 1, width)):
                    offset = (y - row - down) ** 2 + (x - column - right) ** 2
                    if second[y, x] and offset <= reach_px**2:
                        found = True
                        break
                if found:
                    break
            close += found
    return close / total if total else 0.0


def size_evidence(larger_nm: float, smaller_nm: float, log_gain: float, noise: float) -> float:
    """Logarithm of how much likelier a change of size is if the smaller particle was merged than if not.

    Parameters
    ----------
    larger_nm, smaller_nm : float
        Diameters before.
    log_gain : float
        Logarithm of the larger one's diameter after / before.
    noise : float
        Standard deviation of that logarithm when nothing happens.
    """
    noise = max(noise, PARAMETERS.min_size_noise)
    share = smaller_nm / larger_nm
    by_volume, by_area = math.log1p(share**3) / 3, math.log1p(share**2) / 2
    away = max(by_volume - log_gain, log_gain - by_area, 0.0)
    log_likelihood = (log_gain**2 - away**2) / (2 * noise**2)
    return min(max(log_likelihood, -PARAMETERS.max_size_evidence), PARAMETERS.max_size_evidence)


def merge_evidence(other_nm: float, lost_nm: float, log_gain: float, noise: float, contact: float) -> float:
    """Logarithm of how much likelier it is that a particle merged with another than that it vanished.

    Parameters
    ----------
    other_nm, lost_nm : float
        Diameters before.
    log_gain : float
        Logarithm of the other one's diameter after / before.
    noise : float
        Standard deviation of that logarithm when nothing happens.
    contact : float
        How closely they met, 0 to 1, from `contact_share`.

    Returns
    -------
    More than 0 where a merge is likelier.
    """
    larger_nm, smaller_nm = max(other_nm, lost_nm), min(other_nm, lost_nm)
    # where the smaller one's track went on, what it is now is compared with the larger one
    gained = log_gain + math.log(other_nm / larger_nm)
    sizes = size_evidence(larger_nm, smaller_nm, gained, noise)
    return sizes + PARAMETERS.contact_weight * contact - PARAMETERS.merge_threshold
