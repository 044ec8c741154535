"""The part of a picture that was recorded: not the padding of a corrected frame, nor what an aperture covers.

What remains of a frame that was shifted, turned or seen through a round aperture is convex, so it is looked
for as the convex hull of what differs from the padding. A particle that the padding cuts lies within it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.segmentation import neighbours
from temwatch.domain import Image, Mask

Levels = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldParameters:
    """Tuned on simulated micrographs and on published ones (docs/measurement.md)."""

    margin_px: int = 3
    """px; what interpolation or a rim may have mixed with the padding."""
    rim_px: int = 12
    """px; within it the rim of an aperture passes from one level to the other."""
    run_px: int = 8
    """px; padding has so many equal neighbours along the border, in a corner or amid a side."""
    min_padding: float = 0.9
    """Share of what lies outside the hull that is padding: of one value, or dark."""
    min_field: float = 0.2
    """Least share of the picture that a field has."""
    block_px: int = 4
    """px; an aperture is looked for in means of such blocks."""
    corner: float = 0.03
    """Share of the shorter side; edge of the square in each corner that an aperture has to cover."""
    min_covered: float = 0.02
    """Share of the picture that an aperture covers at least."""
    bright_percentile: float = 95.0
    """Of the blocks; between it and the darkest corner the field is told from what is covered. Letters and
    their boxes cover less than the rest."""
    end: float = 0.4
    """Share of the distance from the level of what is covered to the film's where it ends."""
    max_spread: float = 0.2
    """Spread of the covered blocks over their distance from the field."""
    max_corner_spread: float = 0.4
    """Of a covered corner's blocks, over their distance from the field: a cheap test before the others."""
    min_step: float = 0.6
    """Share of the distance between the levels of both that is passed at the rim; a vignette has none."""
    round: float = 0.005
    """Share of the radius by which the rim of an aperture departs from a circle; at least half a block.
    Circles in blocks depart by 0.4 blocks, ends of crowds and of particles in corners by 0.54 to 1.6."""


PARAMETERS = FieldParameters()


def find_field(image: Image) -> Mask | None:
    """Where the picture was recorded.

    Parameters
    ----------
    image : float32, (y, x)
        As recorded, not its negative.

    Returns
    -------
    bool, (y, x), or None
        None where it was recorded everywhere.
    """
    if min(image.shape) < 4 * PARAMETERS.rim_px:
        return None
    field = None
    for value in _values_at_border(image):
        padding = np.isnan(image) if np.isnan(value) else image == np.float32(value)
        if padding.all():
            return None
        if (found := _without_padding(padding)) is not None and np.ptp(image[found]) > 0:
            field = found if field is None else field & found
    if field is None:
        return _within_aperture(image)
    return field


def _values_at_border(image: Image) -> Iterator[float]:
    """What `run_px` neighbours along the border have in common, in corners and the middles of the sides."""
    seen: list[float] = []
    for side in (image[0], image[-1], image[:, 0], image[:, -1]):
        middle = (side.size - PARAMETERS.run_px) // 2
        for begin in (0, middle, side.size - PARAMETERS.run_px):
            value = float(side[begin])
            run = side[begin : begin + PARAMETERS.run_px]
            if np.isinf(value) or not (np.isnan(run) if np.isnan(value) else run == side[begin]).all():
                continue
            if any(value == one or (np.isnan(value) and np.isnan(one)) for one in seen):
                continue
            seen.append(value)
            yield value


def _without_padding(padding: Mask) -> Mask | None:
    """The convex field beside pixels of one value; None where these are no padding."""
    if np.count_nonzero(padding) < max(padding.shape) // 2:
        return None
    rest = _largest(~padding)
    outside = ~hull(rest)
    if np.count_nonzero(~outside) < PARAMETERS.min_field * outside.size:
        return None
    covered = np.count_nonzero(outside)
    if covered < max(padding.shape) // 2 or np.count_nonzero(padding & outside) < (
        PARAMETERS.min_padding * covered
    ):
        return None
    return ~neighbours.grown(outside, PARAMETERS.margin_px)


def _within_aperture(image: Image) -> Mask | None:
    """The field within a round aperture: corners are even and dark, and what they reach ends at a circle."""
    block = PARAMETERS.block_px
    levels = np.nan_to_num(neighbours.reduced(image, block)).astype(np.float64)
    height, width = levels.shape
    size = max(2, round(PARAMETERS.corner * min(height, width)))
    corners = [levels[y, x] for y in (np.s_[:size], np.s_[-size:]) for x in (np.s_[:size], np.s_[-size:])]
    lowest = min(float(np.median(corner)) for corner in corners)
    bright = float(np.percentile(levels, PARAMETERS.bright_percentile))
    film = float(np.median(levels[levels >= (lowest + bright) / 2]))
    if not any(_is_even(corner, film) for corner in corners):
        return None
    labels, _ = ndimage.label(levels < lowest + PARAMETERS.end * (film - lowest))
    ends = labels[[0, 0, -1, -1], [0, -1, 0, -1]]
    covered = np.isin(labels, ends[ends > 0])
    share = covered.mean()
    if np.count_nonzero(ends) < 2 or not PARAMETERS.min_covered < share < 1 - PARAMETERS.min_field:
        return None  # a particle lies in a corner
    inside = hull(_largest(~covered))
    circle = _circle(inside)
    if circle is None or not _is_dark_beyond(levels, covered, inside):
        return None
    row, column, radius = (block * value for value in circle)
    rows, columns = (np.arange(extent) - (block - 1) / 2 for extent in image.shape)
    radius -= block + PARAMETERS.margin_px
    return np.asarray(np.add.outer((rows - row) ** 2, (columns - column) ** 2) < radius**2)


def _is_even(corner: Levels, film: float) -> bool:
    """Whether a corner may be covered: darker than the film by more than it varies."""
    low, level, high = np.percentile(corner, (16, 50, 84))
    return bool((high - low) / 2 <= PARAMETERS.max_corner_spread * (film - level) and level < film)


def _is_dark_beyond(levels: Levels, covered: Mask, inside: Mask) -> bool:
    """Whether the blocks outside are dark, vary little, and are passed from the field within a rim."""
    if np.count_nonzero(covered & ~inside) < PARAMETERS.min_padding * np.count_nonzero(~inside):
        return False
    steps = -(-PARAMETERS.rim_px // PARAMETERS.block_px)
    deep, far = covered & ~neighbours.grown(inside, steps), ~neighbours.grown(~inside, steps)
    near = far & neighbours.grown(~inside, 2 * steps)
    if not deep.any() or not near.any():
        return False
    low, film = float(np.median(levels[deep])), float(np.median(levels[far]))
    # dark particles at the rim do not count: the brighter half of the blocks along it
    at_rim = float(np.percentile(levels[near], 75))
    even = float(np.std(levels[deep])) < PARAMETERS.max_spread * (film - low)
    return even and at_rim - low > PARAMETERS.min_step * (film - low)


def _circle(inside: Mask) -> tuple[float, float, float] | None:
    """Row, column and radius of the circle that a mask ends at within the picture; None if it is none."""
    rows, columns = np.nonzero(inside & neighbours.grown(~inside))
    if rows.size < 8:
        return None
    terms = np.stack([rows, columns, np.ones(rows.size)], axis=1)
    row, column, rest = np.linalg.lstsq(terms, rows**2 + columns**2, rcond=None)[0]
    radius = float(np.sqrt(max(rest + row**2 / 4 + column**2 / 4, 0)))
    off = np.hypot(rows - row / 2, columns - column / 2) - radius
    if radius > max(inside.shape) or np.sqrt(np.mean(off**2)) > max(0.5, PARAMETERS.round * radius):
        return None
    return float(row / 2), float(column / 2), radius


def hull(mask: Mask) -> Mask:
    """The convex hull of a mask's pixels, as a mask of the same shape."""
    rows = np.flatnonzero(mask.any(axis=1))
    found = np.zeros(mask.shape, bool)
    if rows.size == 0:
        return found
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    every = np.arange(rows[0], rows[-1] + 1)
    begin = _lower_envelope(rows, left, every)
    end = -_lower_envelope(rows, -right, every)
    columns = np.arange(mask.shape[1])
    found[every] = (columns >= np.floor(begin + 0.5)[:, None]) & (columns <= np.ceil(end - 0.5)[:, None])
    return found


def _lower_envelope(x: NDArray[np.intp], y: NDArray[np.intp], at: NDArray[np.intp]) -> Levels:
    """The convex polygon below points whose `x` ascend, evaluated at other places."""
    chain: list[tuple[int, int]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(chain) > 1 and _turns_right(chain[-2], chain[-1], point):
            chain.pop()
        chain.append(point)
    return np.interp(at, [one[0] for one in chain], [one[1] for one in chain])


def _turns_right(first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]) -> bool:
    ahead = (second[0] - first[0], second[1] - first[1])
    aside = (third[0] - first[0], third[1] - first[1])
    return ahead[0] * aside[1] - ahead[1] * aside[0] <= 0


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())
