"""What a micrograph looks like to a network; inference and training share it, `PREPROCESSINGS` names it.

It depends on the picture's content alone: neither calibration nor the detector's gain and offset change it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from temwatch.domain import Image, Mask

NAME = "percentile-1-99-or-few-dark-of-recorded-4px-blocks"
"""Written into every weights file; weights made for another preprocessing are refused."""

ANTEMA = "antema-gaussian-2px-z-score"
ANTEMA_SIGMA_PX = 2.0
ANTEMA_MEAN, ANTEMA_SD = 114.2725, 58.9159
"""Of the original's training pictures between 0 and 255; its network's first layer takes them away."""

BLOCK_PX = 4
"""Levels are taken from means of blocks, so that shot noise does not set them."""

FLAT = 0.25
"""A block whose pixels vary less than this times the median block's was not recorded but written into the
picture: letters, their boxes and scale bars do not set the levels."""

MOST_FLAT = 0.5
"""Where more of the blocks are flat, the picture has no noise and all of them count."""

FEWEST_BLOCKS = 256
"""A picture of fewer has no room for letters, and the median of a few spreads is uncertain."""

FEW_DARK = 0.3
"""Particles that cover less than a hundredth of the picture and are far darker than all else set the level
themselves: where this percentile lies more than half the range below percentile 1, it takes its place."""

LIMIT = 4.0
"""Largest absolute value handed on: dead and hot pixels stay bounded."""

NOISY = 0.08
"""Noise of a pixel over half the contrast from which smaller sizes are tried; 95 % of published figures have
less than 0.05, lattice resolution at a few electrons a pixel has 0.1 to 0.5."""


class Prepared(NamedTuple):
    """A micrograph as a network gets it, float32 (y, x) without NaN, and the noise of its pixels."""

    pixels: Image
    noise: float


def prepared(image: Image, name: str) -> Prepared:
    """Prepare a micrograph for weights whose header names this preprocessing.

    Parameters
    ----------
    image : float32, (y, x)
        As recorded, or its negative where particles are bright.
    name : str
        A key of `PREPROCESSINGS`.
    """
    pixels = PREPROCESSINGS[name](image)
    return Prepared(pixels, noise(pixels))


def normalised(image: Image) -> Image:
    """Bring percentiles 1 and 99 of the means of recorded blocks (`FLAT`, `FEW_DARK`) to -1 and 1.

    Parameters
    ----------
    image : float32, (y, x)
        Any offset and gain. Pixels that are not finite take the median's place.

    Returns
    -------
    float32, (y, x)
        Within -4 and 4; zeros where the image has no contrast.
    """
    image = _from_zero(image)
    blocks = _blocks(image)
    means, spreads = blocks.mean(axis=(1, 3)), blocks.std(axis=(1, 3))
    recorded = spreads > FLAT * np.median(spreads)
    if recorded.size >= FEWEST_BLOCKS and recorded.mean() >= 1 - MOST_FLAT:
        means = means[recorded]
    lowest, low, high = np.percentile(means, (FEW_DARK, 1, 99))
    if low - lowest > (high - low) / 2:
        low = lowest
    if high <= low:
        low, high = 0.0, float(image.max())
    if high <= low:
        return np.zeros(image.shape, np.float32)
    scaled = (image - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
    return np.asarray(np.clip(scaled, -LIMIT, LIMIT), np.float32)


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
    neither slopes nor straight edges change, and their median, which particles do not.
    """
    if min(image.shape) < 3:
        return 0.0
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(both))) * 1.4826 / 6


def antema(image: Image) -> Image:
    """The original's: Gaussian of 2 px, minimum and maximum brought to 0 and 255, z-score of its training.

    Gumbiowski et al., Nanoscale Adv. 2023, 5, 2318, and the input layer of the published network.
    """
    smooth = ndimage.gaussian_filter(_from_zero(image), ANTEMA_SIGMA_PX, output=np.float32)
    smooth -= smooth.min()
    highest = float(smooth.max()) or 1.0
    return np.asarray((smooth * np.float32(255 / highest) - ANTEMA_MEAN) / ANTEMA_SD, np.float32)


PREPROCESSINGS: dict[str, Callable[[Image], Image]] = {NAME: normalised, ANTEMA: antema}


def _from_zero(image: Image) -> Image:
    """The image less its minimum, pixels that are not finite at the median.

    The offset of a detector can exceed its contrast by far more than float32 resolves.
    """
    finite = np.isfinite(image)
    if not finite.any():
        return np.zeros(image.shape, np.float32)
    if not finite.all():
        image = np.where(finite, image, np.median(image[finite]))
    return np.asarray(image - image.min(), np.float32)


def _blocks(image: Image) -> Image:
    """Blocks of a picture, (row of blocks, y, column of blocks, x)."""
    step_y, step_x = (min(BLOCK_PX, extent) for extent in image.shape)
    height, width = image.shape[0] // step_y, image.shape[1] // step_x
    return image[: height * step_y, : width * step_x].reshape(height, step_y, width, step_x)
