"""What the picture shows across a contour: a profile along the normal of each of its points.

Profiles are in steps of the contour and in its own contrast, so that they look alike at any magnification,
size, exposure and thickness.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.refinement.contours import Contours, Floats

INSIDE, OUTSIDE = 12, 15
"""Steps that a profile reaches into and out of the particle."""
SAMPLES = INSIDE + OUTSIDE + 1
CONTEXT = 5
CHANNELS = 2 * SAMPLES + CONTEXT
_LEVELS = 4
"""Halvings of the picture that a large step is sampled in, so that no pixel of a noisy one is left out."""
_ASIDE = 0.375
"""Each sample is the mean of two, so many steps to both sides along the contour."""
_BOUND = 4.0


class Strips(NamedTuple):
    """Profiles of all contours.

    Attributes
    ----------
    channels
        float32, (CHANNELS, n): brightness along the normal, the mask, noise over contrast, contrast,
        radius and step of the contour, and the curvature at the point.
    is_open
        bool, (n,): at the field's border, where there is nothing to see.
    """

    channels: Floats
    is_open: NDArray[np.bool_]


def profiles(image: Floats, noise: float, mask: NDArray[np.bool_], contours: Contours) -> Strips:
    """Sample a picture (y, x), particles dark, across contours of its mask.

    Parameters
    ----------
    image, noise
        Any offset and gain, and the standard deviation of its noise in the same unit.
    mask
        What the contours were found in.
    contours : Contours
        Where to look.
    """
    levels = [_with_neighbours(image.astype(np.float32, copy=False))]
    covered = [_with_neighbours(mask.astype(np.float32))]
    for _ in range(_LEVELS - 1):
        if min(levels[-1].shape) < 4 or contours.step_px.max(initial=0) < 2 ** len(levels):
            break
        levels.append(halved(levels[-1]))
        covered.append(halved(covered[-1]))
    rows = np.empty((len(contours.points), CHANNELS), np.float32)
    for number, (level, cover) in enumerate(zip(levels, covered, strict=True)):
        _sample(level, cover, number, len(levels) - 1, *contours[:4], rows)
    _normalise(rows, contours.points, contours.begin, contours.step_px, contours.radius_px, noise)
    row, column = contours.points.T
    is_open = (row < 1) | (column < 1) | (row > mask.shape[0] - 2) | (column > mask.shape[1] - 2)
    return Strips(rows.T, is_open)


def _with_neighbours(image: Floats) -> Floats:
    """The image with two rows and columns at least, which any place between pixels needs."""
    missing = [(0, max(0, 2 - extent)) for extent in image.shape]
    return np.ascontiguousarray(np.pad(image, missing, "edge") if np.any(missing) else image)


@njit(cache=True, nogil=True)
def halved(image: Floats) -> Floats:
    """Means of blocks of 2 x 2 pixels."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    half = np.empty((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            upper = image[2 * row, 2 * column] + image[2 * row, 2 * column + 1]
            lower = image[2 * row + 1, 2 * column] + image[2 * row + 1, 2 * column + 1]
            half[row, column] = (upper + lower) * np.float32(0.25)
    return half


@njit(cache=True, nogil=True)
def brightness(image: Floats, row: float, column: float) -> float:
    """Brightness between pixels; beyond the border that of the border."""
    row = min(max(row, 0.0), image.shape[0] - 1.000001)
    column = min(max(column, 0.0), image.shape[1] - 1.000001)
    top, left = int(row), int(column)
    down, right = row - top, column - left
    bottom, beside = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
    upper = image[top, left] * (1 - right) + image[top, beside] * right
    lower = image[bottom, left] * (1 - right) + image[bottom, beside] * right
    return float(upper * (1 - down) + lower * down)


@njit(cache=True, nogil=True)
def _sample(
    image: Floats,
    cover: Floats,
    number: int,
    last: int,
    points: Floats,
    normals: Floats,
    begin: NDArray[np.int64],
    step_px: Floats,
    rows: Floats,
) -> None:
    """Fill in the contours whose step belongs to this level of the picture."""
    height, width = image.shape
    bright, covered = image.ravel(), cover.ravel()
    corner = np.empty(2 * SAMPLES, np.int32)
    below, beside = np.empty(2 * SAMPLES, np.float32), np.empty(2 * SAMPLES, np.float32)
    factor = 2.0**number
    for contour in range(len(step_px)):
        if min(int(math.log2(step_px[contour])), last) != number:
            continue
        step = step_px[contour] / factor
        reach = (max(INSIDE, OUTSIDE) + _ASIDE) * step
        for index in range(begin[contour], begin[contour + 1]):
            row, column = (points[index, 0] + 0.5) / factor - 0.5, (points[index, 1] + 0.5) / factor - 0.5
            down, right = step * normals[index, 0], step * normals[index, 1]
            is_away = reach <= row < height - 1 - reach and reach <= column < width - 1 - reach
            # two loops, as the compiler makes vectors of the first
            for side in range(2):
                side_row = row + (_ASIDE - 2 * side * _ASIDE) * right
                side_column = column - (_ASIDE - 2 * side * _ASIDE) * down
                for sample in range(SAMPLES):
                    at_row = side_row + (sample - INSIDE) * down
                    at_column = side_column + (sample - INSIDE) * right
                    if not is_away:
                        at_row = min(max(at_row, 0.0), height - 1.000001)
                        at_column = min(max(at_column, 0.0), width - 1.000001)
                    top, left = np.int32(at_row), np.int32(at_column)
                    place = side * SAMPLES + sample
                    corner[place] = top * width + left
                    below[place], beside[place] = at_row - top, at_column - left
            for sample in range(SAMPLES):
                light = matter = np.float32(0)
                for place in (sample, sample + SAMPLES):
                    at = np.uint64(corner[place])
                    other, under = at + np.uint64(1), at + np.uint64(width)
                    across = under + np.uint64(1)
                    down_share, right_share = below[place], beside[place]
                    upper = bright[at] + right_share * (bright[other] - bright[at])
                    lower = bright[under] + right_share * (bright[across] - bright[under])
                    light += upper + down_share * (lower - upper)
                    upper = covered[at] + right_share * (covered[other] - covered[at])
                    lower = covered[under] + right_share * (covered[across] - covered[under])
                    matter += upper + down_share * (lower - upper)
                rows[index, sample] = light * np.float32(0.5)
                rows[index, SAMPLES + sample] = matter * np.float32(0.5)


@njit(cache=True, nogil=True)
def _normalise(
    rows: Floats,
    points: Floats,
    begin: NDArray[np.int64],
    step_px: Floats,
    radius_px: Floats,
    noise: float,
) -> None:
    """Brightness from the particle's (-1) to the background's (0), contour by contour, and the context."""
    for contour in range(len(step_px)):
        first, end = begin[contour], begin[contour + 1]
        inner = outer = 0.0
        inner_weight = outer_weight = 1e-6
        for index in range(first, end):
            for sample in range(INSIDE - 6, INSIDE - 1):
                cover = rows[index, SAMPLES + sample]
                inner += cover * rows[index, sample]
                inner_weight += cover
            for sample in range(INSIDE + 5, SAMPLES):
                clear = 1 - rows[index, SAMPLES + sample]
                outer += clear * rows[index, sample]
                outer_weight += clear
        inner /= inner_weight
        outer /= outer_weight
        contrast = max(outer - inner, 0.3 * noise, 1e-3)
        count = end - first
        for index in range(first, end):
            for sample in range(SAMPLES):
                value = (rows[index, sample] - outer) / contrast
                rows[index, sample] = min(max(value, -_BOUND), _BOUND)
            before = points[first + (index - first - 2) % count]
            here = points[index]
            after = points[first + (index - first + 2) % count]
            cross = (here[1] - before[1]) * (after[0] - here[0]) - (here[0] - before[0]) * (
                after[1] - here[1]
            )
            ahead = math.hypot(after[0] - here[0], after[1] - here[1])
            behind = math.hypot(here[0] - before[0], here[1] - before[1])
            across = math.hypot(after[0] - before[0], after[1] - before[1])
            curvature = 2 * cross / max(ahead * behind * across, 1e-6)
            context = rows[index, 2 * SAMPLES :]
            context[0] = math.log(max(noise, 1e-3 * contrast) / contrast)
            context[1] = min(contrast, 4.0)
            context[2] = math.log(radius_px[contour] / step_px[contour] / 8)
            context[3] = math.log(step_px[contour])
            context[4] = min(max(curvature * radius_px[contour], -2.0), 2.0)
