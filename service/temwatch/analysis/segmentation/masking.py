"""From probabilities to a mask: two thresholds, and holes that are as dark as their particle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.segmentation import preprocessing
from temwatch.analysis.segmentation.masking_parameters import PARAMETERS
from temwatch.analysis.segmentation.preprocessing import Prepared
from temwatch.domain import Image, Mask


class Threshold(NamedTuple):
    """A threshold for probabilities, and the Dice coefficient that its mask may expect."""

    level: float
    dice: float


def particle_mask(probability: NDArray[np.float32], image: Prepared) -> Mask:
    """The pixels that are particle.

    Parameters
    ----------
    probability : (y, x)
        Of being particle.
    image
        What it was found in; particles dark.
    """
    threshold = PARAMETERS.threshold
    if image.noise >= preprocessing.NOISY:
        best = best_threshold(probability)
        if best.dice >= PARAMETERS.min_dice:
            doubted, trusted = PARAMETERS.doubted_dice, PARAMETERS.trusted_dice
            belief = min(1.0, (best.dice - doubted) / (trusted - doubted))
            threshold = max(belief * best.level, PARAMETERS.min_threshold)
            threshold = min(threshold, PARAMETERS.threshold)
    return with_dark_holes(sure_parts(probability, threshold), image.pixels)


def best_threshold(probability: NDArray[np.float32]) -> Threshold:
    """The threshold whose mask has the highest Dice coefficient that may be expected.

    Where each pixel is a particle's with its probability, a mask of n pixels may expect twice their sum of
    probabilities over n and the sum of all (Lipton et al., ECML 2014, 225): the best threshold is one half
    where the network is certain, and less where everything is in doubt.
    """
    counts, edges = np.histogram(probability, PARAMETERS.levels, (0.0, 1.0))
    pixels = np.cumsum(counts[::-1])
    expected = np.cumsum((counts * (edges[:-1] + edges[1:]) / 2)[::-1])
    dice = 2 * expected / (pixels + expected[-1])
    best = int(np.argmax(dice))
    return Threshold(level=float(edges[-2 - best]), dice=float(dice[best]))


def sure_parts(probability: NDArray[np.float32], threshold: float = PARAMETERS.threshold) -> Mask:
    """Connected parts (corners count) above a threshold that somewhere exceed it as `sure` does."""
    mask = np.asarray(probability > threshold)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[labels[probability > threshold * PARAMETERS.sure / PARAMETERS.threshold]] = True
    kept[0] = False
    return np.asarray(kept[labels])


def with_dark_holes(mask: Mask, image: Image) -> Mask:
    """A mask with those of its holes filled that look like the particle around them, see `hole_level`."""
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
    around = np.where(mask, ndimage.maximum_filter(holes, 2 * PARAMETERS.ring_px + 1), 0)
    hole_level, ring_level = (
        np.bincount(part.ravel(), image.ravel(), count + 1)
        / np.maximum(np.bincount(part.ravel(), minlength=count + 1), 1)
        for part in (holes, around)
    )
    filled = hole_level < ring_level + PARAMETERS.hole_level * (background - ring_level)
    # where two holes are near each other the ring of one may belong to the other: it is no evidence then
    filled[np.bincount(around.ravel(), minlength=count + 1) == 0] = False
    filled[0] = False
    return np.asarray(mask | filled[holes])
