"""What the network's segmenter does before and after the network, in numpy and scipy: simple and slow."""

import numpy as np
from scipy import ndimage

from temwatch.analysis.segmentation.masking_parameters import PARAMETERS
from temwatch.analysis.segmentation.neighbours import BLOCK_PX
from temwatch.analysis.segmentation.preprocessing import (
    ANTEMA_MEAN,
    ANTEMA_SD,
    ANTEMA_SIGMA_PX,
    FEW_DARK,
    FEWEST_BLOCKS,
    FLAT,
    LIMIT,
    MOST_FLAT,
)


def normalised(image: np.ndarray) -> np.ndarray:
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


def antema(image: np.ndarray) -> np.ndarray:
    """The original's: Gaussian of 2 px, minimum and maximum brought to 0 and 255, z-score of its training.

    Gumbiowski et al., Nanoscale Adv. 2023, 5, 2318, and the input layer of the published network.
    """
    smooth = ndimage.gaussian_filter(_from_zero(image), ANTEMA_SIGMA_PX, output=np.float32)
    smooth -= smooth.min()
    highest = float(smooth.max()) or 1.0
    return np.asarray((smooth * np.float32(255 / highest) - ANTEMA_MEAN) / ANTEMA_SD, np.float32)


def _from_zero(image: np.ndarray) -> np.ndarray:
    """The image less its minimum, pixels that are not finite at the median.

    The offset of a detector can exceed its contrast by far more than float32 resolves.
    """
    finite = np.isfinite(image)
    if not finite.any():
        return np.zeros(image.shape, np.float32)
    if not finite.all():
        image = np.where(finite, image, np.median(image[finite]))
    return np.asarray(image - image.min(), np.float32)


def _blocks(image: np.ndarray) -> np.ndarray:
    """Blocks of a picture, (row of blocks, y, column of blocks, x)."""
    step_y, step_x = (min(BLOCK_PX, extent) for extent in image.shape)
    height, width = image.shape[0] // step_y, image.shape[1] // step_x
    return image[: height * step_y, : width * step_x].reshape(height, step_y, width, step_x)


def best_threshold(probability: np.ndarray) -> tuple[float, float]:
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
    return float(edges[-2 - best]), float(dice[best])


def sure_parts(probability: np.ndarray, threshold: float = PARAMETERS.threshold) -> np.ndarray:
    """Connected parts (corners count) above a threshold that somewhere exceed it as `sure` does."""
    mask = np.asarray(probability > threshold)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[labels[probability > threshold * PARAMETERS.sure / PARAMETERS.threshold]] = True
    kept[0] = False
    return np.asarray(kept[labels])


def with_dark_holes(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
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


def typical_diameter_px(mask: np.ndarray) -> float:
    """Equivalent diameter of the connected part that half of a mask's area does not exceed; 0 if empty."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.sort(np.bincount(labels.ravel())[1:])
    if not len(areas):
        return 0.0
    covered = np.cumsum(areas)
    return float(np.sqrt(areas[np.searchsorted(covered, covered[-1] / 2)] * 4 / np.pi))
