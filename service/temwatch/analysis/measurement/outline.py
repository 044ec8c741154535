"""Compiled kernels: one trace around a region gives its hulls, its perimeter and its Feret diameters.

The trace follows the cracks between pixels with the region on its right, so it runs clockwise on the
screen, and keeps the corners only. Pixels that touch at a corner belong together (8-connectivity).
Points are (row, column), of pixels or, where stated, of lattice points.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# A polygon through pixel centres cuts every bend of the true outline short: by `BEND` px times the square
# of the turn at its vertices, and by `TURN` px times the turn. Fitted to discs of r = 3..100 px, ellipses
# and rectangles at random angles and sub-pixel positions; tests/test_analysis_shape.py holds the errors.
BEND = 0.42
TURN = 0.035

# Ways along cracks. Per heading east, south, west, north: the step, and the pixels right and left of a step
# from (0, 0).
STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
RIGHT = np.array([(0, 0), (0, -1), (-1, -1), (-1, 0)])
LEFT = np.array([(-1, 0), (0, 0), (0, -1), (-1, -1)])


@njit(cache=True, nogil=True)
def trace(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Outer outline of the region that holds the first set pixel of `mask`.

    Returns
    -------
    corners
        (n, 2) rows and columns of the lattice points where the outline turns; the pixel (0, 0) has its
        top left corner at (0, 0).
    inside, outside
        (2 n, 2) rows and columns of the pixels on both sides of the crack, at both ends of every straight
        part; the first is the first set pixel and a vertex of the hull of the inside pixels.
    """
    height, width = mask.shape
    row, column = 0, 0
    for index in range(height * width):
        if mask[index // width, index % width]:
            row, column = index // width, index % width
            break
    corners = np.empty((4 * (height + width), 2), np.int64)
    inside = np.empty((2 * len(corners), 2), np.int64)
    outside = np.empty_like(inside)
    start_row, start_column, heading, count = row, column, 0, 0
    corners[0, 0], corners[0, 1] = row, column
    inside[0, 0], inside[0, 1] = row, column
    outside[0, 0], outside[0, 1] = row - 1, column
    while True:
        row += STEP[heading, 0]
        column += STEP[heading, 1]
        if is_set(mask, row + LEFT[heading, 0], column + LEFT[heading, 1]):
            turned = (heading + 3) % 4
        elif is_set(mask, row + RIGHT[heading, 0], column + RIGHT[heading, 1]):
            continue
        else:
            turned = (heading + 1) % 4
        behind_row, behind_column = row - STEP[heading, 0], column - STEP[heading, 1]
        end = 2 * count + 1
        inside[end, 0] = behind_row + RIGHT[heading, 0]
        inside[end, 1] = behind_column + RIGHT[heading, 1]
        outside[end, 0] = behind_row + LEFT[heading, 0]
        outside[end, 1] = behind_column + LEFT[heading, 1]
        count += 1
        if turned == 0 and row == start_row and column == start_column:
            return corners[:count], inside[: 2 * count], outside[: 2 * count]
        if count == len(corners):
            corners, inside, outside = _doubled(corners), _doubled(inside), _doubled(outside)
        heading = turned
        corners[count, 0], corners[count, 1] = row, column
        inside[2 * count, 0] = row + RIGHT[heading, 0]
        inside[2 * count, 1] = column + RIGHT[heading, 1]
        outside[2 * count, 0] = row + LEFT[heading, 0]
        outside[2 * count, 1] = column + LEFT[heading, 1]


@njit(cache=True, nogil=True)
def is_set(mask: NDArray[np.bool_], row: int, column: int) -> bool:
    """Whether a pixel is; beyond the border none is."""
    return 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and bool(mask[row, column])


@njit(cache=True, nogil=True)
def _doubled(points: NDArray[np.int64]) -> NDArray[np.int64]:
    larger = np.empty((2 * len(points), 2), np.int64)
    larger[: len(points)] = points
    return larger


@njit(cache=True, nogil=True)
def _cross(a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64]) -> int:
    """Positive where the way a, b, c turns right on the screen (rows grow downwards)."""
    return int((b[1] - a[1]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[1] - a[1]))


@njit(cache=True, nogil=True)
def hull(points: NDArray[np.int64], height: int) -> NDArray[np.int64]:
    """Convex hull, clockwise on the screen, of points with rows 0..height-1 of which none is empty."""
    least = np.full(height, 1 << 40)
    most = np.full(height, -1)
    for index in range(len(points)):
        row, column = points[index]
        least[row] = min(least[row], column)
        most[row] = max(most[row], column)
    chain = np.empty((2 * height + 1, 2), np.int64)
    point = np.empty(2, np.int64)
    count = 0
    for row in range(height):
        if most[row] >= 0:
            point[0], point[1] = row, most[row]
            while count >= 2 and _cross(chain[count - 2], chain[count - 1], point) <= 0:
                count -= 1
            chain[count] = point
            count += 1
    base = count
    for row in range(height - 1, -1, -1):
        if most[row] >= 0:
            point[0], point[1] = row, least[row]
            if point[0] == chain[count - 1, 0] and point[1] == chain[count - 1, 1]:
                continue
            while count > base and _cross(chain[count - 2], chain[count - 1], point) <= 0:
                count -= 1
            chain[count] = point
            count += 1
    if count > 1 and chain[0, 0] == chain[count - 1, 0] and chain[0, 1] == chain[count - 1, 1]:
        count -= 1
    return chain[:count]


@njit(cache=True, nogil=True)
def shortest_polygon(inside: NDArray[np.int64], outside: NDArray[np.int64]) -> NDArray[np.int64]:
    """Shortest closed polygon between the pixel centres inside and outside the outline.

    The minimum-length polygon of Sloboda, Klette and Zatco: for a convex region it is the hull of the pixel
    centres, and an unevenness of one pixel does not lengthen it. Found by tightening a funnel through the
    pairs of pixels on both sides of the outline: from its apex the polygon must keep left of the way to
    `right`, a pixel inside, and right of the way to `left`, a pixel outside.
    """
    count = len(inside)
    polygon = np.empty((count + 1, 2), np.int64)
    polygon[0] = inside[0]
    vertices, index = 1, 0
    apex_row, apex_column = inside[0]
    # the ways from the apex; no length means no bound yet
    right_row = right_column = left_row = left_column = 0
    right = left = 0
    while index <= count:
        row = inside[index % count, 0] - apex_row
        column = inside[index % count, 1] - apex_column
        unbounded = (right_row == 0 and right_column == 0) or (left_row == 0 and left_column == 0)
        bend = -1
        if right_column * row - right_row * column <= 0:
            if unbounded or left_column * row - left_row * column > 0:
                right_row, right_column, right = row, column, index
                unbounded = (row == 0 and column == 0) or (left_row == 0 and left_column == 0)
            else:
                bend, apex_row, apex_column = left, apex_row + left_row, apex_column + left_column
        if bend < 0:
            if index < count:
                row, column = outside[index, 0] - apex_row, outside[index, 1] - apex_column
            if left_column * row - left_row * column >= 0:
                if unbounded or right_column * row - right_row * column < 0:
                    left_row, left_column, left = row, column, index
                else:
                    bend, apex_row, apex_column = right, apex_row + right_row, apex_column + right_column
        if bend >= 0:
            polygon[vertices] = apex_row, apex_column
            vertices += 1
            right_row = right_column = left_row = left_column = 0
            right = left = index = bend
        index += 1
    return polygon[:vertices]


@njit(cache=True, nogil=True)
def outline_length(polygon: NDArray[np.int64]) -> float:
    """Length in px of the outline whose polygon through pixel centres this is; see `BEND` and `TURN`."""
    count = len(polygon)
    length = bend = turn = 0.0
    before_row = before_column = first_row = first_column = 0
    edges = 0
    for index in range(count + 1):
        if index < count:
            row = polygon[(index + 1) % count, 0] - polygon[index, 0]
            column = polygon[(index + 1) % count, 1] - polygon[index, 1]
            if row == 0 and column == 0:
                continue
            length += math.sqrt(row * row + column * column)
        else:
            row, column = first_row, first_column
        if edges:
            angle = abs(
                math.atan2(
                    before_column * row - before_row * column, before_row * row + before_column * column
                )
            )
            # a way there and back turns through two right angles, not through one of 180 degrees
            bend += angle * min(angle, math.pi / 2)
            turn += angle
        else:
            first_row, first_column = row, column
        edges += 1
        before_row, before_column = row, column
    if length == 0:
        bend, turn = math.pi**2, 2 * math.pi
    return length + BEND * bend + TURN * turn


@njit(cache=True, nogil=True)
def pixels_inside(polygon: NDArray[np.int64]) -> float:
    """Number of pixels whose centres lie in or on a hull of pixel centres (Pick's theorem)."""
    doubled_area = on_outline = 0
    count = len(polygon)
    for index in range(count):
        row, column = polygon[index]
        next_row, next_column = polygon[(index + 1) % count]
        doubled_area += column * next_row - next_column * row
        on_outline += math.gcd(abs(next_row - row), abs(next_column - column))
    return (abs(doubled_area) + on_outline) / 2 + 1


@njit(cache=True, nogil=True)
def feret_diameters(polygon: NDArray[np.int64]) -> tuple[float, float]:
    """Smallest and largest distance between parallel tangents of a convex polygon, by rotating calipers."""
    count = len(polygon)
    smallest, largest = math.inf, 0
    opposite = 1
    for index in range(count):
        here, ahead = polygon[index], polygon[(index + 1) % count]
        while _cross(here, ahead, polygon[(opposite + 1) % count]) > _cross(here, ahead, polygon[opposite]):
            opposite = (opposite + 1) % count
        edge = math.sqrt((ahead[0] - here[0]) ** 2 + (ahead[1] - here[1]) ** 2)
        smallest = min(smallest, _cross(here, ahead, polygon[opposite]) / edge)
        # where the far edge is parallel, its other end is an antipode too
        for end in (opposite, (opposite + 1) % count):
            for near in (here, ahead):
                largest = max(largest, (polygon[end, 0] - near[0]) ** 2 + (polygon[end, 1] - near[1]) ** 2)
    return smallest, math.sqrt(largest)


@njit(cache=True, nogil=True)
def describe(
    mask: NDArray[np.bool_],
) -> tuple[int, float, float, float, float, float, float, float]:
    """Everything `shape.Outline` holds, in its order; `mask` is a tight crop of one region."""
    height, width = mask.shape
    area = rows = columns = 0
    for row in range(height):
        for column in range(width):
            if mask[row, column]:
                area += 1
                rows += row
                columns += column
    corners, inside, outside = trace(mask)
    inner = hull(inside, height)
    hull_area = pixels_inside(inner)
    perimeter, hull_perimeter = _perimeters(inner, shortest_polygon(inside, outside))
    smallest, largest = feret_diameters(hull(corners, height + 1))
    # no outline is shorter than that of the disc of equal area: a small disc may hold more pixels than
    # its area, and would come out rounder than round
    hull_perimeter = max(hull_perimeter, math.sqrt(4 * math.pi * hull_area))
    return (
        area,
        rows / area,
        columns / area,
        max(perimeter, hull_perimeter),
        hull_perimeter,
        hull_area,
        smallest,
        largest,
    )


@njit(cache=True, nogil=True)
def convexity(mask: NDArray[np.bool_]) -> float:
    """Perimeter of the convex hull / perimeter of a tight crop of one region."""
    _, inside, outside = trace(mask)
    perimeter, hull_perimeter = _perimeters(hull(inside, mask.shape[0]), shortest_polygon(inside, outside))
    return hull_perimeter / perimeter


@njit(cache=True, nogil=True)
def _perimeters(inner: NDArray[np.int64], polygon: NDArray[np.int64]) -> tuple[float, float]:
    """Perimeters of a region and of its hull, exactly equal where the region is convex."""
    hull_perimeter = outline_length(inner)
    perimeter = outline_length(polygon)
    return (perimeter if perimeter > hull_perimeter * (1 + 1e-12) else hull_perimeter), hull_perimeter


@njit(cache=True, nogil=True)
def visible_fraction(part: NDArray[np.bool_], clump: NDArray[np.bool_], row: int, column: int) -> float:
    """Share of a part's outline, in cracks, that is the outline of the clump it was cut from.

    Both are crops, the part's first pixel at (row, column) of the clump's.
    """
    seen = total = 0
    height, width = part.shape
    for down in range(height):
        for right in range(width):
            if not part[down, right]:
                continue
            for step in range(4):
                below, beside = down + STEP[step, 0], right + STEP[step, 1]
                if not is_set(part, below, beside):
                    total += 1
                    seen += not is_set(clump, row + below, column + beside)
    return seen / total if total else 1.0
