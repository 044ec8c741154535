"""Means of neighbouring pixels, and what lies beside a mask: what every method counts in."""

from __future__ import annotations

import numpy as np

from temwatch.domain import Image, Mask

BLOCK_PX = 4
"""Levels are taken from means of blocks, so that shot noise does not set them."""


def block_means(image: Image) -> Image:
    """Means of blocks of `BLOCK_PX`, which shot noise hardly moves; an incomplete block is left out."""
    step = min(BLOCK_PX, *image.shape)
    return reduced(image, step)


def reduced(image: Image, edge: int) -> Image:
    """Means of squares of so many px; in this way several times as fast as by a mean over both axes."""
    rows, columns = (extent // edge for extent in image.shape)
    lines = image[: rows * edge, : columns * edge].reshape(rows, edge, columns * edge).sum(axis=1)
    sums = np.add.reduce([lines[:, first::edge] for first in range(edge)])
    return np.asarray(sums / np.float32(edge * edge), np.float32)


def grown(mask: Mask, px: int = 1) -> Mask:
    """A mask and what lies within a square of so many px around it."""
    reach = 0
    while reach < px:
        step = min(reach + 1, px - reach)
        rows = mask.copy()
        rows[step:] |= mask[:-step]
        rows[:-step] |= mask[step:]
        mask = rows.copy()
        mask[:, step:] |= rows[:, :-step]
        mask[:, :-step] |= rows[:, step:]
        reach += step
    return mask


def outline(mask: Mask) -> Mask:
    """Pixels of a mask beside others; the border of the picture is no outline."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return np.asarray(mask & ~inner)


def noise(image: Image) -> float:
    """Standard deviation of a pixel's noise, in the image's units; 0 where the image is too small.

    From second differences along both axes (Immerkaer, Comput. Vis. Image Underst. 1996, 64, 300), which
    neither slopes nor straight edges change, and their median, which particles do not. As
    `preprocessing.noises`, for methods that do without torch.
    """
    if min(image.shape) < 3:
        return 0.0
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(both))) * 1.4826 / 6
