"""A micrograph at the sizes at which the network sees it best: its own, half of it, or both."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from temwatch.analysis.segmentation import preprocessing, weights
from temwatch.analysis.segmentation.masking import best_threshold
from temwatch.analysis.segmentation.masking_parameters import PARAMETERS
from temwatch.analysis.segmentation.preprocessing import Prepared
from temwatch.analysis.segmentation.tiled_inference import tiled
from temwatch.domain import Mask

Probabilities = NDArray[np.float32]

MOST_HALVINGS = 2

_SURE = 1e-3
"""Probabilities nearer to 0 and 1 count as this: one view must not silence the other."""


def at_best_sizes(
    net: torch.nn.Module, images: list[Prepared], description: weights.Description, tile_px: int
) -> list[Probabilities]:
    """Probabilities for micrographs of one shape, each at the sizes that suit it best."""
    full = torch.from_numpy(np.stack([image.pixels for image in images]))[:, None]
    work = full if description.max_side_px is None else _reduced(full, description.max_side_px)
    first = tiled(net, work, description, tile_px)
    found = []
    for index, image in enumerate(images):
        this = slice(index, index + 1)
        result = _of_one(net, work[this], first[this], image.noise, description, tile_px)
        if result.shape[-2:] != full.shape[-2:]:
            result = functional.interpolate(result, full.shape[-2:], mode="bilinear")
        found.append(np.asarray(result[0].numpy()))
    return found


def _of_one(
    net: torch.nn.Module,
    work: torch.Tensor,
    result: torch.Tensor,
    noise: float,
    description: weights.Description,
    tile_px: int,
) -> torch.Tensor:
    """Probabilities for one micrograph (1, 1, y, x), given those at full size.

    Full size keeps gaps and small particles. Where noise hides what half the size, or a quarter, shows, that
    one takes its place which the network is surest of, by the Dice coefficient it may expect. Where particles
    are large there, half of that size is averaged in: it shows letters, supports and the texture of large
    particles for what they are.
    """
    limit_px = description.half_size_from_px
    if limit_px is None:
        return result
    if noise >= preprocessing.NOISY:
        smaller, surest = work, best_threshold(result[0, 0].numpy()).dice
        for _ in range(MOST_HALVINGS):
            smaller = _halved(smaller)
            again = tiled(net, smaller, description, tile_px)
            dice = best_threshold(again[0, 0].numpy()).dice
            if dice > surest:
                work, result, surest = smaller, again, dice
    if typical_diameter_px(result[0, 0].numpy() > PARAMETERS.threshold) >= limit_px:
        again = functional.interpolate(
            tiled(net, _halved(work), description, tile_px), work.shape[-2:], mode="bilinear"
        )
        result = torch.sigmoid((result.logit(_SURE) + again.logit(_SURE)) / 2)
    return result


def typical_diameter_px(mask: Mask) -> float:
    """Equivalent diameter of the connected part that half of a mask's area does not exceed; 0 if empty."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.sort(np.bincount(labels.ravel())[1:])
    if not len(areas):
        return 0.0
    covered = np.cumsum(areas)
    return float(np.sqrt(areas[np.searchsorted(covered, covered[-1] / 2)] * 4 / np.pi))


def _reduced(image: torch.Tensor, max_side_px: int) -> torch.Tensor:
    height, width = image.shape[-2:]
    factor = max_side_px / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return functional.interpolate(image, size, mode="bilinear", antialias=True)


def _halved(image: torch.Tensor) -> torch.Tensor:
    return _reduced(image, max(1, max(image.shape[-2:]) // 2))
