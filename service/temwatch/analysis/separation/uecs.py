"""Ultimate erosion for convex sets (Park, Huang, Ji, Ding, IEEE TPAMI 35 (2013) 669), repaired.

A clump is eroded until its parts are convex; each part, a marker, is dilated back within the clump. Parts
grow independently of each other, so that an overlap belongs to both particles.

What differs from the published procedure, each measured on masks with known truth:

- Erosion is by discs of r = 1, 2, 3 ... px, taken from one exact distance transform, so that nothing depends
  on the orientation.
- A marker that vanishes before it is convex, or is small, is kept (`vanishing_markers = "keep"`).
- Beyond the border of the micrograph nothing is known, and nothing is eroded from there.
- A part counts only when it stands out of its surroundings by more than the diagonal of a pixel, and by 3 %
  of the clump's inscribed radius: what is shallower is roughness of the outline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.connected_components import crop_component, label_runs, largest_values, pack_crops
from temwatch.analysis.measurement.outline import convexity
from temwatch.analysis.separation.distance import add_margin, squared_distances
from temwatch.analysis.separation.prior import NO_PRIOR, ParticlePrior
from temwatch.analysis.separation.separator import Separator
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Reason, Region, Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class UecsParameters:
    """The tuned constants of UECS, measured on masks with known truth.

    On which masks each was set is not recorded, and how far it may move before the bars of the tests break
    was not measured.
    """

    marker_convexity: float = 0.985
    """Erosion ends here: convex but for the pixel grid. Two particles that overlap by more than half are one
    region of convexity 0.95 and more long after the clump was known to be one by the threshold of 0.95."""
    roughness_px: float = math.sqrt(2)
    """px; depth below which a part is roughness of the outline: the diagonal of a pixel."""
    roughness_radii: float = 0.03
    """The same over the clump's inscribed radius: masks of large particles are rougher in px."""
    boundary_px: float = 0.5
    """px; erosion by r px counts from pixel centre to pixel centre; the outline lies half a pixel further
    out."""
    min_new_area: float = 0.1
    """A part that lies in larger parts but for this share of its area explains nothing."""


PARAMETERS = UecsParameters()


def separate(
    clump: Region,
    *,
    shape: tuple[int, int],
    min_area_px: int,
    settings: SeparationSettings,
    prior: ParticlePrior = NO_PRIOR,
    contacts: Mask | None = None,
) -> tuple[list[Region], list[Rejection]]:
    """Separate a clump; see `SeparateClump`."""
    del prior, contacts
    canvas, row, column = add_margin(clump, shape)
    parts: list[Region] = []
    rejections: list[Rejection] = []
    least_px = max(settings.min_marker_px, min_area_px)
    squared = squared_distances(canvas)
    roughness_px = max(PARAMETERS.roughness_px, PARAMETERS.roughness_radii * math.sqrt(squared.max()))
    pixels, markers = _markers(canvas, squared, PARAMETERS.marker_convexity, roughness_px)
    if len(markers) == 1:
        return [clump], []
    for begin, top, left, height, width, radius, vanished in markers.tolist():
        marker = pixels[begin : begin + height * width].reshape(height, width)
        if settings.vanishing_markers == "drop" and (vanished or np.count_nonzero(marker) < least_px):
            region = Region(origin_px=(row + top, column + left), mask=marker, separated=True)
            rejections.append(Rejection(region=region, reason=Reason.NOT_SEPARABLE))
            continue
        top, left, mask = _regrown(canvas, marker, top, left, radius + PARAMETERS.boundary_px)
        part = Region(origin_px=(row + top, column + left), mask=mask, separated=True)
        if convexity(mask) < settings.convexity_threshold:
            rejections.append(Rejection(region=part, reason=Reason.NOT_SEPARABLE))
        else:
            parts.append(part)
    return _uncovered(parts, clump), rejections


SEPARATOR = Separator(
    separate=separate,
    description="ultimate erosion of convex shapes (Park et al., IEEE TPAMI 2013)",
)


def _uncovered(parts: list[Region], clump: Region) -> list[Region]:
    """The parts that are not already covered by larger ones, in their order."""
    covered = np.zeros(clump.mask.shape, dtype=bool)
    kept = set()
    areas = [np.count_nonzero(part.mask) for part in parts]
    for index in sorted(range(len(parts)), key=lambda index: -areas[index]):
        part = parts[index]
        row, column = part.origin_px[0] - clump.origin_px[0], part.origin_px[1] - clump.origin_px[1]
        view = covered[row : row + part.mask.shape[0], column : column + part.mask.shape[1]]
        if (
            np.count_nonzero(part.mask > view) >= PARAMETERS.min_new_area * areas[index]
        ):  # set there, and not covered
            view |= part.mask
            kept.add(index)
    return [part for index, part in enumerate(parts) if index in kept]


@njit(cache=True, nogil=True)
def _markers(
    canvas: NDArray[np.bool_], squared: NDArray[np.int64], threshold: float, roughness_px: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Erode until every part is convex.

    Returns
    -------
    pixels
        The markers' crops, one after the other.
    markers
        (m, 7) where in `pixels` a crop begins; its top, left, height and width; the radius in px of the
        erosion; and whether nothing of the marker would be left by the next one.
    """
    waiting = [(0, 0, canvas, 0)]
    found = [(0, 0, canvas, 0, 0) for _ in range(0)]
    while waiting:
        top, left, part, radius = waiting.pop()
        convex = convexity(part) >= threshold
        ahead = len(waiting)
        if not convex:
            height, width = part.shape
            depth = squared[top : top + height, left : left + width]
            remains = part & (depth > (radius + 1) ** 2)
            runs, number, area, box = label_runs(remains, 1)
            peak = largest_values(runs, number, len(area), depth)
            for piece in range(len(area)):
                if len(area) == 1 or math.sqrt(peak[piece]) > radius + roughness_px:
                    crop = crop_component(runs, number, box, piece)
                    waiting.append((top + box[piece, 0], left + box[piece, 1], crop, radius + 1))
        if len(waiting) == ahead:
            found.append((top, left, part, radius, int(not convex)))
    pixels, begins = pack_crops([part for _, _, part, _, _ in found])
    markers = np.empty((len(found), 7), np.int64)
    for index, (top, left, part, radius, vanished) in enumerate(found):
        markers[index] = begins[index], top, left, part.shape[0], part.shape[1], radius, vanished
    return pixels, markers


@njit(cache=True, nogil=True)
def _regrown(
    canvas: NDArray[np.bool_], marker: NDArray[np.bool_], top: int, left: int, radius: float
) -> tuple[int, int, NDArray[np.bool_]]:
    """What of the canvas lies within `radius` px of the marker and is connected with it, a tight crop."""
    margin = int(radius)
    height, width = marker.shape
    first_row, first_column = max(top - margin, 0), max(left - margin, 0)
    last_row = min(top + height + margin, canvas.shape[0])
    last_column = min(left + width + margin, canvas.shape[1])
    row, column = top - first_row, left - first_column
    near = np.zeros((last_row - first_row, last_column - first_column), np.bool_)
    runs, _, _, _ = label_runs(marker, 1)
    for off in range(-margin, margin + 1):
        reach = int(math.sqrt(radius * radius - off * off))
        for run in range(len(runs)):
            line = row + runs[run, 0] + off
            if 0 <= line < len(near):
                near[line, max(column + runs[run, 1] - reach, 0) : column + runs[run, 2] + reach] = True
    runs, number, area, box = label_runs(near & canvas[first_row:last_row, first_column:last_column], 1)
    part = 0
    if len(area) > 1:
        start = column
        while not marker[0, start - column]:
            start += 1
        for run in range(len(runs)):
            if runs[run, 0] == row and runs[run, 1] <= start < runs[run, 2]:
                part = number[run]
    return first_row + box[part, 0], first_column + box[part, 1], crop_component(runs, number, box, part)
