"""From an image or a mask to an analysis: the order of the steps, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import temwatch
from temwatch.analysis.measurement.units import measure
from temwatch.analysis.separation import SEPARATORS, antema
from temwatch.analysis.separation.cleaning import closed, regions, smallest_area_px, speckles
from temwatch.analysis.separation.clumps import part, sift
from temwatch.config import SegmentationSettings, SeparationMethod, SeparationSettings
from temwatch.domain import Analysis, Mask, Method, Reason, Rejection, Segmenter
from temwatch.errors import UsageError

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
    """Segment a micrograph, part its particles and measure them.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Bright field: particles darker than the background.
    pixel_size_nm : float
        Edge of a pixel, nm.
    separate : str, optional
        How clumps are parted, a key of `temwatch.analysis.separation.SEPARATORS`; overrides `settings`.
    weights : path, optional
        Weights of a network; without it the default segmenter is taken.
    segmenter : Segmenter, optional
        Used instead of `weights`.
    settings : SeparationSettings, optional
        All parameters of separation.

    Raises
    ------
    UsageError
        An argument cannot be used.
    """
    from temwatch.analysis import segmentation

    picture = _checked(image, "image")
    chosen = _chosen(separate, settings)
    if segmenter is None:
        segmenter = segmentation.build(
            SegmentationSettings()
            if weights is None
            else SegmentationSettings(method="deeplab", weights=Path(weights))
        )
    found = segmenter.segment([picture.astype(np.float32)])[0]
    analysis = resolve(found.mask, pixel_size_nm=pixel_size_nm, contacts=found.contacts, settings=chosen)
    return replace(analysis, method=describe(segmenter, chosen))


def resolve(
    mask: ArrayLike,
    *,
    pixel_size_nm: float,
    separate: SeparationMethod | None = None,
    compatibility: Compatibility | None = None,
    contacts: ArrayLike | None = None,
    settings: SeparationSettings | None = None,
) -> Analysis:
    """Clean a mask, part its particles and measure them.

    Parameters
    ----------
    mask : array_like, shape (y, x)
        True, or not 0, where there is particle.
    pixel_size_nm : float
        Edge of a pixel, nm.
    separate : str, optional
        How clumps are parted, a key of `temwatch.analysis.separation.SEPARATORS`; overrides `settings`.
    compatibility : str, optional
        "antema": the rules of that program; method uecs or none, without contacts.
    contacts : array_like, shape (y, x), optional
        True where touching particles meet: the mask is parted there before anything else.
    settings : SeparationSettings, optional
        All parameters of separation.

    Raises
    ------
    UsageError
        An argument cannot be used.
    """
    found = _checked(mask, "mask").astype(bool, order="C")
    lines = None if contacts is None else _checked(contacts, "contacts").astype(bool)
    if lines is not None and lines.shape != found.shape:
        raise UsageError(f"contacts: needs the shape of the mask, {found.shape}, found {lines.shape}")
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise UsageError(f"pixel_size_nm: must be more than 0, found {pixel_size_nm}")
    chosen = _chosen(separate, settings)
    if compatibility is not None:
        _check_compatibility(compatibility, chosen, lines)
        chosen = antema.fixed(chosen)

    smallest_px = smallest_area_px(chosen.min_diameter_nm, pixel_size_nm)
    removed = speckles(found, smallest_px)
    cleaned = found & ~removed
    if compatibility is None:
        cleaned, gaps = closed(cleaned, smallest_px)
        parts, given_up = part(cleaned, gaps=gaps, contacts=lines, smallest_px=smallest_px, settings=chosen)
    else:
        parts, given_up = antema.part(cleaned, smallest_px=smallest_px, settings=chosen)
    whole, dropped = sift(parts, cleaned.shape, smallest_px)
    particles = [measure(region, pixel_size_nm=pixel_size_nm, settings=chosen) for region in whole]
    specks = [Rejection(region=region, reason=Reason.TOO_SMALL) for region in regions(removed)]
    return Analysis(
        mask=cleaned,
        particles=tuple(particles),
        rejections=(*given_up, *dropped, *specks),
        method=describe(None, chosen, compatibility),
        pixel_size_nm=float(pixel_size_nm),
        removed=removed,
    )


def describe(
    segmenter: Segmenter | None, settings: SeparationSettings, compatibility: Compatibility | None = None
) -> Method:
    """Everything that decides the numbers; without a segmenter the mask was given."""
    return Method(
        segmentation=segmenter.name if segmenter else "",
        model_sha256=segmenter.model_sha256 if segmenter else "",
        separation=settings.method,
        parameters=(
            *((f"segmentation.{name}", value) for name, value in (segmenter.parameters if segmenter else ())),
            *(
                (f"separation.{name}", value)
                for name, value in settings.model_dump(exclude={"method"}).items()
            ),
            *((("separation.compatibility", compatibility),) if compatibility else ()),
        ),
        software_version=temwatch.__version__,
    )


def warm_up(methods: Iterable[SeparationMethod]) -> None:
    """Compile, or load from the cache, what the first micrograph of each method would otherwise wait for."""
    y, x = np.mgrid[:128, :64]
    # two discs, one that stands alone, and a corner, which bends inwards once only: that is left to UECS
    discs = ((x - 20) ** 2 + (y - 32) ** 2 < 150) | ((x - 43) ** 2 + (y - 32) ** 2 < 150)
    discs |= (x - 12) ** 2 + (y - 57) ** 2 < 40
    corner = (y > 70) & (y < 110) & (x > 10) & (x < 50) & ((y > 90) | (x < 30))
    for method in methods:
        resolve(discs | corner, pixel_size_nm=0.5, separate=method)


def _check_compatibility(compatibility: str, settings: SeparationSettings, contacts: Mask | None) -> None:
    if compatibility != "antema":
        raise UsageError(f"compatibility: must be antema, found {compatibility!r}")
    if settings.method not in ("uecs", "none") or contacts is not None:
        raise UsageError("compatibility: antema has the methods uecs and none, and knows no contacts")


def _chosen(separate: str | None, settings: SeparationSettings | None) -> SeparationSettings:
    chosen = settings or SeparationSettings()
    if separate is None:
        return chosen
    if separate not in SEPARATORS:
        raise UsageError(f"separate: must be one of {', '.join(SEPARATORS)}, found {separate!r}")
    return chosen.model_copy(update={"method": separate})


def _checked(values: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise UsageError(
            f"{name}: needs a 2D array of real numbers that is not empty, found {array.dtype} {array.shape}"
        )
    return array
