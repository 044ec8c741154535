"""What a micrograph looks like to a network; inference and training share it.

It depends on the picture's content alone: neither calibration nor the detector's gain and offset change it.
"""

from __future__ import annotations

import numpy as np

from temwatch.domain import Image

NAME = "percentile-1-99-of-4px-blocks"
"""Written into every weights file; weights made for another preprocessing are refused."""

BLOCK_PX = 4
"""Levels are taken from means of blocks, so that shot noise does not set them."""

LIMIT = 4.0
"""Largest absolute value handed on: dead and hot pixels stay bounded."""


def normalised(image: Image) -> Image:
    """Bring percentiles 1 and 99 of the block means to -1 and 1.

    Parameters
    ----------
    image : float32, (y, x)
        Any offset and gain. Pixels that are not finite take the median's place.

    Returns
    -------
    float32, (y, x)
        Within -4 and 4; zeros where the image has no contrast.
    """
    finite = np.isfinite(image)
    if not finite.any():
        return np.zeros(image.shape, np.float32)
    if not finite.all():
        image = np.where(finite, image, np.median(image[finite]))
    # the offset of a detector can exceed its contrast by far more than float32 resolves
    image = image - image.min()
    low, high = np.percentile(_block_means(image), (1, 99))
    if high <= low:
        low, high = 0.0, float(image.max())
    if high <= low:
        return np.zeros(image.shape, np.float32)
    scaled = (image - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
    return np.asarray(np.clip(scaled, -LIMIT, LIMIT), np.float32)


def _block_means(image: Image) -> Image:
    step_y, step_x = (min(BLOCK_PX, extent) for extent in image.shape)
    height, width = image.shape[0] // step_y, image.shape[1] // step_x
    cropped = image[: height * step_y, : width * step_x]
    return np.asarray(cropped.reshape(height, step_y, width, step_x).mean(axis=(1, 3)), np.float32)
