"""What of a mask needs its connected parts: those that are sure, dark holes, and the size of most."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.connected_components import Numbers, draw_components, find_components
from temwatch.analysis.segmentation.masking_parameters import PARAMETERS
from temwatch.domain import Image, Mask

_HALF_BITS = 16


def sure_parts(mask: Mask, sure: Mask) -> Mask:
    """Connected parts of a mask (corners count) that are sure somewhere."""
    parts = find_components(mask, corners=True)
    return draw_components(parts, _have_any(parts.runs, parts.component, len(parts.area), sure), mask.shape)


def typical_diameter_px(mask: Mask) -> float:
    """Equivalent diameter of the connected part that half of a mask's area does not exceed; 0 if empty."""
    areas = np.sort(find_components(mask, corners=True).area)
    if not len(areas):
        return 0.0
    covered = np.cumsum(areas)
    return float(np.sqrt(areas[np.searchsorted(covered, covered[-1] / 2)] * 4 / np.pi))


def with_dark_holes(mask: Mask, image: Image) -> Mask:
    """A mask with those of its holes filled that look like the particle around them, see `hole_level`."""
    gaps = find_components(~mask, corners=False)
    top, left, bottom, right = gaps.box.T
    is_hole = (top > 0) & (left > 0) & (bottom < mask.shape[0]) & (right < mask.shape[1])
    if is_hole.all() or not is_hole.any():  # no background to hold against, or no hole
        return mask
    image = np.ascontiguousarray(image, np.float32)
    background = _median_level(gaps.runs, ~is_hole[gaps.component], image)
    runs, owner = (values[is_hole[gaps.component]] for values in (gaps.runs, gaps.component))
    ring = _rings(runs, owner, mask, PARAMETERS.ring_px)
    hole_level, ring_level = _mean_levels(runs, owner, ring, image, len(gaps.area))
    filled = hole_level < ring_level + PARAMETERS.hole_level * (background - ring_level)
    # where two holes are near each other the ring of one may belong to the other: it is no evidence then
    return np.asarray(mask | draw_components(gaps, filled & is_hole & ~np.isnan(ring_level), mask.shape))


def _median_level(runs: Numbers, chosen: NDArray[np.bool_], image: Image) -> float:
    """Median of the pixels of the chosen runs, by `_count` of the upper and of the lower half of its bits."""
    pixels = int((runs[chosen, 2] - runs[chosen, 1]).sum())
    middle = [_at_rank(runs[chosen], image, rank) for rank in ((pixels - 1) // 2, pixels // 2)]
    return float(np.mean(middle))


def _at_rank(runs: Numbers, image: Image, rank: int) -> np.float32:
    upper, rank = _bin_of(_count(runs, image, -1), rank)
    lower, _ = _bin_of(_count(runs, image, upper), rank)
    key = np.uint32(upper << _HALF_BITS | lower)
    is_negative = not key >> np.uint32(31)
    bits = ~key if is_negative else key & np.uint32(0x7FFFFFFF)
    return np.float32(np.array(bits, np.uint32).view(np.float32))


def _bin_of(counts: Numbers, rank: int) -> tuple[int, int]:
    """The bin of a histogram that holds this rank, and its rank there."""
    ends = np.cumsum(counts)
    found = int(np.searchsorted(ends, rank, side="right"))
    return found, rank - int(ends[found] - counts[found])


@njit(cache=True, nogil=True)
def _have_any(runs: Numbers, component: Numbers, components: int, sure: Mask) -> NDArray[np.bool_]:
    """Which components hold a pixel of `sure`, (components,)."""
    found = np.zeros(components, np.bool_)
    for run in range(len(runs)):
        if not found[component[run]]:
            found[component[run]] = sure[runs[run, 0], runs[run, 1] : runs[run, 2]].any()
    return found


@njit(cache=True, nogil=True)
def _count(runs: Numbers, image: Image, upper: int) -> Numbers:
    """Histogram of half of the bits of the pixels of runs, in an order that is that of their values.

    Of the upper half, or of the lower half of those pixels whose upper half is `upper`.
    """
    bits = image.view(np.uint32)
    counts = np.zeros(1 << _HALF_BITS, np.int64)
    for run in range(len(runs)):
        row = runs[run, 0]
        for column in range(runs[run, 1], runs[run, 2]):
            value = bits[row, column]
            key = np.uint32(~value) if value >> np.uint32(31) else np.uint32(value | np.uint32(0x80000000))
            high = key >> np.uint32(_HALF_BITS)
            if upper < 0:
                counts[high] += 1
            elif high == upper:
                counts[key & np.uint32(0xFFFF)] += 1
    return counts


@njit(cache=True, nogil=True)
def _rings(runs: Numbers, owner: Numbers, mask: Mask, reach: int) -> NDArray[np.int32]:
    """The hole, counted from 1, of each pixel of the mask within `reach` of one; the later of several."""
    height, width = mask.shape
    ring = np.zeros((height, width), np.int32)
    for run in range(len(runs)):
        row, start, end = runs[run]
        hole = np.int32(owner[run] + 1)
        for near_row in range(max(row - reach, 0), min(row + reach + 1, height)):
            for column in range(max(start - reach, 0), min(end + reach, width)):
                if mask[near_row, column] and ring[near_row, column] < hole:
                    ring[near_row, column] = hole
    return ring


@njit(cache=True, nogil=True)
def _mean_levels(
    runs: Numbers, owner: Numbers, ring: NDArray[np.int32], image: Image, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each hole and of its ring, (count,); NaN where there is none."""
    sums, pixels = np.zeros((2, count)), np.zeros((2, count), np.int64)
    for run in range(len(runs)):
        row, start, end = runs[run]
        pixels[0, owner[run]] += end - start
        for column in range(start, end):
            sums[0, owner[run]] += image[row, column]
    for row in range(ring.shape[0]):
        for column in range(ring.shape[1]):
            if ring[row, column]:
                sums[1, ring[row, column] - 1] += image[row, column]
                pixels[1, ring[row, column] - 1] += 1
    levels = np.full((2, count), np.nan)
    for part in range(2):
        for index in range(count):
            if pixels[part, index]:
                levels[part, index] = sums[part, index] / pixels[part, index]
    return levels[0], levels[1]
