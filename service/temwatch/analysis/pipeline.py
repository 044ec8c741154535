"""From an image or a mask to an analysis: the order of the steps, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from temwatch.analysis.appearance.judgement import appearances, are_doubted
from temwatch.analysis.appearance.min_confidence import min_confidence_of
from temwatch.analysis.appearance.picture import keeping_pictures, take_picture
from temwatch.analysis.arguments import (
    check_array,
    check_beside,
    check_compatibility,
    check_image,
    check_level,
    check_mask,
    check_pixel_size,
    check_separation,
)
from temwatch.analysis.measurement.oddities import oddities
from temwatch.analysis.measurement.polygons import polygon
from temwatch.analysis.measurement.shape import with_outlines
from temwatch.analysis.measurement.units import measure, smallest_area_px
from temwatch.analysis.refinement.contours import find_contours, moved, subdivided
from temwatch.analysis.refinement.level import OUTLINE, draw_level
from temwatch.analysis.refinement.rows import means_of_rows, rectify, side_by_side
from temwatch.analysis.refinement.strips import halved, profiles
from temwatch.analysis.segmentation.connected_parts import sure_parts, with_dark_holes
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
from temwatch.domain import (
    Analysis,
    Level,
    Method,
    Particle,
    Reason,
    Region,
    Rejection,
    Segmentation,
    Segmenter,
)
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
    segmented = keeping_pictures(segmenter).segment([micrograph])[0]
    method = describe(segmenter, settings)
    analysis = resolve_segmentation(
        segmented, pixel_size_nm=pixel_size_nm, settings=settings, min_confidence=min_confidence_of(method)
    )
    notes = segmented.notes + analysis.notes
    return replace(analysis, method=method, notes=notes, image=micrograph)


def resolve(
    mask: ArrayLike,
    *,
    pixel_size_nm: float,
    separate: SeparationMethod | None = None,
    compatibility: Compatibility | None = None,
    contacts: ArrayLike | None = None,
    level: Level | None = None,
    recorded: ArrayLike | None = None,
    image: ArrayLike | None = None,
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
    image : array_like, shape (y, x), optional
        The micrograph, bright field: particles have a contrast then.
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
    picture = None if image is None else take_picture(check_image(image, segmented.shape), segmented)
    return resolve_segmentation(
        Segmentation(
            mask=segmented,
            contacts=check_beside(contacts, "contacts", segmented.shape),
            level=check_level(level, segmented.shape),
            recorded=check_beside(recorded, "recorded", segmented.shape),
            picture=picture,
        ),
        pixel_size_nm=check_pixel_size(pixel_size_nm),
        settings=check_separation(separate, settings),
        compatibility=compatibility,
    )


def resolve_segmentation(
    segmented: Segmentation,
    *,
    pixel_size_nm: float,
    settings: SeparationSettings,
    compatibility: Compatibility | None = None,
    min_confidence: float | None = None,
) -> Analysis:
    """The same for all that a segmenter found; nothing but this is read.

    Parameters
    ----------
    segmented : Segmentation
        As a segmenter gives it, or as it is stored.
    pixel_size_nm : float
        Edge of a pixel, nm.
    settings : SeparationSettings
        Method and parameters of separation.
    compatibility : str, optional
        As for `resolve`.
    min_confidence : float, optional
        0 to 1; as `SegmentationSettings.min_confidence`.
    """
    check_pixel_size(pixel_size_nm)
    beyond = beyond_field(segmented.recorded)
    depth = segmented.level
    as_antema = check_compatibility(compatibility)
    if as_antema:
        settings = antema.fixed_settings(settings, segmented.contacts)
        depth = None  # that program counts pixels

    min_area_px = smallest_area_px(settings, pixel_size_nm)
    removed = find_speckles(segmented.mask, min_area_px)
    cleaned = segmented.mask & ~removed
    if as_antema:
        regions, given_up = antema.separate_clumps(cleaned, min_area_px=min_area_px, settings=settings)
        lone = None
    else:
        cleaned, gaps = close_small_holes(cleaned, min_area_px)
        separated = separate_clumps(
            cleaned,
            gaps=gaps,
            contacts=segmented.contacts,
            min_area_px=min_area_px,
            settings=settings,
            beyond=beyond,
            sample_prior=segmented.sample_prior,
        )
        regions, given_up, lone = separated.regions, separated.rejections, separated.lone
    whole, cut_off = filter_particles(regions, cleaned.shape, min_area_px, beyond)
    specks = [Rejection(region=region, reason=Reason.TOO_SMALL) for region in find_regions(removed)]
    particles, doubted = _measured(
        with_outlines(whole, depth), segmented, pixel_size_nm, settings, min_confidence
    )
    return Analysis(
        mask=cleaned,
        particles=tuple(particles),
        rejections=(*given_up, *cut_off, *specks, *doubted),
        method=describe(None, settings, compatibility),
        pixel_size_nm=pixel_size_nm,
        removed=removed,
        lone=lone,
        notes=oddities(particles, pixel_size_nm),
    )


def _measured(
    regions: Sequence[Region],
    segmented: Segmentation,
    pixel_size_nm: float,
    settings: SeparationSettings,
    min_confidence: float | None,
) -> tuple[list[Particle], list[Rejection]]:
    """Particles of the regions, and those that are rejected by how they look."""
    seen = appearances(regions, segmented)
    doubted = are_doubted(seen, min_confidence)
    particles = [
        measure(region, pixel_size_nm=pixel_size_nm, settings=settings, appearance=appearance)
        for region, appearance, is_doubted in zip(regions, seen, doubted, strict=True)
        if not is_doubted
    ]
    return particles, [
        Rejection(region=region, reason=Reason.LOW_CONFIDENCE)
        for region, is_doubted in zip(regions, doubted, strict=True)
        if is_doubted
    ]


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
    hollow = sure_parts(mask, mask)
    hollow[31:34, 19:22] = False
    with_dark_holes(hollow, np.zeros(mask.shape, np.float32))
    arcs = find_arcs(mask, squared_distances(mask))
    largest_hidden_share(arcs, np.arange(len(arcs.starts) - 1))
    for method in methods:
        settings = check_separation(method, None)
        seen = Segmentation(
            mask=mask,
            picture=take_picture((~mask).astype(np.float32), mask),
            probability=mask.astype(np.uint8),
        )
        resolve_segmentation(seen, pixel_size_nm=0.5, settings=settings)
        found = resolve(level > OUTLINE, pixel_size_nm=0.5, level=level, settings=settings)
        resolve(level > OUTLINE, pixel_size_nm=0.5, level=of_ledger, settings=settings)
        for particle in found.particles:
            polygon(particle.region)
