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
    levels = [np.ascontiguousarray(image, np.float32)]
    covered = [mask.astype(np.float32)]
    for _ in range(_LEVELS - 1):
        if min(levels[-1].shape) < 2 or contours.step_px.max(initial=0) < 2 ** len(levels):
            break
        levels.append(_halved(levels[-1]))
        covered.append(_halved(covered[-1]))
    count = len(contours.points)
    channels = np.zeros((CHANNELS, count), np.float32)
    is_open = np.zeros(count, np.bool_)
    for number, (level, cover) in enumerate(zip(levels, covered, strict=True)):
        _sample(level, cover, number, len(levels) - 1, mask.shape, *contours[:4], channels, is_open)
    _normalise(channels, contours.points, contours.begin, contours.step_px, contours.radius_px, noise)
    return Strips(channels, is_open)


def _halved(image: Floats) -> Floats:
    height, width = (extent - extent % 2 for extent in image.shape)
    blocks = image[:height, :width].reshape(height // 2, 2, width // 2, 2)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


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
    shape: tuple[int, int],
    points: Floats,
    normals: Floats,
    begin: NDArray[np.int64],
    step_px: Floats,
    channels: Floats,
    is_open: NDArray[np.bool_],
) -> None:
    """Fill in the contours whose step belongs to this level of the picture."""
    factor = 2.0**number
    for contour in range(len(step_px)):
        step = step_px[contour]
        if min(int(math.log2(step)), last) != number:
            continue
        for index in range(begin[contour], begin[contour + 1]):
            row, column = points[index]
            down, right = normals[index]
            is_open[index] = row < 1 or column < 1 or row > shape[0] - 2 or column > shape[1] - 2
            for sample in range(SAMPLES):
                distance = (sample - INSIDE) * step
                bright = covered = 0.0
                for side in (-_ASIDE, _ASIDE):
                    at_row = (row + distance * down + side * step * right + 0.5) / factor - 0.5
                    at_column = (column + distance * right - side * step * down + 0.5) / factor - 0.5
                    bright += brightness(image, at_row, at_column)
                    covered += brightness(cover, at_row, at_column)
                channels[sample, index] = bright / 2
                channels[SAMPLES + sample, index] = covered / 2


@njit(cache=True, nogil=True)
def _normalise(
    channels: Floats,
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
            for sample in range(SAMPLES):
                cover = channels[SAMPLES + sample, index]
                if INSIDE - 6 <= sample <= INSIDE - 2:
                    inner += cover * channels[sample, index]
                    inner_weight += cover
                elif sample >= INSIDE + 5:
                    outer += (1 - cover) * channels[sample, index]
                    outer_weight += 1 - cover
        inner /= inner_weight
        outer /= outer_weight
        contrast = max(outer - inner, 0.3 * noise, 1e-3)
        count = end - first
        for index in range(first, end):
            for sample in range(SAMPLES):
                value = (channels[sample, index] - outer) / contrast
                channels[sample, index] = min(max(value, -_BOUND), _BOUND)
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
            context = channels[2 * SAMPLES :, index]
            context[0] = math.log(max(noise, 1e-3 * contrast) / contrast)
            context[1] = min(contrast, 4.0)
            context[2] = math.log(radius_px[contour] / step_px[contour] / 8)
            context[3] = math.log(step_px[contour])
            context[4] = min(max(curvature * radius_px[contour], -2.0), 2.0)
