"""Connected parts of a mask, found by runs: stretches of set pixels in one row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Parts(NamedTuple):
    """Connected parts of a mask, numbered from 0 in reading order of their first pixels.

    Attributes
    ----------
    runs
        (r, 3) row, first column and end column of each run.
    number
        (r,) part that the run belongs to.
    area
        (n,) number of pixels of each part.
    box
        (n, 4) top, left, bottom and right of each part; bottom and right are one past the last pixel.
    """

    runs: Numbers
    number: Numbers
    area: Numbers
    box: Numbers


def connected_parts(mask: NDArray[np.bool_], *, corners: bool) -> Parts:
    """Connected parts of a mask; with `corners`, pixels that touch at a corner only belong together too."""
    return Parts(*label_runs(mask, 1 if corners else 0))


def painted(parts: Parts, chosen: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask of `shape` with the chosen parts."""
    mask = np.zeros(shape, dtype=bool)
    _paint(parts.runs, parts.number, chosen, mask)
    return mask


def crops(parts: Parts) -> list[NDArray[np.bool_]]:
    """Each part as a tight crop."""
    heights, widths = parts.box[:, 2] - parts.box[:, 0], parts.box[:, 3] - parts.box[:, 1]
    begins = np.concatenate(([0], np.cumsum(heights * widths)))
    pixels = np.zeros(int(begins[-1]), dtype=bool)
    _paint_crops(parts.runs, parts.number, parts.box, begins, pixels)
    shapes = zip(begins[:-1].tolist(), begins[1:].tolist(), heights.tolist(), widths.tolist(), strict=True)
    return [pixels[begin:end].reshape(height, width) for begin, end, height, width in shapes]


@njit(cache=True, nogil=True)
def small_holes(mask: NDArray[np.bool_], smallest_px: int) -> NDArray[np.bool_]:
    """The 4-connected parts of the background below `smallest_px` that do not reach the edge of the mask."""
    height, width = mask.shape
    runs, number, area, box = label_runs(~mask, 0)
    holes = np.zeros(mask.shape, np.bool_)
    for run in range(len(runs)):
        top, left, bottom, right = box[number[run]]
        inner = top > 0 and left > 0 and bottom < height and right < width
        if inner and area[number[run]] < smallest_px:
            holes[runs[run, 0], runs[run, 1] : runs[run, 2]] = True
    return holes


@njit(cache=True, nogil=True)
def label_runs(mask: NDArray[np.bool_], reach: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """What `Parts` holds, in its order; runs of two rows meet when they are less than `reach` apart."""
    height, width = mask.shape
    runs = np.empty((2 * height + 16, 3), np.int64)
    root = np.empty(2 * height + 16, np.int64)
    count = above = above_end = 0
    for row in range(height):
        first_of_row = count
        column = 0
        while True:
            while column < width and not mask[row, column]:
                column += 1
            if column == width:
                break
            start = column
            while column < width and mask[row, column]:
                column += 1
            if count == len(runs):
                runs, root = _doubled(runs, root)
            runs[count] = row, start, column
            root[count] = count
            while above < above_end and runs[above, 2] + reach <= start:
                above += 1
            other = above
            while other < above_end and runs[other, 1] < column + reach:
                _join(root, count, other)
                other += 1
            count += 1
        above, above_end = first_of_row, count
    number = np.empty(count, np.int64)
    parts = 0
    for run in range(count):
        # a root is the first run of its part, so parts are met in reading order
        if root[run] == run:
            number[run] = parts
            parts += 1
        else:
            number[run] = number[_root(root, run)]
    area = np.zeros(parts, np.int64)
    box = np.zeros((parts, 4), np.int64)
    box[:, 1] = width
    for run in range(count):
        row, start, end = runs[run]
        part = number[run]
        if not area[part]:
            box[part, 0] = row
        area[part] += end - start
        box[part, 1] = min(box[part, 1], start)
        box[part, 2] = row + 1
        box[part, 3] = max(box[part, 3], end)
    return runs[:count], number, area, box


@njit(cache=True, nogil=True)
def cut_out(runs: Numbers, number: Numbers, box: Numbers, part: int) -> NDArray[np.bool_]:
    """One part as a tight crop."""
    top, left, bottom, right = box[part]
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for run in range(len(runs)):
        if number[run] == part:
            mask[runs[run, 0] - top, runs[run, 1] - left : runs[run, 2] - left] = True
    return mask


@njit(cache=True, nogil=True)
def peaks(runs: Numbers, number: Numbers, parts: int, values: Numbers) -> Numbers:
    """(parts,) largest of the values, which are not negative, at the pixels of each part."""
    largest = np.zeros(parts, np.int64)
    for run in range(len(runs)):
        part = number[run]
        for column in range(runs[run, 1], runs[run, 2]):
            largest[part] = max(largest[part], values[runs[run, 0], column])
    return largest


@njit(cache=True, nogil=True)
def pooled(crops: list[NDArray[np.bool_]]) -> tuple[NDArray[np.bool_], Numbers]:
    """The pixels of crops one after the other, and (n + 1,) where each begins."""
    begins = np.zeros(len(crops) + 1, np.int64)
    for index, crop in enumerate(crops):
        begins[index + 1] = begins[index] + crop.size
    pixels = np.empty(begins[-1], np.bool_)
    for index, crop in enumerate(crops):
        pixels[begins[index] : begins[index + 1]] = crop.ravel()
    return pixels, begins


@njit(cache=True, nogil=True)
def _doubled(runs: Numbers, root: Numbers) -> tuple[Numbers, Numbers]:
    more_runs, more_root = np.empty((2 * len(runs), 3), np.int64), np.empty(2 * len(root), np.int64)
    more_runs[: len(runs)] = runs
    more_root[: len(root)] = root
    return more_runs, more_root


@njit(cache=True, nogil=True)
def _root(root: Numbers, run: int) -> int:
    while root[run] != run:
        root[run] = root[root[run]]
        run = root[run]
    return run


@njit(cache=True, nogil=True)
def _join(root: Numbers, run: int, other: int) -> None:
    a, b = _root(root, run), _root(root, other)
    root[max(a, b)] = min(a, b)


@njit(cache=True, nogil=True)
def _paint(runs: Numbers, number: Numbers, chosen: NDArray[np.bool_], mask: NDArray[np.bool_]) -> None:
    for run in range(len(runs)):
        if chosen[number[run]]:
            mask[runs[run, 0], runs[run, 1] : runs[run, 2]] = True


@njit(cache=True, nogil=True)
def _paint_crops(
    runs: Numbers, number: Numbers, box: Numbers, begins: Numbers, pixels: NDArray[np.bool_]
) -> None:
    for run in range(len(runs)):
        part = number[run]
        row = begins[part] + (runs[run, 0] - box[part, 0]) * (box[part, 3] - box[part, 1]) - box[part, 1]
        pixels[row + runs[run, 1] : row + runs[run, 2]] = True
