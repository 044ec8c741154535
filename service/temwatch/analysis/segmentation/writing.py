"""What was written into a picture or is a defect of the detector: letters, scale bars, boxes, pixels, lines.

Evidence that an ordinary micrograph lacks: pixels of exactly one value in the form of a stroke or of a
rectangle; and dark structures that are sharper than any edge and narrower than what the Gaussian before the
threshold resolves.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.segmentation import neighbours
from temwatch.analysis.segmentation.field import hull
from temwatch.domain import Image, Mask

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingParameters:
    """Tuned on simulated micrographs and on published ones (docs/measurement.md)."""

    percentiles: tuple[float, float] = (1.0, 95.0)
    """Of the means of blocks: levels of the darkest and of the film; hot lines cover less than the rest."""
    narrow_px: int = 5
    """px; what has no square of this edge within it is narrow: the full width at half maximum of the Gaussian
    before the threshold."""
    noise_widths: float = 7.0
    """A step between neighbours is sharp from so many standard deviations of such steps, ..."""
    step: float = 0.5
    """... and from this share of the range of the picture's levels."""
    sampled_px: int = 128
    """px; of a larger picture not every pixel is used to estimate the noise."""
    beyond: float = 0.25
    """Share of the range by which something bright and narrow exceeds the film; gaps between particles and
    Fresnel fringes stay below."""
    max_sharp: float = 0.05
    """Where sharp narrow pixels are a larger share of the picture, they are its content."""
    max_flat: float = 0.5
    """Where more of the picture has equal neighbours, it has no noise, and equal pixels are no evidence."""
    min_flat_px: int = 24
    """px; fewer equal pixels are chance."""
    apart: float = 0.25
    """Share of the range by which what was written differs from what lies beside it, ..."""
    outline: float = 0.6
    """... along this share of its outline: equal pixels within something as dark are no letters."""
    rectangle: float = 0.95
    """Share of its bounding box that a rectangle fills."""
    stroke: float = 14.0
    """Area over the square of the largest inscribed radius from which equal pixels are a stroke; a disc has
    3.1, two overlapping discs 6."""
    solidity: float = 0.85
    """Area over that of the convex hull below which a stroke is a letter."""
    letter: float = 0.3
    """Share of the picture's shorter side; letters are not larger."""
    margin_px: int = 2
    """px around what was written, where it is mixed with the picture."""
    filled_px: int = 6
    """px; narrow things take the mean of what lies so near."""


PARAMETERS = WritingParameters()


class Cleaned(NamedTuple):
    """A picture whose particles are dark: `pixels` without outliers, and which of them count (None: all).

    `written` is what was left out or filled within the field (None: nothing).
    """

    pixels: Image
    valid: Mask | None
    written: Mask | None = None


def without_writing(image: Image, field: Mask | None = None) -> Cleaned:
    """Leave out what says nothing about the specimen.

    Parameters
    ----------
    image : float32, (y, x)
        Finite; particles dark.
    field : bool, (y, x), or None
        Where it was recorded, if not everywhere.

    Returns
    -------
    Cleaned
        What is far brighter than the film is brought down to near it.
    """
    if min(image.shape) < 16:
        return Cleaned(image, field)
    written = _equal(image)
    usable = ~written if field is None else field & ~written
    levels = neighbours.block_means(np.where(usable, image, np.nan) if not usable.all() else image)
    levels = levels[~np.isnan(levels)]
    if levels.size == 0:
        return Cleaned(image, field)
    low, high = np.percentile(levels, PARAMETERS.percentiles)
    contrast = float(high - low)
    ceiling = np.float32(high + PARAMETERS.beyond * contrast)
    least = max(PARAMETERS.noise_widths * _usual_step(image), PARAMETERS.step * contrast)
    narrow = _narrow(image, np.float32(least), np.float32((low + high) / 2))
    pixels = np.minimum(image, ceiling)
    if narrow.any():
        narrow = neighbours.grown(narrow, PARAMETERS.margin_px)
        _fill(pixels, narrow, usable, np.float32(high))
    if written.any():
        written = neighbours.grown(written, PARAMETERS.margin_px)
        return Cleaned(pixels, usable & ~written, written | narrow)
    return Cleaned(pixels, field, narrow if narrow.any() else None)


def _fill(pixels: Image, narrow: Mask, usable: Mask, film: np.float32) -> None:
    """Give narrow things the mean of what lies near."""
    known = usable & ~narrow
    rows, columns = np.divmod(np.flatnonzero(narrow), pixels.shape[1])
    for start in range(0, rows.size, 8192):
        place = rows[start : start + 8192], columns[start : start + 8192]
        counts = _around(known, *place, PARAMETERS.filled_px).sum(axis=(1, 2))
        sums = _around(np.where(known, pixels, 0), *place, PARAMETERS.filled_px).sum(axis=(1, 2))
        pixels[place] = np.where(counts > 0, sums / np.maximum(counts, 1), film)


def _usual_step(image: Image) -> float:
    """Standard deviation of steps between neighbours, which edges do not change: noise, blurred or not."""
    every = max(1, min(image.shape) // PARAMETERS.sampled_px)
    columns = image[:, ::every]
    return 1.4826 * float(np.median(np.abs(columns[1::every] - columns[:-1:every])))


def _narrow(image: Image, least: np.float32, middle: np.float32) -> Mask:
    """Sharp dark structures without a square of `narrow_px` within, apart from wider ones.

    Only the few dark pixels beside a sharp step are examined, each with its surroundings.
    """
    found = np.zeros(image.shape, bool)
    if least <= 0:
        return found
    sharp = np.zeros(image.shape, bool)
    for first, second in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        step = np.abs(image[second] - image[first]) > least
        sharp[first] |= step
        sharp[second] |= step
    if not sharp.any():
        return found
    half = PARAMETERS.narrow_px // 2
    dark = image < middle
    wide = neighbours.grown(~neighbours.grown(~dark, half), 2 * half)
    near = neighbours.grown(sharp) & dark & ~wide
    rows, columns = np.divmod(np.flatnonzero(near), image.shape[1])
    for start in range(0, rows.size, 8192):
        place = rows[start : start + 8192], columns[start : start + 8192]
        around = _around(image, *place, 2 * half)
        closed = _slid(_slid(around, 1), 2).min(axis=(1, 2))
        narrow = closed - image[place] > least
        found[place[0][narrow], place[1][narrow]] = True
    if found.mean() > PARAMETERS.max_sharp:
        return np.zeros(image.shape, bool)
    return found


def _around(image: NDArray[Any], rows: Places, columns: Places, reach: int) -> NDArray[Any]:
    """The squares around pixels, (pixel, y, x); the picture is reflected at its border."""
    offsets = np.arange(-reach, reach + 1)
    indices = []
    for places, extent in zip((rows, columns), image.shape, strict=True):
        at = places[:, None] + offsets
        at = np.where(at < 0, -1 - at, np.where(at < extent, at, 2 * extent - 1 - at))
        indices.append(np.clip(at, 0, extent - 1))
    return np.asarray(image[indices[0][:, :, None], indices[1][:, None, :]])


def _slid(squares: Image, axis: int) -> Image:
    """Maximum of `narrow_px` neighbours along an axis."""
    count = squares.shape[axis] - PARAMETERS.narrow_px + 1
    parts = [np.take(squares, range(k, k + count), axis) for k in range(PARAMETERS.narrow_px)]
    return functools.reduce(np.maximum, parts)


def _equal(image: Image) -> Mask:
    """Strokes and rectangles of pixels that equal all their neighbours."""
    found = np.zeros(image.shape, bool)
    rows, columns = image[1:] == image[:-1], image[:, 1:] == image[:, :-1]
    squares = rows[:, 1:] & rows[:, :-1] & columns[1:] & columns[:-1]
    # a pixel in the middle of three by three equal ones
    flat = np.zeros(image.shape, bool)
    flat[1:-1, 1:-1] = squares[1:, 1:] & squares[1:, :-1] & squares[:-1, 1:] & squares[:-1, :-1]
    if not flat.any() or squares.mean() > PARAMETERS.max_flat:
        return found
    flat = np.asarray(ndimage.maximum_filter(flat, 3))
    labels, _ = ndimage.label(flat)
    low, high = np.percentile(neighbours.block_means(image), PARAMETERS.percentiles)
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        part = labels[place] == number
        if np.count_nonzero(part) < PARAMETERS.min_flat_px or not _is_written(part, min(image.shape)):
            continue
        around = tuple(slice(max(0, one.start - 3), one.stop + 3) for one in place)
        if _stands_out(image[around], labels[around] == number, PARAMETERS.apart * float(high - low)):
            found[place] |= ndimage.binary_fill_holes(part)
    return found


def _stands_out(image: Image, part: Mask, least: float) -> bool:
    """Whether the picture two pixels beside a part differs from it nearly everywhere."""
    ring = ndimage.maximum_filter(part, 7) & ~ndimage.maximum_filter(part, 5)
    if not ring.any():
        return False
    return bool(np.mean(np.abs(image[ring] - np.median(image[part])) > least) > PARAMETERS.outline)


def _is_written(part: Mask, side_px: int) -> bool:
    whole = ndimage.binary_fill_holes(part)
    if np.count_nonzero(whole) >= PARAMETERS.rectangle * part.size:
        return True
    if max(part.shape) > PARAMETERS.letter * side_px:
        return False
    area = np.count_nonzero(part)
    radius = float(ndimage.distance_transform_edt(np.pad(part, 1)).max())
    return bool(
        area > PARAMETERS.stroke * radius**2 and area < PARAMETERS.solidity * np.count_nonzero(hull(part))
    )
