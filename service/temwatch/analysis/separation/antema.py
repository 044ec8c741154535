"""The rules of ANTEMA (Gumbiowski et al., Nanoscale Adv. 5 (2023) 2318), for results that can be compared.

Ultimate erosion for convex sets as that program does it: erosion by a 2 x 2 square and a cross in turn,
each followed by an opening; small markers are dropped, and so are clumps of low convexity or many holes.
Whether a region is convex is decided on perimeters by a corrected chain code and on a hull drawn on a grid of
5 x 5 parts a pixel. On nine reference masks it finds the particles that ANTEMA, as run under Octave, finds,
pixel by pixel.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.measurement.outline import hull, trace
from temwatch.analysis.separation.cleaning import find_regions
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Reason, Region, Rejection
from temwatch.errors import UsageError

METHODS = ("uecs", "none")
MIN_CONVEXITY = 0.5
MAX_HOLES = 10
MIN_MARKER_PX = 30
MIN_SOLIDITY = 0.95
MIN_RING_SHARE = 0.25
"""Regrowth ends where less than this share of the pixels next to a particle belongs to its clump."""
STEP_STRAIGHT, STEP_DIAGONAL, STEP_CORNER = 0.980, 1.406, -0.091
"""Length of a chain code's steps (Vossepoel and Smeulders, 1982)."""
SUBPIXELS = 5


def fixed_settings(settings: SeparationSettings, contacts: Mask | None) -> SeparationSettings:
    """The settings with what the original fixes, so that the description of the method states it.

    Raises
    ------
    UsageError
        What that program cannot do: another method than uecs and none, or contacts.
    """
    if settings.method not in METHODS or contacts is not None:
        raise UsageError(
            f"compatibility: antema has the methods {' and '.join(METHODS)}, and knows no contacts"
        )
    values = {
        "min_convexity": MIN_CONVEXITY,
        "max_holes": MAX_HOLES,
        "vanishing_markers": "drop",
        "min_marker_px": MIN_MARKER_PX,
    }
    return settings.model_copy(update=values)


def separate_clumps(
    mask: Mask, *, min_area_px: int, settings: SeparationSettings
) -> tuple[list[Region], list[Rejection]]:
    """Particles of a mask without speckles; holes of any size are filled after separation.

    Parameters
    ----------
    mask
        Shape (y, x).
    min_area_px
        Nothing smaller counts as a particle.
    settings
        Threshold of convexity; method none leaves every region whole.
    """
    found: list[Region] = []
    rejections: list[Rejection] = []
    for region in find_regions(mask):
        convexity, _ = _convexity_and_solidity(region.mask)
        if settings.method == "none" or convexity > settings.convexity_threshold:
            found.append(region)
        elif convexity < settings.min_convexity:
            rejections.append(Rejection(region=region, reason=Reason.LOW_CONVEXITY))
        elif ndimage.label(~np.pad(region.mask, 1))[1] - 1 > MAX_HOLES:
            rejections.append(Rejection(region=region, reason=Reason.TOO_MANY_HOLES))
        else:
            grown, dropped = _separate(region, max(min_area_px, MIN_MARKER_PX), settings.convexity_threshold)
            found += grown
            rejections += [Rejection(region=marker, reason=Reason.NOT_SEPARABLE) for marker in dropped]
    # growth within the clump can leave parts that are not connected: each counts as a particle
    pieces = [
        replace(
            _shifted(piece, region), mask=ndimage.binary_fill_holes(piece.mask), separated=region.separated
        )
        for region in found
        for piece in find_regions(region.mask)
    ]
    return pieces, rejections


def _separate(clump: Region, least_px: int, threshold: float) -> tuple[list[Region], list[Region]]:
    """What grew back and is convex; and markers that were dropped, and what grew back and is not."""
    dropped: list[Region] = []
    markers = np.zeros(clump.mask.shape, dtype=bool)
    steps = np.zeros(clump.mask.shape, dtype=int)
    waiting = [(Region(origin_px=(0, 0), mask=clump.mask), 0)]
    while waiting:
        remains, step = waiting.pop()
        large = np.count_nonzero(remains.mask) > least_px
        if large and _minor_axis(remains.mask) > least_px // 10 and not _is_convex(remains.mask, threshold):
            window = _window(remains, clump.mask.shape, 1)
            eroded = _opened(_eroded(window.mask, step)) & window.mask
            waiting += [(_shifted(piece, window), step + 1) for piece in find_regions(eroded)]
        elif large:
            _view(markers, remains)[remains.mask] = True
            _view(steps, remains)[remains.mask] = step + 1
        else:
            dropped.append(replace(_shifted(remains, clump), separated=True))
    grown: list[Region] = []
    for marker in find_regions(markers):
        particle = _regrown(marker, clump.mask, int(_view(steps, marker)[marker.mask].max()))
        first = find_regions(particle.mask)[0]
        target = grown if _is_convex(first.mask, threshold) else dropped
        target.append(replace(_shifted(particle, clump), separated=True))
    return grown, dropped


def _regrown(marker: Region, clump: Mask, steps: int) -> Region:
    window = _window(marker, clump.shape, steps + 3)
    allowed = _view(clump, window)
    particle = window.mask
    for step in range(steps):
        ring = _closed(_dilated(particle, step)) & ~particle
        new = ring & allowed
        particle = particle | new
        if step % 2 == 0 and np.count_nonzero(new) < max(MIN_RING_SHARE * np.count_nonzero(ring), 1):
            break
    return _tight(replace(window, mask=particle))


def _is_convex(mask: Mask, threshold: float) -> bool:
    convexity, solidity = _convexity_and_solidity(mask)
    return convexity > threshold and solidity > MIN_SOLIDITY


def _minor_axis(mask: Mask) -> float:
    """Minor axis in px of the ellipse with the same second moments, a pixel's own 1/12 included."""
    rows, columns = np.nonzero(mask)
    own = 1 / 12
    yy, xx = rows.var() + own, columns.var() + own
    xy = float(np.mean((rows - rows.mean()) * (columns - columns.mean())))
    return 2 * math.sqrt(2 * max(yy + xx - math.hypot(yy - xx, 2 * xy), 0.0))


def _eroded(mask: Mask, step: int) -> Mask:
    """Erosion by the square whose origin is its top left pixel (even steps) or by the cross.

    Beyond the clump's crop everything counts as set, so its extreme sides are not eroded.
    """
    near = np.pad(mask, 1, constant_values=True)
    eroded: Mask = near[1:-1, 1:-1] & near[2:, 1:-1] & near[1:-1, 2:]
    return eroded & (near[2:, 2:] if step % 2 == 0 else near[:-2, 1:-1] & near[1:-1, :-2])


def _dilated(mask: Mask, step: int) -> Mask:
    """Dilation by the same two, the square reflected."""
    near = np.pad(mask, 1)
    dilated: Mask = near[1:-1, 1:-1] | near[:-2, 1:-1] | near[1:-1, :-2]
    return dilated | (near[:-2, :-2] if step % 2 == 0 else near[2:, 1:-1] | near[1:-1, 2:])


def _opened(mask: Mask) -> Mask:
    return _dilated(_eroded(mask, 1), 1)


def _closed(mask: Mask) -> Mask:
    return _eroded(_dilated(mask, 1), 1)


def _window(region: Region, shape: tuple[int, ...], margin: int) -> Region:
    """The region on a canvas that is larger by `margin` px, as far as `shape` goes."""
    row, column = region.origin_px
    height, width = region.mask.shape
    top, left = min(margin, row), min(margin, column)
    bottom, right = min(margin, shape[0] - row - height), min(margin, shape[1] - column - width)
    return Region(
        origin_px=(row - top, column - left), mask=np.pad(region.mask, ((top, bottom), (left, right)))
    )


def _tight(region: Region) -> Region:
    rows, columns = np.flatnonzero(region.mask.any(1)), np.flatnonzero(region.mask.any(0))
    return Region(
        origin_px=(region.origin_px[0] + int(rows[0]), region.origin_px[1] + int(columns[0])),
        mask=region.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1],
    )


def _shifted(region: Region, frame: Region) -> Region:
    """A region that was found in the crop of another, at its place in the whole."""
    row, column = frame.origin_px
    return replace(region, origin_px=(row + region.origin_px[0], column + region.origin_px[1]))


def _view(whole: NDArray[Any], region: Region) -> NDArray[Any]:
    row, column = region.origin_px
    return whole[row : row + region.mask.shape[0], column : column + region.mask.shape[1]]


def _convexity_and_solidity(mask: Mask) -> tuple[float, float]:
    return _decide(np.ascontiguousarray(mask))


@njit(cache=True, nogil=True)
def _decide(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Chain code of the hull's pixels / chain code of the region, and area / number of the hull's pixels."""
    _, inside, _ = trace(mask)
    convex = _hull_pixels(inside, mask.shape[0], mask.shape[1])
    own = _chain_code(inside)
    perimeter = _chain_code(trace(convex)[1])
    return (perimeter / own if own > 0 else 1.0), np.count_nonzero(mask) / np.count_nonzero(convex)


@njit(cache=True, nogil=True)
def _chain_code(inside: NDArray[np.int64]) -> float:
    """Length in px of the way through the outermost pixels' centres.

    `inside` as `trace` gives it: along a straight part the way makes straight steps, between two parts a
    diagonal one or none. A corner is a change between horizontal, vertical and diagonal.
    """
    straight = diagonal = corners = 0
    first = last = -1
    count = len(inside)
    for index in range(count):
        rows = abs(inside[(index + 1) % count, 0] - inside[index, 0])
        columns = abs(inside[(index + 1) % count, 1] - inside[index, 1])
        if rows == 0 and columns == 0:
            continue
        kind = 2 if rows and columns else (1 if rows else 0)
        if kind == 2:
            diagonal += 1
        else:
            straight += rows + columns
        if first < 0:
            first = kind
        elif kind != last:
            corners += 1
        last = kind
    if first != last:
        corners += 1
    return STEP_STRAIGHT * straight + STEP_DIAGONAL * diagonal + STEP_CORNER * corners


@njit(cache=True, nogil=True)
def _hull_pixels(inside: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """Pixels whose central part lies in the hull of the mid-points of pixel edges.

    The sides of the hull are drawn on the grid of pixel parts, and cross the central column of parts of each
    column of pixels once above and once below.
    """
    middles = np.empty((4 * len(inside), 2), np.int64)
    for index in range(len(inside)):
        row, column = 2 * inside[index, 0] + 1, 2 * inside[index, 1] + 1
        middles[4 * index] = row - 1, column
        middles[4 * index + 1] = row + 1, column
        middles[4 * index + 2] = row, column - 1
        middles[4 * index + 3] = row, column + 1
    corners = hull(middles, 2 * height + 1)
    begins = np.full(width, height)
    ends = np.zeros(width, np.int64)
    for index in range(len(corners)):
        ahead = corners[(index + 1) % len(corners)]
        y0, x0 = (SUBPIXELS * corners[index] + 1) // 2
        y1, x1 = (SUBPIXELS * ahead + 1) // 2
        across, along = abs(x1 - x0), abs(y1 - y0)
        if (across >= along and x0 > x1) or (across < along and y0 > y1):
            y0, x0, y1, x1 = y1, x1, y0, x0
        length = max(across, along)
        x_before, y_before = x0, y0
        for step in range(1, length + 1):
            x = x0 + step if across >= along else math.floor(x0 + (x1 - x0) / along * step + 0.5)
            y = math.floor(y0 + (y1 - y0) / across * step + 0.5) if across >= along else y0 + step
            # the line goes from the central column of parts to the next one, or back
            if x != x_before and min(x, x_before) % SUBPIXELS == SUBPIXELS // 2:
                column = min(x, x_before) // SUBPIXELS
                row = -((SUBPIXELS // 2 - min(y, y_before)) // SUBPIXELS)
                begins[column] = min(begins[column], row)
                ends[column] = max(ends[column], row)
            x_before, y_before = x, y
    pixels = np.zeros((height, width), np.bool_)
    for column in range(width):
        pixels[begins[column] : ends[column], column] = True
    return pixels
