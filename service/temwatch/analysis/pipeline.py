"""From an image or a mask to an analysis: the order of the steps, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import temwatch
from temwatch.analysis import cleaning
from temwatch.analysis.measure import measure
from temwatch.analysis.separation import SEPARATORS
from temwatch.config import SegmentationSettings, SeparationSettings
from temwatch.domain import Analysis, Mask, Method, Particle, Reason, Region, Rejection, Segmenter
from temwatch.errors import UsageError


def analyse(
    image: ArrayLike,
    *,
    pixel_size_nm: float,
    separate: str = "uecs",
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
    separate : str
        How overlapping particles are parted: a key of `SEPARATORS`.
    weights : path, optional
        Weights file of a network; without it the default segmenter is taken.
    segmenter : Segmenter, optional
        Used instead of `weights`.
    settings : SeparationSettings, optional
        All parameters of separation; then `separate` is not looked at.

    Raises
    ------
    UsageError
        An argument cannot be used.
    """
    from temwatch.analysis import segmentation

    picture = np.asarray(image)
    if picture.ndim != 2 or not picture.size or picture.dtype.kind not in "biuf":
        raise UsageError(f"image: needs a 2D array of real numbers, found {picture.dtype} {picture.shape}")
    if segmenter is None:
        choice = (
            SegmentationSettings()
            if weights is None
            else SegmentationSettings(method="deeplab", weights=weights)
        )
        segmenter = segmentation.build(choice)
    found = segmenter.segment([picture.astype(np.float32)])[0]
    chosen = settings or _settings(separate)
    analysis = resolve(found.mask, pixel_size_nm=pixel_size_nm, contacts=found.contacts, settings=chosen)
    return replace(analysis, method=describe(segmenter, chosen))


def resolve(
    mask: ArrayLike,
    *,
    pixel_size_nm: float,
    separate: str = "uecs",
    contacts: ArrayLike | None = None,
    settings: SeparationSettings | None = None,
) -> Analysis:
    """Clean a mask, part its particles and measure them; arguments as for `analyse`.

    Parameters
    ----------
    mask : array_like of bool, shape (y, x)
        True where there is particle.
    contacts : array_like of bool, shape (y, x), optional
        Where touching particles meet; a hint.
    """
    pixels = _checked(mask, "mask")
    if contacts is not None and _checked(contacts, "contacts").shape != pixels.shape:
        raise UsageError("contacts: needs the shape of the mask")
    if not (np.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise UsageError(f"pixel_size_nm: must be more than 0, found {pixel_size_nm}")
    chosen = settings or _settings(separate)
    smallest_px = cleaning.smallest_area_px(chosen.min_diameter_nm, pixel_size_nm)
    closed = cleaning.close_holes(pixels, smallest_px)
    removed, kept, speckles = cleaning.despeckle(closed, smallest_px)
    parts, rejections = _separated(kept, chosen, smallest_px)
    particles, more = _measured(parts, pixels.shape, pixel_size_nm, chosen, smallest_px)
    rejections += [Rejection(region=speckle, reason=Reason.TOO_SMALL) for speckle in speckles] + more
    return Analysis(
        mask=closed & ~removed,
        particles=tuple(particles),
        rejections=tuple(rejections),
        method=describe(None, chosen),
        pixel_size_nm=float(pixel_size_nm),
        removed=removed,
    )


def describe(segmenter: Segmenter | None, settings: SeparationSettings) -> Method:
    """Everything that decides the numbers."""
    values: dict[str, Any] = settings.model_dump(exclude={"method"})
    own = segmenter.parameters if segmenter else ()
    return Method(
        segmentation=segmenter.name if segmenter else "",
        model_sha256=segmenter.model_sha256 if segmenter else "",
        separation=settings.method,
        parameters=tuple(sorted((*own, *values.items()))),
        software_version=temwatch.__version__,
    )


def warm_up() -> None:
    """Compile and load what the first micrograph would otherwise wait for."""
    y, x = np.mgrid[:64, :64]
    resolve(((x - 24) ** 2 + (y - 32) ** 2 < 150) | ((x - 42) ** 2 + (y - 32) ** 2 < 150), pixel_size_nm=0.5)


def _separated(
    regions: Iterable[Region], settings: SeparationSettings, smallest_px: int
) -> tuple[list[Region], list[Rejection]]:
    parts: list[Region] = []
    rejections: list[Rejection] = []
    separate = SEPARATORS[settings.method]
    for region in regions:
        found, rejected = separate(region, settings, smallest_px)
        parts += found
        rejections += rejected
    return parts, rejections


def _measured(
    parts: Iterable[Region],
    shape: tuple[int, ...],
    pixel_size_nm: float,
    settings: SeparationSettings,
    smallest_px: int,
) -> tuple[list[Particle], list[Rejection]]:
    particles: list[Particle] = []
    rejections: list[Rejection] = []
    for part in parts:
        if cleaning.touches_border(part, (shape[0], shape[1])):
            rejections.append(Rejection(region=part, reason=Reason.TOUCHES_BORDER))
        elif part.mask.sum() < smallest_px:
            rejections.append(Rejection(region=part, reason=Reason.TOO_SMALL))
        else:
            particle = measure(
                part, pixel_size_nm=pixel_size_nm, convexity_threshold=settings.convexity_threshold
            )
            particles.append(replace(particle, separated_by=settings.method if part.separated else ""))
    return particles, rejections


def _settings(separate: str) -> SeparationSettings:
    if separate not in SEPARATORS:
        raise UsageError(f"separate: {separate!r} is none of {', '.join(SEPARATORS)}")
    return SeparationSettings.model_validate({"method": separate})


def _checked(values: ArrayLike, name: str) -> Mask:
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise UsageError(f"{name}: needs a 2D array of truth values, found {array.dtype} {array.shape}")
    return array.astype(bool)
