"""From probabilities to a mask: two thresholds, and holes that are as dark as their particle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.segmentation.weights import HOLE_LEVEL, SURE, THRESHOLD
from temwatch.domain import Image, Mask

RING_PX = 4
"""Reach of the ring around a hole that says how dark the particle is there."""


def particle_mask(probability: NDArray[np.float32], image: Image) -> Mask:
    """The pixels that are particle.

    Parameters
    ----------
    probability : (y, x)
        Of being particle.
    image : (y, x)
        What it was found in, particles dark; any offset and gain, without NaN.
    """
    return with_dark_holes(sure_parts(probability), image)


def sure_parts(probability: NDArray[np.float32]) -> Mask:
    """Connected parts (corners count) above `THRESHOLD` that somewhere exceed `SURE`."""
    mask = np.asarray(probability > THRESHOLD)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[labels[probability > SURE]] = True
    kept[0] = False
    return np.asarray(kept[labels])


def with_dark_holes(mask: Mask, image: Image) -> Mask:
    """A mask with those of its holes filled that look like the particle around them, see `HOLE_LEVEL`."""
    labels, count = ndimage.label(~mask)
    if count == 0:
        return mask
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    is_open = np.zeros(count + 1, bool)
    is_open[border] = True
    is_open[0] = False
    if is_open.sum() in (0, count):  # no background to hold against, or no hole
        return mask
    background = float(np.median(image[is_open[labels]]))
    holes = np.where(is_open[labels], 0, labels)
    around = np.where(mask, ndimage.maximum_filter(holes, 2 * RING_PX + 1), 0)
    hole_level, ring_level = (
        np.bincount(part.ravel(), image.ravel(), count + 1)
        / np.maximum(np.bincount(part.ravel(), minlength=count + 1), 1)
        for part in (holes, around)
    )
    filled = hole_level < ring_level + HOLE_LEVEL * (background - ring_level)
    # where two holes are near each other the ring of one may be all the other's: it says nothing then
    filled[np.bincount(around.ravel(), minlength=count + 1) == 0] = False
    filled[0] = False
    return np.asarray(mask | filled[holes])
