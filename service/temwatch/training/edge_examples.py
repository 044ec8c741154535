"""Examples for the edge network: a rough outline of simulated particles, and the way back to the truth.

The rough outlines are true ones, moved by smooth noise and by a common distance, as those of a mask that a
network made. A second copy is moved contour by contour, so that the mask does not give the answer away.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.analysis.refinement.contours import Contours, Floats, find_contours, moved
from temwatch.analysis.refinement.strips import profiles
from temwatch.analysis.segmentation import preprocessing
from temwatch.domain import Mask
from temwatch.errors import UsageError
from temwatch.simulator.micrograph import simulate_micrograph
from temwatch.training.edge_settings import MIXTURES, draw_edge_settings

FEWEST_PX = 30
"""A rough mask of fewer pixels teaches nothing."""
_SEARCH_STEPS, _SEARCH_SPACING = 12.0, 0.5
"""How far the truth is looked for on both sides of a point, and how finely, in steps of the contour."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeExamples:
    """Contours of one micrograph, with what the picture shows across them and where the truth lies.

    Attributes
    ----------
    strips
        float16, (n, channels): a row per point.
    offsets
        float32, (n,): steps along the normal to the true outline; NaN where there is none near, at the
        border, and of contours that are never moved.
    begin, radius_px, step_px
        As in `Contours`.
    """

    strips: NDArray[np.float16]
    offsets: Floats
    begin: NDArray[np.int64]
    radius_px: Floats
    step_px: Floats


def make_examples(seed: tuple[int, ...], number: int) -> EdgeExamples:
    """Examples of micrograph `number`; the same seed and number give the same ones."""
    rng = np.random.default_rng((*seed, number))
    while True:
        settings = draw_edge_settings(rng, MIXTURES[number % len(MIXTURES)])
        micrograph = simulate_micrograph(settings, rng)
        radius_px = settings.diameter_mean_nm / settings.pixel_size_nm / 2
        distance = signed_distance(micrograph.mask)
        mask = rough_mask(distance, radius_px, rng)
        if np.count_nonzero(mask) < FEWEST_PX or not micrograph.mask.any():
            continue
        image = preprocessing.prepared(micrograph.image.astype(np.float32), preprocessing.NAME)
        contours = find_contours(mask)
        both = (contours, perturbed(contours, rng))
        strips = [profiles(image.pixels, image.noise, mask, one) for one in both]
        offsets = [edge_offsets(one, distance) for one in both]
        for offset, strip in zip(offsets, strips, strict=True):
            offset[strip.is_open | np.repeat(contours.is_fixed, np.diff(contours.begin))] = np.nan
        if np.isnan(offsets).all():
            continue
        return EdgeExamples(
            strips=np.concatenate([strip.channels.T for strip in strips]).astype(np.float16),
            offsets=np.concatenate(offsets),
            begin=np.concatenate((contours.begin, contours.begin[-1] + contours.begin[1:])),
            radius_px=np.tile(contours.radius_px, 2),
            step_px=np.tile(contours.step_px, 2),
        )


def signed_distance(mask: Mask) -> Floats:
    """Distance of each pixel's centre to the outline of a mask, px, negative inside."""
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, 0.5 - inside, outside - 0.5), np.float32)


def rough_mask(distance: Floats, radius_px: float, rng: np.random.Generator) -> Mask:
    """A mask whose outlines lie off the true ones as those of a segmentation do.

    Parameters
    ----------
    distance : float32, (y, x)
        To the true outlines, negative inside.
    radius_px : float
        Of a typical particle.
    rng
        Decides how far off: in the mean 5 % of the radius outside, with a standard deviation of 9 % of the
        radius and 0.4 px from micrograph to micrograph, and up to 9 % of the radius along the outline.
    """
    correlation_px = max(1.0, radius_px * rng.uniform(0.25, 1))
    waves = ndimage.gaussian_filter(rng.standard_normal(distance.shape), correlation_px)
    waves *= rng.uniform(0, 0.09) * radius_px / waves.std()
    outwards = rng.normal(0.05, 0.09) * radius_px + rng.normal(0, 0.4)
    mask = distance - waves < np.clip(outwards, -0.3 * radius_px, 0.45 * radius_px)
    if rng.random() < 0.3:
        mask = ndimage.binary_fill_holes(mask)
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    is_large = np.bincount(parts.ravel()) >= max(12, 0.12 * np.pi * radius_px**2)
    is_large[0] = False
    return np.asarray(is_large[parts], np.bool_)


def perturbed(contours: Contours, rng: np.random.Generator) -> Contours:
    """The contours, each moved by a distance of its own, and bent in up to four waves."""
    distance = np.zeros(len(contours.points), np.float32)
    for contour, (step, radius) in enumerate(zip(contours.step_px, contours.radius_px, strict=True)):
        if contours.is_fixed[contour]:
            continue
        first, end = contours.begin[contour : contour + 2]
        angle = np.arange(end - first) / (end - first) * 2 * np.pi
        shares = np.full(end - first, rng.normal(0, 0.06))
        for order in range(1, 5):
            shares += rng.normal(0, 0.042 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
        distance[first:end] = np.clip(np.clip(shares, -0.4, 0.6) * radius, -7 * step, 7 * step)
    return moved(contours, distance)


def edge_offsets(contours: Contours, distance: Floats) -> Floats:
    """Steps from each point along its normal to the nearest place where it leaves the truth; NaN without one.

    Parameters
    ----------
    contours : Contours
        n points.
    distance : float32, (y, x)
        To the true outlines, negative inside.
    """
    places = np.arange(-_SEARCH_STEPS, _SEARCH_STEPS + _SEARCH_SPACING / 2, _SEARCH_SPACING)
    step = np.repeat(contours.step_px, np.diff(contours.begin))
    at = contours.points[:, :, None] + contours.normals[:, :, None] * (places * step[:, None])[:, None]
    along = ndimage.map_coordinates(distance, (at[:, 0], at[:, 1]), order=1, mode="nearest")
    before, after = along[:, :-1], along[:, 1:]
    leaves = (before < 0) & (after >= 0)
    crossing = places[:-1] + _SEARCH_SPACING * -before / np.where(leaves, after - before, 1)
    crossing = np.where(leaves, crossing, np.inf)
    nearest = np.take_along_axis(crossing, np.abs(crossing).argmin(axis=1)[:, None], axis=1)[:, 0]
    return np.where(np.isfinite(nearest), nearest, np.nan).astype(np.float32)


def save(path: Path, examples: EdgeExamples) -> None:
    """Write examples completely or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez(
            file,
            strips=examples.strips,
            offsets=examples.offsets,
            begin=examples.begin,
            radius_px=examples.radius_px,
            step_px=examples.step_px,
        )
    temporary.replace(path)


def load(path: Path) -> EdgeExamples:
    """Read examples again.

    Raises
    ------
    UsageError
        The file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return EdgeExamples(**{name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: cannot be read, delete it: {' '.join(str(error).split())}") from None
