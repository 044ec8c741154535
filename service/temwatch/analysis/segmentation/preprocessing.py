"""What a micrograph looks like to a network; inference and training share it, `PREPROCESSINGS` names it.

It depends on the picture's content alone: neither calibration nor the detector's gain and offset change it.
Everything is computed on the device that the images are on, several of one shape at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from temwatch.analysis.segmentation.neighbours import BLOCK_PX
from temwatch.domain import Image

NAME = "percentile-1-99-or-few-dark-of-recorded-4px-blocks"
"""Written into every weights file; weights made for another preprocessing are refused."""

ANTEMA = "antema-gaussian-2px-z-score"
ANTEMA_SIGMA_PX = 2.0
ANTEMA_MEAN, ANTEMA_SD = 114.2725, 58.9159
"""Of the original's training pictures between 0 and 255; its network's first layer takes them away."""

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

_GAUSSIAN_REACH = 4
"""Standard deviations after which a Gaussian ends."""


class Prepared(NamedTuple):
    """A micrograph as a network gets it, float32 (y, x) without NaN, and the noise of its pixels."""

    pixels: Image
    noise: float


class PreparedBatch(NamedTuple):
    """Micrographs of one shape on the device of a network, float32 (n, y, x), and the noise of each."""

    pixels: torch.Tensor
    noise: list[float]


def prepared_batch(images: torch.Tensor, name: str) -> PreparedBatch:
    """Prepare micrographs for weights whose header names this preprocessing.

    Parameters
    ----------
    images : float32, (n, y, x)
        As recorded, or their negatives where particles are bright. Overwritten.
    name : str
        A key of `PREPROCESSINGS`.
    """
    pixels = PREPROCESSINGS[name](images)
    return PreparedBatch(pixels, noises(pixels))


def prepared(image: Image, name: str) -> Prepared:
    """The same for one micrograph, (y, x), on the CPU; it stays as it is."""
    pixels, (noise_of_one,) = prepared_batch(_alone(image), name)
    return Prepared(pixels[0].numpy(), noise_of_one)


def normalised(image: Image) -> Image:
    """`normalised_batch` of one micrograph, (y, x), on the CPU; it stays as it is."""
    return np.asarray(normalised_batch(_alone(image))[0].numpy())


def normalised_batch(images: torch.Tensor) -> torch.Tensor:
    """Bring percentiles 1 and 99 of the means of recorded blocks (`FLAT`, `FEW_DARK`) to -1 and 1.

    Parameters
    ----------
    images : float32, (n, y, x)
        Any offset and gain. Pixels that are not finite take the median's place. Overwritten.

    Returns
    -------
    float32, (n, y, x)
        Within -4 and 4; zeros where an image has no contrast.
    """
    images = _from_zero(images)
    low, scale = [], []
    for image, means, spreads in zip(images, *_blocks(images), strict=True):
        lowest, highest = _levels(means.ravel(), spreads.ravel())
        if highest <= lowest:
            lowest, highest = 0.0, float(image.max())
        low.append(lowest)
        scale.append(2 / (highest - lowest) if highest > lowest else 0.0)
    low_of, scale_of = (images.new_tensor(values)[:, None, None] for values in (low, scale))
    found = images.sub_(low_of).mul_(scale_of).sub_(1).clamp_(-LIMIT, LIMIT)
    return found.mul_(scale_of > 0) if 0.0 in scale else found


def noises(images: torch.Tensor) -> list[float]:
    """Standard deviation of a pixel's noise in each image (n, y, x), in its units; 0 in an image too small.

    From second differences along both axes (Immerkaer, Comput. Vis. Image Underst. 1996, 64, 300), which
    neither slopes nor straight edges change, and their median, which particles do not.
    """
    if min(images.shape[1:]) < 3:
        return [0.0] * len(images)
    rows = images[:, :-2].sub(images[:, 1:-1], alpha=2).add_(images[:, 2:])
    both = rows[:, :, :-2].sub(rows[:, :, 1:-1], alpha=2).add_(rows[:, :, 2:]).abs_()
    return [_median(one.ravel()) * 1.4826 / 6 for one in both]


def antema(images: torch.Tensor) -> torch.Tensor:
    """The original's: Gaussian of 2 px, minimum and maximum brought to 0 and 255, z-score of its training.

    Gumbiowski et al., Nanoscale Adv. 2023, 5, 2318, and the input layer of the published network.
    """
    smooth = _gaussian(_from_zero(images), ANTEMA_SIGMA_PX)
    smooth -= smooth.amin((1, 2), keepdim=True)
    highest = smooth.amax((1, 2), keepdim=True)
    highest[highest == 0] = 1
    return smooth.mul_(255 / highest).sub_(ANTEMA_MEAN).div_(ANTEMA_SD)


PREPROCESSINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {NAME: normalised_batch, ANTEMA: antema}


def order_statistics(values: torch.Tensor, ranks: Sequence[int]) -> list[float]:
    """The values (n,) at these places of their ascending order, exactly.

    Two histograms instead of a sort: of the upper half of the bits, and of the lower half within a bin. The
    bits of numbers that are not negative ascend with them. No value may be negative or NaN.
    """
    bits = values.contiguous().view(torch.int32)
    upper = bits >> 16
    ends = torch.bincount(upper, minlength=2**15).cumsum(0)
    places = torch.tensor(ranks, device=values.device)
    bins = torch.searchsorted(ends, places, right=True)
    found = torch.zeros_like(places)
    for number in sorted(set(bins.tolist())):
        here = bins == number
        before = ends[number - 1] if number > 0 else 0
        lower = bits[upper == number] & 0xFFFF
        within = torch.bincount(lower, minlength=2**16).cumsum(0)
        found[here] = (number << 16) | torch.searchsorted(within, places[here] - before, right=True)
    exact: list[float] = found.to(torch.int32).view(torch.float32).tolist()
    return exact


def mirrored(extent: int, before: int, after: int, *, twice: bool, device: torch.device) -> torch.Tensor:
    """Index of the pixel seen at each place of an axis that mirrors itself beyond its ends.

    With `twice` the last pixel is there twice, as in scipy's filters, else once.
    """
    period = max(2 * extent - (0 if twice else 2), 1)
    places = torch.arange(-before, extent + after, device=device) % period
    return torch.minimum(places, period - places - int(twice))


def _alone(image: Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image, np.float32))[None]


def _from_zero(images: torch.Tensor) -> torch.Tensor:
    """Images less their minima, pixels that are not finite at the median.

    The offset of a detector can exceed its contrast by far more than float32 resolves.
    """
    for image in images:
        low, high = torch.aminmax(image)
        if not torch.isfinite(high - low):  # NaN is handed on by both
            finite = torch.isfinite(image)
            if not finite.any():
                image.zero_()
                continue
            some, low = image[finite], image[finite].min()
            image[~finite] = _median(some - low) + low
        image -= low
    return images


def _blocks(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation in each block, (n, y, x); an incomplete block is left out."""
    step_y, step_x = (min(BLOCK_PX, extent) for extent in images.shape[1:])
    height, width = images.shape[1] // step_y, images.shape[2] // step_x
    whole = images[:, : height * step_y, : width * step_x]
    means = functional.avg_pool2d(whole[:, None], (step_y, step_x))[:, 0]
    off = whole.reshape(-1, height, step_y, width, step_x) - means[:, :, None, :, None]
    spreads = functional.avg_pool2d(off.square_().reshape_as(whole)[:, None], (step_y, step_x))[:, 0]
    return means, spreads.sqrt_()


def _levels(means: torch.Tensor, spreads: torch.Tensor) -> tuple[float, float]:
    """What becomes -1 and what becomes 1, from the blocks of an image."""
    recorded = spreads > FLAT * _median(spreads)
    if len(recorded) >= FEWEST_BLOCKS and float(recorded.float().mean()) >= 1 - MOST_FLAT:
        means = means[recorded]
    lowest, low, high = _percentiles(means, (FEW_DARK, 1, 99))
    return (lowest if low - lowest > (high - low) / 2 else low), high


def _percentiles(values: torch.Tensor, percentiles: Sequence[float]) -> list[float]:
    """Linear between neighbours, as numpy's; no value is negative."""
    places = [percentile / 100 * (len(values) - 1) for percentile in percentiles]
    ranks = [int(place) for place in places]
    ends = [min(rank + 1, len(values) - 1) for rank in ranks]
    found = order_statistics(values, ranks + ends)
    return [
        below + (above - below) * (place - rank)
        for below, above, place, rank in zip(
            found[: len(ranks)], found[len(ranks) :], places, ranks, strict=True
        )
    ]


def _median(values: torch.Tensor) -> float:
    return _percentiles(values, (50,))[0]


def _gaussian(images: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """As scipy's, in float32."""
    reach = int(_GAUSSIAN_REACH * sigma_px + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device) / sigma_px) ** 2)
    kernel = (kernel / kernel.sum())[None, None]
    for axis in (1, 2):
        index = mirrored(images.shape[axis], reach, reach, twice=True, device=images.device)
        along = images.index_select(axis, index).movedim(axis, 2)
        smooth = functional.conv1d(along.flatten(0, 1)[:, None], kernel)
        images = smooth.reshape(along.shape[0], along.shape[1], -1).movedim(2, axis)
    return images.contiguous()
