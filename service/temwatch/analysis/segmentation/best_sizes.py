"""A micrograph at the sizes at which the network sees it best: its own, half of it, or both."""

from __future__ import annotations

import torch
from torch.nn import functional

from temwatch.analysis.segmentation import preprocessing, weights
from temwatch.analysis.segmentation.connected_parts import typical_diameter_px
from temwatch.analysis.segmentation.masking import best_threshold
from temwatch.analysis.segmentation.masking_parameters import PARAMETERS
from temwatch.analysis.segmentation.preprocessing import PreparedBatch
from temwatch.analysis.segmentation.tiled_inference import tiled

MOST_HALVINGS = 2

_SURE = 1e-3
"""Probabilities nearer to 0 and 1 count as this: one view must not silence the other."""


def at_best_sizes(
    net: torch.nn.Module, batch: PreparedBatch, description: weights.Description, tile_px: int
) -> list[torch.Tensor]:
    """Probabilities (class, y, x) for micrographs of one shape, each at the sizes that suit it best."""
    full = batch.pixels[:, None]
    work = full if description.max_side_px is None else _reduced(full, description.max_side_px)
    first = tiled(net, work, description, tile_px)
    found = []
    for index, noise in enumerate(batch.noise):
        this = slice(index, index + 1)
        result = _of_one(net, work[this], first[this], noise, description, tile_px)
        if result.shape[-2:] != full.shape[-2:]:
            result = functional.interpolate(result, full.shape[-2:], mode="bilinear")
        found.append(result[0])
    return found


def _of_one(
    net: torch.nn.Module,
    work: torch.Tensor,
    result: torch.Tensor,
    noise: float,
    description: weights.Description,
    tile_px: int,
) -> torch.Tensor:
    """Probabilities (1, class, y, x) of one micrograph (1, 1, y, x), given those at full size.

    Full size keeps gaps and small particles. Where noise hides what half the size, or a quarter, shows, that
    one takes its place which the network is surest of, by the Dice coefficient it may expect. Where particles
    are large there, half of that size is averaged in: it shows letters, supports and the texture of large
    particles for what they are.
    """
    limit_px = description.half_size_from_px
    if limit_px is None:
        return result
    views = [work]
    results = [result]

    def see_half() -> None:
        views.append(_halved(views[-1]))
        results.append(tiled(net, views[-1], description, tile_px))

    surest = 0
    if noise >= preprocessing.NOISY:
        for _ in range(MOST_HALVINGS):
            see_half()
        dice = [best_threshold(seen[0, 0]).dice for seen in results]
        surest = dice.index(max(dice))
    result = results[surest]
    if typical_diameter_px((result[0, 0] > PARAMETERS.threshold).cpu().numpy()) >= limit_px:
        if surest + 1 == len(results):
            see_half()
        half = functional.interpolate(results[surest + 1], result.shape[-2:], mode="bilinear")
        result = torch.sigmoid((result.logit(_SURE) + half.logit(_SURE)) / 2)
    return result


def _reduced(image: torch.Tensor, max_side_px: int) -> torch.Tensor:
    height, width = image.shape[-2:]
    factor = max_side_px / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return functional.interpolate(image, size, mode="bilinear", antialias=True)


def _halved(image: torch.Tensor) -> torch.Tensor:
    return _reduced(image, max(1, max(image.shape[-2:]) // 2))
