"""From probabilities to a mask: two thresholds on the device, then connected parts and holes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from temwatch.analysis.segmentation import preprocessing
from temwatch.analysis.segmentation.connected_parts import sure_parts, with_dark_holes
from temwatch.analysis.segmentation.masking_parameters import PARAMETERS
from temwatch.domain import Image, Mask


class Threshold(NamedTuple):
    """A threshold for probabilities, and the Dice coefficient that its mask may expect."""

    level: float
    dice: float


class Candidates(NamedTuple):
    """Pixels that may be particle, bool (y, x), and those of them that make their connected part one."""

    mask: Mask
    sure: Mask


def candidates(probability: torch.Tensor, noise: float) -> Candidates:
    """The pixels that may be particle.

    Parameters
    ----------
    probability : (y, x)
        Of being particle, on any device.
    noise
        Of the micrograph's pixels.
    """
    threshold = PARAMETERS.threshold
    if noise >= preprocessing.NOISY:
        best = best_threshold(probability)
        if best.dice >= PARAMETERS.min_dice:
            doubted, trusted = PARAMETERS.doubted_dice, PARAMETERS.trusted_dice
            belief = min(1.0, (best.dice - doubted) / (trusted - doubted))
            threshold = max(belief * best.level, PARAMETERS.min_threshold)
            threshold = min(threshold, PARAMETERS.threshold)
    sure = threshold * PARAMETERS.sure / PARAMETERS.threshold
    return Candidates(*((probability > level).cpu().numpy() for level in (threshold, sure)))


def particle_mask(found: Candidates, pixels: Image) -> Mask:
    """The pixels that are particle, by the brightness of holes in `pixels`, (y, x), particles dark."""
    return with_dark_holes(sure_parts(found.mask, found.sure), pixels)


def best_threshold(probability: torch.Tensor) -> Threshold:
    """The threshold whose mask has the highest Dice coefficient that may be expected.

    Where each pixel is a particle's with its probability, a mask of n pixels may expect twice their sum of
    probabilities over n and the sum of all (Lipton et al., ECML 2014, 225): the best threshold is one half
    where the network is certain, and less where everything is in doubt.
    """
    levels = PARAMETERS.levels
    bins = (probability * levels).clamp_(max=levels - 1).to(torch.int32)
    counts = torch.bincount(bins.ravel(), minlength=levels).cpu().numpy()
    edges = np.linspace(0.0, 1.0, levels + 1)
    pixels = np.cumsum(counts[::-1])
    expected = np.cumsum((counts * (edges[:-1] + edges[1:]) / 2)[::-1])
    dice = 2 * expected / (pixels + expected[-1])
    best = int(np.argmax(dice))
    return Threshold(level=float(edges[-2 - best]), dice=float(dice[best]))
