"""From an image or a mask to an analysis: the order of the steps, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from temwatch.analysis.arguments import (
    check_array,
    check_beside,
    check_compatibility,
    check_level,
    check_mask,
    check_pixel_size,
    check_separation,
)
from temwatch.analysis.measurement.polygons import polygon
from temwatch.analysis.measurement.shape import with_outlines
from temwatch.analysis.measurement.units import measure, smallest_area_px
from temwatch.analysis.refinement.contours import find_contours, moved, subdivided
from temwatch.analysis.refinement.level import OUTLINE, draw_level
from temwatch.analysis.refinement.rows import means_of_rows, rectify, side_by_side
from temwatch.analysis.refinement.strips import halved, profiles
from temwatch.analysis.separation import antema
from temwatch.analysis.separation.arcs import find_arcs
from temwatch.analysis.separation.cleaning import (
    beyond_field,
    close_small_holes,
    find_regions,
    find_speckles,
)
from temwatch.analysis.separation.clumps import filter_particles, separate_clumps
from temwatch.analysis.separation.distance import squared_distances
from temwatch.analysis.separation.grouping import largest_hidden_share
from temwatch.choices import SeparationMethod
from temwatch.config import SegmentationSettings, SeparationSettings
from temwatch.domain import Analysis, Level, Method, Reason, Rejection, Segmenter
from temwatch.version import __version__

Compatibility = Literal["antema"]


def analyse(
    image: ArrayLike,
    *,
    pixel_size_nm: float,
    separate: SeparationMethod | None = None,
    weights: str | Path | None = None,
    segmenter: Segmenter | None = None,
    settings: SeparationSettings | None = None,
) -> Analysis:
    """Segment a micrograph, separate its particles and measure them.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Bright field: particles darker than the background.
    pixel_size_nm : float
        Edge of a pixel, nm.
    separate : str, optional
        How clumps are separated, a key of `temwatch.analysis.separation.SEPARATORS`; overrides `settings`.
    weights : path, optional
        Weights of a network; without it the default segmenter is taken.
    segmenter : Segmenter, optional
        Used instead of `weights`.
    settings : SeparationSettings, optional
        All parameters of separation.

    Returns
    -------
    Analysis
        The mask, the particles in nm, what was rejected and why, and the method.

    Raises
    ------
    UsageError
        An argument cannot be used.
    """
    from temwatch.analysis import segmentation

    micrograph = check_array(image, "image").astype(np.float32)
    settings = check_separation(separate, settings)
    if segmenter is None:
        segmenter = segmentation.build(
            SegmentationSettings()
            if weights is None
            else SegmentationSettings(method="deeplab", weights=Path(weights))
        )
    segmented = segmenter.segment([micrograph])[0]
    analysis = resolve(
        segmented.mask,
        pixel_size_nm=pixel_size_nm,
        contacts=segmented.contacts,
        level=segmented.level,
        recorded=segmented.recorded,
        settings=settings,
    )
    notes = segmented.notes + analysis.notes
    return replace(analysis, method=describe(segmenter, settings), notes=notes, image=micrograph)


def resolve(
    mask: ArrayLike,
    *,
    pixel_size_nm: float,
    separate: SeparationMethod | None = None,
    compatibility: Compatibility | None = None,
    contacts: ArrayLike | None = None,
    level: Level | None = None,
    recorded: ArrayLike | None = None,
    settings: SeparationSettings | None = None,
) -> Analysis:
    """Clean a mask, separate its particles and measure them.

    Parameters
    ----------
    mask : array_like, shape (y, x)
        True, or not 0, where there is particle.
    pixel_size_nm : float
        Edge of a pixel, nm.
    separate : str, optional
        How clumps are separated, a key of `temwatch.analysis.separation.SEPARATORS`; overrides `settings`.
    compatibility : str, optional
        "antema": the rules of that program; method uecs or none, without contacts.
    contacts : array_like, shape (y, x), optional
        True where touching particles meet: the mask is cut there before anything else.
    level : uint8, shape (y, x), optional
        Where the outlines of the mask lie between its pixels, as `Segmentation.level`.
    recorded : array_like, shape (y, x), optional
        False on padding and beside an aperture: what these cut is rejected as what the border cuts.
    settings : SeparationSettings, optional
        All parameters of separation.

    Returns
    -------
    Analysis
        The cleaned mask, the particles in nm, what was rejected and why, and the method.

    Raises
    ------
    UsageError
        An argument cannot be used.
    """
    segmented = check_mask(mask)
    lines = check_beside(contacts, "contacts", segmented.shape)
    beyond = beyond_field(check_beside(recorded, "recorded", segmented.shape))
    depth = check_level(level, segmented.shape)
    nm = check_pixel_size(pixel_size_nm)
    settings = check_separation(separate, settings)
    as_antema = check_compatibility(compatibility)
    if as_antema:
        settings = antema.fixed_settings(settings, lines)
        depth = None  # that program counts pixels

    min_area_px = smallest_area_px(settings, nm)
    removed = find_speckles(segmented, min_area_px)
    cleaned = segmented & ~removed
    if as_antema:
        regions, given_up = antema.separate_clumps(cleaned, min_area_px=min_area_px, settings=settings)
    else:
        cleaned, gaps = close_small_holes(cleaned, min_area_px)
        regions, given_up = separate_clumps(
            cleaned, gaps=gaps, contacts=lines, min_area_px=min_area_px, settings=settings, beyond=beyond
        )
    whole, cut_off = filter_particles(regions, cleaned.shape, min_area_px, beyond)
    specks = [Rejection(region=region, reason=Reason.TOO_SMALL) for region in find_regions(removed)]
    return Analysis(
        mask=cleaned,
        particles=tuple(
            measure(region, pixel_size_nm=nm, settings=settings) for region in with_outlines(whole, depth)
        ),
        rejections=(*given_up, *cut_off, *specks),
        method=describe(None, settings, compatibility),
        pixel_size_nm=nm,
        removed=removed,
    )


def describe(
    segmenter: Segmenter | None, settings: SeparationSettings, compatibility: Compatibility | None = None
) -> Method:
    """Everything that decides the numbers.

    Parameters
    ----------
    segmenter : Segmenter or None
        None where the mask was given.
    settings : SeparationSettings
        Method and parameters of separation.
    compatibility : str, optional
        As for `resolve`.
    """
    return Method(
        segmentation=segmenter.name if segmenter else "",
        model_sha256=segmenter.model_sha256 if segmenter else "",
        separation=settings.method,
        parameters=(
            *((f"segmentation.{name}", value) for name, value in (segmenter.parameters if segmenter else ())),
            *(
                (f"separation.{name}", value)
                for name, value in settings.model_dump(exclude={"method"}).items()
                # left out where it does not count: the digest is that of versions without it
                if (name, value) != ("min_diameter_px", None)
            ),
            *((("separation.compatibility", compatibility),) if compatibility else ()),
        ),
        software_version=__version__,
    )


def warm_up(methods: Iterable[str]) -> None:
    """Compile, or load from the cache, what the first micrograph of each method would otherwise wait for."""
    y, x = np.mgrid[:128, :64]
    # two discs and one that stands alone; and a corner, which bends inwards once only: a method may hand
    # that on to another one
    discs = ((x - 20) ** 2 + (y - 32) ** 2 < 150) | ((x - 43) ** 2 + (y - 32) ** 2 < 150)
    discs |= (x - 12) ** 2 + (y - 57) ** 2 < 40
    corner = (y > 70) & (y < 110) & (x > 10) & (x < 50) & ((y > 90) | (x < 30))
    mask = discs | corner
    contours = find_contours(mask)
    rows = np.ascontiguousarray(profiles(mask.astype(np.float32), 0.1, mask, contours).channels.T)
    halved(rows)
    side_by_side(rows, contours.begin, 3, 1)
    rectify(rows, np.zeros(rows.shape[1], np.float32))
    means_of_rows(rows, contours.begin, np.empty((len(contours.step_px), rows.shape[1]), np.float32))
    points, begin = subdivided(moved(contours, np.zeros(len(contours.points), np.float32)))
    level = draw_level(points, begin, mask.shape)
    of_ledger = level.copy()
    of_ledger.flags.writeable = False  # another type to the compiler
    arcs = find_arcs(mask, squared_distances(mask))
    largest_hidden_share(arcs, np.arange(len(arcs.starts) - 1))
    for method in methods:
        settings = check_separation(method, None)
        resolve(mask, pixel_size_nm=0.5, settings=settings)
        found = resolve(level > OUTLINE, pixel_size_nm=0.5, level=level, settings=settings)
        resolve(level > OUTLINE, pixel_size_nm=0.5, level=of_ledger, settings=settings)
        for particle in found.particles:
            polygon(particle.region)
