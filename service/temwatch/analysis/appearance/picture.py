"""Keep of a picture what particles are judged by, so that they can be judged again without the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from temwatch.analysis.segmentation import neighbours
from temwatch.domain import Image, Mask, Segmentation, Segmenter
from temwatch.kept_picture import KeptPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureParameters:
    """What is kept; chosen for few bytes, not tuned."""

    reach_px: int = 12
    """px; so far around particles the surroundings are kept."""
    probable_px: int = 2
    """px; so far around particles the network's probabilities are kept."""
    sigma_px: float = 1.0
    """px; Gaussian that takes away most of the noise, which no compression would."""
    steps_of_noise: float = 2.0
    """Steps of the brightness in a standard deviation of the noise that is left."""
    smoothed_noise: float = 0.282
    """That noise, over the noise of a pixel: 1 / (2 sqrt(pi)) for a Gaussian of 1 px."""
    outside: tuple[float, float] = (0.1, 99.9)
    """Percentiles of the kept pixels beyond which the brightness is cut off, after ..."""
    room: float = 0.1
    """... the range between them was widened by so much of it on both sides."""
    sample_px: int = 512
    """px; the noise is taken from the middle of the picture, of this edge."""
    rows: int = 512
    """So many rows are worked on at once: a mosaic must not be in memory a second time."""


PARAMETERS = PictureParameters()
_LEVELS = 254
_MARGIN_ROWS = 4  # what a Gaussian of 1 px reaches


def take_picture(image: Image, mask: Mask, *, dark: bool = True) -> KeptPicture:
    """The brightness of a picture on a mask and around it.

    Parameters
    ----------
    image : float32, (y, x)
        As recorded. Its zero is that of the detector, unless a part of it lies below.
    mask : bool, (y, x)
        What is particle.
    dark
        Whether particles are dark; the negative of a picture with bright ones is kept.
    """
    kept = neighbours.grown(mask, PARAMETERS.reach_px)
    codes = np.zeros(mask.shape, np.uint8)
    values = image[kept]
    values = values[np.isfinite(values)]
    if not len(values):
        return KeptPicture(codes=codes, offset=0.0, step=1.0)
    low, high = (
        float(one) for one in np.percentile(values[:: max(1, len(values) // 10**6)], PARAMETERS.outside)
    )
    zero = min(0.0, low)
    room = PARAMETERS.room * (high - low)
    low, high = low - room, high + room
    step = max((high - low) / _LEVELS, _noise(image) * PARAMETERS.smoothed_noise / PARAMETERS.steps_of_noise)
    step = step or 1.0
    for first in range(0, len(image), PARAMETERS.rows):
        end = min(first + PARAMETERS.rows, len(image))
        above = max(first - _MARGIN_ROWS, 0)
        part = image[above : end + _MARGIN_ROWS]
        smooth = ndimage.gaussian_filter(_finite(part, high), PARAMETERS.sigma_px, truncate=_MARGIN_ROWS)
        smooth = smooth[first - above : first - above + end - first]
        levels = np.clip((smooth - np.float32(low)) * np.float32(1 / step), 0, _LEVELS - 1).astype(np.uint8)
        codes[first:end] = np.where(kept[first:end], (levels if dark else _LEVELS - 1 - levels) + 1, 0)
    # the middle of the range of brightness that has the code 1
    lowest = low - zero + step / 2
    if not dark:
        lowest = -(lowest + (_LEVELS - 1) * step)
    return KeptPicture(codes=codes, offset=lowest - step, step=step)


def _noise(image: Image) -> float:
    """Noise of a pixel in the middle of a picture, in its unit."""
    edge = PARAMETERS.sample_px
    top, left = (max(0, (extent - edge) // 2) for extent in image.shape)
    middle = image[top : top + edge, left : left + edge]
    return neighbours.noise(_finite(middle, 0.0))


def _finite(image: Image, otherwise: float) -> Image:
    finite = np.isfinite(image)
    return image if finite.all() else np.where(finite, image, np.float32(otherwise))


def keeping_pictures(segmenter: Segmenter) -> Segmenter:
    """The same segmenter, whose segmentations hold what is kept of the picture, and of the probabilities."""
    dark = dict(segmenter.parameters).get("particles", "dark") == "dark"

    def segment(images: Sequence[Image]) -> list[Segmentation]:
        found = segmenter.segment(images)
        return [_with_picture(one, image, dark=dark) for one, image in zip(found, images, strict=True)]

    opposite = None if segmenter.opposite is None else keeping_pictures(segmenter.opposite)
    return replace(segmenter, segment=segment, opposite=opposite)


def _with_picture(found: Segmentation, image: Image, *, dark: bool) -> Segmentation:
    if found.picture is not None:
        return found
    probability = found.probability
    if probability is not None:
        near = neighbours.grown(found.mask, PARAMETERS.probable_px)
        probability = np.where(near, probability, np.uint8(0))
    return replace(found, picture=take_picture(image, found.mask, dark=dark), probability=probability)
