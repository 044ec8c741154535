"""The correction for particles that touch the border and are therefore not measured.

A large particle touches the border more often than a small one, so what is measured is too small on average.
Miles and Lantuéjoul: a particle whose bounding box is a times b lies wholly within a micrograph of W times H
with the probability (W - a)(H - b) / (W H), and counts with its inverse (ISO 13322-1, border correction).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inclusion_probability(
    box_width_px: NDArray[np.float64],
    box_height_px: NDArray[np.float64],
    width_px: NDArray[np.float64],
    height_px: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Probability that a particle with this bounding box does not touch the border, 0..1.

    Parameters
    ----------
    box_width_px, box_height_px : float64, (N,)
        Bounding boxes of the particles.
    width_px, height_px : float64, (N,)
        Size of the micrograph that each was seen in.

    Notes
    -----
    A box of a pixels avoids the first and the last column at W - a - 1 of the W places that its left edge
    could take, hence one pixel less than the formula for a continuous plane.
    """
    across = np.clip((width_px - box_width_px - 1) / width_px, 0, 1)
    along = np.clip((height_px - box_height_px - 1) / height_px, 0, 1)
    return np.asarray(across * along)


def border_weights(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each particle counts: 1 / probability, and 0 where a particle could not have been seen whole."""
    seen = probability > 0
    return np.where(seen, 1 / np.where(seen, probability, 1.0), 0.0)
