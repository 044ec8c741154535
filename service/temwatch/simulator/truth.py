"""The ground truth: full masks of overlapping particles, and the lines where they meet.

The file is an npz with `bbox` int32 (N, 4) top row, left column, height, width in px; `offset` int64 (N + 1),
the byte range of each particle in `bits`; `bits` uint8, numpy.packbits of each crop, one after the other;
`shape` (height, width) of the micrograph; `px` the pixel size in nm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.domain import Mask, Region
from temwatch.simulator.specimen import Projection, shared_pixels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """The true particles of a field.

    `particles` are full masks, so that the overlap of two belongs to both, cut at the field's border only.
    `contacts` marks, within the mask, the pixels on both sides of each line where two particles touch, or
    where in an overlap either is equally deep. `thicknesses_nm` are crops of the regions' shapes: the beam's
    path through each particle.
    """

    pixel_size_nm: float
    mask: Mask
    particles: tuple[Region, ...]
    contacts: Mask
    thicknesses_nm: tuple[NDArray[np.float32], ...]


def truth_of(projections: Sequence[Projection], size_px: int, pixel_size_nm: float) -> Truth:
    """Cut the projections at the border of the field and find where they meet."""
    regions: list[Region] = []
    thicknesses: list[NDArray[np.float32]] = []
    for projection in projections:
        rows, columns = np.nonzero(projection.region.mask)
        origin = np.array(projection.region.origin_px)
        inside = np.ones(len(rows), bool)
        for index, start in ((rows, origin[0]), (columns, origin[1])):
            inside &= (index + start >= 0) & (index + start < size_px)
        if not inside.any():
            continue
        rows, columns = rows[inside], columns[inside]
        crop = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        regions.append(
            Region(
                origin_px=(int(origin[0] + rows.min()), int(origin[1] + columns.min())),
                mask=projection.region.mask[crop],
            )
        )
        thicknesses.append(projection.thickness_px[crop] * np.float32(pixel_size_nm))
    mask = np.zeros((size_px, size_px), bool)
    for region in regions:
        np.logical_or(window := _window(mask, region), region.mask, out=window)
    return Truth(
        pixel_size_nm=pixel_size_nm,
        mask=mask,
        particles=tuple(regions),
        contacts=_contacts(regions, (size_px, size_px)),
        thicknesses_nm=tuple(thicknesses),
    )


def overlaps(particles: Sequence[Region]) -> list[tuple[int, int, int]]:
    """Pairs of particles that overlap, by their numbers, and the pixels that they have in common."""
    shared = (
        (first, second, shared_pixels(particles[first], particles[second]))
        for first, second in _neighbours(particles)
    )
    return [pair for pair in shared if pair[2]]


def save_truth(path: Path, truth: Truth) -> None:
    """Write the particles, see the module's text for the format."""
    packed = [np.packbits(region.mask.ravel()) for region in truth.particles]
    boxes = [(*region.origin_px, *region.mask.shape) for region in truth.particles]
    np.savez_compressed(
        path,
        bbox=np.array(boxes, np.int32).reshape(-1, 4),
        offset=np.cumsum([0, *map(len, packed)]).astype(np.int64),
        bits=np.concatenate([np.zeros(0, np.uint8), *packed]),
        shape=np.array(truth.mask.shape),
        px=truth.pixel_size_nm,
    )


def _window(image: NDArray[np.generic], region: Region) -> NDArray[np.generic]:
    (top, left), (height, width) = region.origin_px, region.mask.shape
    return image[top : top + height, left : left + width]


def _neighbours(particles: Sequence[Region]) -> list[tuple[int, int]]:
    """Pairs whose bounding boxes, grown by a pixel, meet."""
    boxes = np.array([(*r.origin_px, *np.add(r.origin_px, r.mask.shape)) for r in particles]).reshape(-1, 4)
    pairs = []
    for first, (top, left, bottom, right) in enumerate(boxes):
        rest = boxes[first + 1 :]
        near = (rest[:, 0] <= bottom) & (rest[:, 2] >= top) & (rest[:, 1] <= right) & (rest[:, 3] >= left)
        pairs += [(first, first + 1 + int(second)) for second in np.flatnonzero(near)]
    return pairs


def _contacts(particles: Sequence[Region], shape: tuple[int, int]) -> Mask:
    """Give every pixel to the particle that it lies deepest in; contacts are where the owner changes."""
    owner = np.zeros(shape, np.int32)
    depth = np.zeros(shape, np.float32)
    crowded = {number for pair in _neighbours(particles) for number in pair}
    for number in crowded:
        region = particles[number]
        own = ndimage.distance_transform_edt(np.pad(region.mask, 1))[1:-1, 1:-1].astype(np.float32)
        deepest = _window(depth, region)
        wins = own > deepest
        deepest[wins] = own[wins]
        _window(owner, region)[wins] = number + 1
    contacts = np.zeros(shape, bool)
    # all eight neighbours: particles that meet at a corner are one component of the mask
    for rows, columns in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: shape[0] - rows, max(0, -columns) : shape[1] - max(0, columns)]
        there = np.s_[rows:, max(0, columns) : shape[1] + min(0, columns)]
        change = (owner[here] != owner[there]) & (owner[here] > 0) & (owner[there] > 0)
        contacts[here] |= change
        contacts[there] |= change
    return contacts
