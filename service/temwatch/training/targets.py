"""The training targets of a labelled tile: mask, contacts, and the weight of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.domain import Mask, Region
from temwatch.training.datasets import Labels

GAP_PX = 4.0
"""A background pixel lies in a gap if its distances to two particles add up to no more than this."""

GAP_WEIGHT = 8.0
EDGE_WEIGHT = 1.0
"""Weight added on the outermost pixels of particles and the first ones outside."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """Targets of one tile, all (y, x). `mask_weights` is 1, and more in gaps and on outlines."""

    mask: Mask
    contacts: Mask
    mask_weights: NDArray[np.float32]


def targets(labels: Labels) -> Targets:
    """Targets of a tile of labels.

    Contacts are the pixels on both sides of a line where two particles touch, and gaps that are narrower
    than `GAP_PX`: a mask that closes such a gap joins two particles, so the contacts mark it, too.
    """
    mask = labels > 0
    lines = contact_lines(labels)
    gaps = _gaps(labels)
    edges = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask, border_value=1)
    weights = 1 + EDGE_WEIGHT * edges + GAP_WEIGHT * gaps
    return Targets(mask=mask, contacts=lines | gaps, mask_weights=weights.astype(np.float32))


def contact_lines(labels: Labels) -> Mask:
    """Pixels on both sides of each line where two particles meet, corners included."""
    found = np.zeros(labels.shape, bool)
    height, width = labels.shape
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width + min(0, right)]
        change = (labels[here] != labels[there]) & (labels[here] > 0) & (labels[there] > 0)
        found[here] |= change
        found[there] |= change
    return found


def _gaps(labels: Labels) -> Mask:
    """Background pixels between two particles that are at most GAP_PX apart."""
    mask = labels > 0
    gaps = np.zeros(labels.shape, bool)
    reach = int(np.ceil(GAP_PX))
    near = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=reach) & ~mask
    if not near.any():
        return gaps
    distance, nearest = ndimage.distance_transform_edt(~mask, return_indices=True)
    owner = labels[tuple(nearest)]
    # the second nearest particle: the smallest distance to a pixel of another owner, searched in a small disc
    second = np.full(labels.shape, np.inf)
    padded_labels = np.pad(labels, reach)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            length = np.hypot(down, right)
            if 0 < length <= GAP_PX:
                top, left = reach + down, reach + right
                other = padded_labels[top : top + labels.shape[0], left : left + labels.shape[1]]
                stranger = near & (other > 0) & (other != owner)
                second[stranger] = np.minimum(second[stranger], length)
    gaps[near] = (distance + second)[near] <= GAP_PX + 1
    return gaps


def label_image(regions: Sequence[Region], shape: tuple[int, int]) -> Labels:
    """Label image in which every pixel belongs to the particle that it lies deepest in."""
    owner, depth = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for number, region in enumerate(regions, 1):
        (top, left), (height, width) = region.origin_px, region.mask.shape
        window = np.s_[top : top + height, left : left + width]
        own = ndimage.distance_transform_edt(np.pad(region.mask, 1))[1:-1, 1:-1].astype(np.float32)
        wins = own > depth[window]
        depth[window][wins] = own[wins]
        owner[window][wins] = number
    return owner
