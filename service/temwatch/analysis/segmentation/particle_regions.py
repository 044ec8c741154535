"""Which regions below a threshold are particles: large enough, darker than noise gets, and with an edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.segmentation import neighbours
from temwatch.analysis.segmentation.writing import Cleaned
from temwatch.domain import Image, Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeParameters:
    """What the outline of a particle has and that of a slow gradient has not; tuned as `RegionParameters`."""

    ring_px: tuple[int, int]
    """px; from where to where outside and inside of an outline the levels are compared."""
    min_step: float
    """Share of a region's mean depth below the background that is passed at its outline."""


_EDGE = EdgeParameters(ring_px=(3, 8), min_step=0.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionParameters:
    """Tuned on simulated micrographs and on published ones (docs/measurement.md)."""

    min_area_px: int = 12
    """px; a disc four pixels across: small real particles often have less than 20 px, seldom less than 12."""
    edge: EdgeParameters = _EDGE
    """What an edge is."""
    sure_area_px: int = 500
    """px; the grain of a film is nowhere so dark over such an area, however dark it gets."""
    max_written: float = 0.4
    """Share of a region's outline on what does not count from which it is a shadow of letters."""
    side_px: int = 1024
    """px; outlines are examined in a picture whose shorter side is no longer than this."""


PARAMETERS = RegionParameters()


def particle_regions(mask: Mask, flat: Image, cleaned: Cleaned, *, peak_limit: float, edged: bool) -> Mask:
    """The regions of a mask (8-connected) that are particles.

    Parameters
    ----------
    mask : bool, (y, x)
        Pixels darker than the background.
    flat : float32, (y, x)
        What they were found in: smooth, the background even.
    cleaned
        Which pixels count, and what was written.
    peak_limit
        Level that each particle reaches somewhere.
    edged
        Whether each has to have an edge, which large thin spheres lack.
    """
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return mask
    places = np.flatnonzero(mask)
    numbers = labels.ravel()[places]
    areas = np.bincount(numbers, minlength=count + 1)
    kept = (areas >= PARAMETERS.min_area_px) & (np.arange(count + 1) > 0)
    reached = areas >= PARAMETERS.sure_area_px
    reached[numbers[flat.ravel()[places] < peak_limit]] = True
    kept &= reached
    if edged and kept.any():
        kept &= _edged(np.where(kept[labels], labels, 0), count, flat, cleaned.valid)
    if cleaned.written is not None:
        kept &= ~_beside_writing(labels, count, cleaned.written)
    found = np.zeros(mask.shape, bool)
    found.ravel()[places] = kept[numbers]
    return found


def edged_share(mask: Mask, image: Image, valid: Mask | None, edge: EdgeParameters) -> float:
    """Share of a mask's pixels in regions that have an edge."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return float(areas[_have_edges(labels, count, image, valid, edge)[1:]].sum() / max(areas.sum(), 1))


def _edged(labels: NDArray[np.int32], count: int, flat: Image, valid: Mask | None) -> NDArray[np.bool_]:
    step = max(1, min(labels.shape) // PARAMETERS.side_px)
    known = None if valid is None else valid[::step, ::step]
    return _have_edges(labels[::step, ::step], count, flat[::step, ::step], known, PARAMETERS.edge)


def _have_edges(
    labels: NDArray[np.int32], count: int, flat: Image, valid: Mask | None, edge: EdgeParameters
) -> NDArray[np.bool_]:
    """Regions at whose outline much of their depth below the background is passed; all that are narrow."""
    background = labels == 0 if valid is None else (labels == 0) & valid
    if not background.any():
        return np.zeros(count + 1, bool)
    film = float(np.median(flat[background]))
    near, far = edge.ring_px
    reach = ndimage.maximum_filter(labels, 2 * far + 1)
    close = ndimage.maximum_filter(labels, 2 * near - 1)
    ring = np.where(background & (close == 0), reach, 0)
    deep = np.where(ndimage.minimum_filter(labels != 0, 2 * far + 1), 0, labels)
    core = np.where(ndimage.minimum_filter(labels != 0, 2 * near - 1), deep, 0)
    outside, inside, core_level = (_means(part, flat, count) for part in (ring, deep, core))
    level = np.where(np.isnan(core_level), inside, core_level)
    with np.errstate(invalid="ignore"):
        flat_edge = outside - level < edge.min_step * (film - _means(labels, flat, count))
    return ~flat_edge


def _means(labels: NDArray[np.int32], values: Image, count: int) -> NDArray[np.float64]:
    """Mean of the values by label from 1; NaN where there is none."""
    places = np.flatnonzero(labels)
    numbers = labels.ravel()[places]
    pixels = np.bincount(numbers, minlength=count + 1)
    sums = np.bincount(numbers, values.ravel()[places], count + 1)
    return np.asarray(np.divide(sums, pixels, out=np.full(count + 1, np.nan), where=pixels > 0), np.float64)


def _beside_writing(labels: NDArray[np.int32], count: int, written: Mask) -> NDArray[np.bool_]:
    """Regions whose outline lies on what was written to a large part."""
    beside = neighbours.grown(written)
    if not labels[beside].any():
        return np.zeros(count + 1, bool)
    outline = neighbours.outline(labels != 0)
    whole = np.bincount(labels[outline], minlength=count + 1)
    part = np.bincount(labels[outline & beside], minlength=count + 1)
    return np.asarray(part > PARAMETERS.max_written * np.maximum(whole, 1))
