"""Connected components of a mask, found by runs: stretches of set pixels in one row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Components(NamedTuple):
    """Connected components of a mask, numbered from 0 in reading order of their first pixels.

    Attributes
    ----------
    runs
        (r, 3) row, first column and end column of each run.
    component
        (r,) component that the run belongs to.
    area
        (n,) number of pixels of each component.
    box
        (n, 4) top, left, bottom and right of each; bottom and right are one past the last pixel.
    """

    runs: Numbers
    component: Numbers
    area: Numbers
    box: Numbers


def find_components(mask: NDArray[np.bool_], *, corners: bool) -> Components:
    """Connected components of a mask (y, x); with `corners`, pixels that touch at a corner are connected."""
    return Components(*label_runs(mask, 1 if corners else 0))


def draw_components(
    components: Components, chosen: NDArray[np.bool_], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Mask of `shape` (y, x) with the chosen components, (n,) bool."""
    mask = np.zeros(shape, dtype=bool)
    _draw(components.runs, components.component, chosen, mask)
    return mask


def crop_components(components: Components) -> list[NDArray[np.bool_]]:
    """Each component as a tight crop."""
    box = components.box
    heights, widths = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    begins = np.concatenate(([0], np.cumsum(heights * widths)))
    pixels = np.zeros(int(begins[-1]), dtype=bool)
    _draw_crops(components.runs, components.component, box, begins, pixels)
    shapes = zip(begins[:-1].tolist(), begins[1:].tolist(), heights.tolist(), widths.tolist(), strict=True)
    return [pixels[begin:end].reshape(height, width) for begin, end, height, width in shapes]


@njit(cache=True, nogil=True)
def small_holes(mask: NDArray[np.bool_], min_area_px: int) -> NDArray[np.bool_]:
    """The 4-connected parts of the background below `min_area_px` that do not reach the edge of the mask."""
    height, width = mask.shape
    runs, component, area, box = label_runs(~mask, 0)
    holes = np.zeros(mask.shape, np.bool_)
    for run in range(len(runs)):
        top, left, bottom, right = box[component[run]]
        inner = top > 0 and left > 0 and bottom < height and right < width
        if inner and area[component[run]] < min_area_px:
            holes[runs[run, 0], runs[run, 1] : runs[run, 2]] = True
    return holes


@njit(cache=True, nogil=True)
def label_runs(mask: NDArray[np.bool_], reach: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """What `Components` holds, in its order; runs of two rows meet when they are less than `reach` apart."""
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
    component = np.empty(count, np.int64)
    components = 0
    for run in range(count):
        # a root is the first run of its component, so components are met in reading order
        if root[run] == run:
            component[run] = components
            components += 1
        else:
            component[run] = component[_root(root, run)]
    area = np.zeros(components, np.int64)
    box = np.zeros((components, 4), np.int64)
    box[:, 1] = width
    for run in range(count):
        row, start, end = runs[run]
        index = component[run]
        if not area[index]:
            box[index, 0] = row
        area[index] += end - start
        box[index, 1] = min(box[index, 1], start)
        box[index, 2] = row + 1
        box[index, 3] = max(box[index, 3], end)
    return runs[:count], component, area, box


@njit(cache=True, nogil=True)
def crop_component(runs: Numbers, component: Numbers, box: Numbers, index: int) -> NDArray[np.bool_]:
    """One component as a tight crop."""
    top, left, bottom, right = box[index]
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for run in range(len(runs)):
        if component[run] == index:
            mask[runs[run, 0] - top, runs[run, 1] - left : runs[run, 2] - left] = True
    return mask


@njit(cache=True, nogil=True)
def largest_values(runs: Numbers, component: Numbers, components: int, values: Numbers) -> Numbers:
    """(components,) largest of the values, which are not negative, at the pixels of each component."""
    largest = np.zeros(components, np.int64)
    for run in range(len(runs)):
        index = component[run]
        for column in range(runs[run, 1], runs[run, 2]):
            largest[index] = max(largest[index], values[runs[run, 0], column])
    return largest


@njit(cache=True, nogil=True)
def pack_crops(crops: list[NDArray[np.bool_]]) -> tuple[NDArray[np.bool_], Numbers]:
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
def _draw(runs: Numbers, component: Numbers, chosen: NDArray[np.bool_], mask: NDArray[np.bool_]) -> None:
    for run in range(len(runs)):
        if chosen[component[run]]:
            mask[runs[run, 0], runs[run, 1] : runs[run, 2]] = True


@njit(cache=True, nogil=True)
def _draw_crops(
    runs: Numbers, component: Numbers, box: Numbers, begins: Numbers, pixels: NDArray[np.bool_]
) -> None:
    for run in range(len(runs)):
        index = component[run]
        row = begins[index] + (runs[run, 0] - box[index, 0]) * (box[index, 3] - box[index, 1]) - box[index, 1]
        pixels[row + runs[run, 1] : row + runs[run, 2]] = True
