"""The pixel size: lengths in every unit that microscopes write become nm, anything else is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from temwatch.choices import implausible_pixel_size, is_plausible_pixel_size
from temwatch.errors import Refused
from temwatch.formats import units

ANISOTROPY_LIMIT = 0.01
"""Largest relative difference between the two axes that still counts as square pixels."""

REMEDY = (
    "give it with --pixel-size NM, [samples] pixel_size_nm in the configuration, or retry --pixel-size NM"
)


@dataclass(frozen=True, slots=True)
class Axis:
    """Calibration of one axis as the file states it: length of a step and its unit (empty: none).

    `remark` says why a number that is there is not used.
    """

    scale: float | None
    unit: str
    remark: str = ""


Axes = tuple[Axis, Axis]
"""Of x and y."""


def length_nm(axis: Axis) -> float | None:
    """Step of an axis in nm; None where it is no length, not positive or not plausible."""
    factor = units.nm_per(axis.unit)
    if factor is None or axis.scale is None or not math.isfinite(axis.scale):
        return None
    size_nm = axis.scale * factor
    return size_nm if is_plausible_pixel_size(size_nm) else None


def unflipped(axis: Axis) -> Axis:
    """A length that counts backwards, as on an axis that DigitalMicrograph has turned, made positive."""
    if axis.scale is None or units.nm_per(axis.unit) is None:
        return axis
    return replace(axis, scale=abs(axis.scale))


def interval_s(axis: Axis) -> float | None:
    """Step of a time axis in s; None where it is no time or not positive."""
    factor = units.seconds_per(axis.unit)
    if factor is None or axis.scale is None or not math.isfinite(axis.scale) or axis.scale <= 0:
        return None
    return axis.scale * factor


def refuse_unless_spatial(axes: tuple[Axis, ...]) -> None:
    """Refuse axes of reciprocal space, energy, time or another quantity that is no length.

    Raises
    ------
    Refused
        not_real_space or spectroscopy.
    """
    for axis in axes:
        match units.kind(axis.unit):
            case "reciprocal":
                raise Refused(
                    "not_real_space",
                    f"has an axis in {axis.unit.strip()}: a diffraction pattern or Fourier transform;"
                    " only real-space micrographs are measured",
                )
            case "energy" | "time" | "other quantity":
                raise Refused(
                    "spectroscopy",
                    f"has an axis in {axis.unit.strip()}: a spectrum, spectrum image or line scan;"
                    " only micrographs are measured",
                )
            case None:
                pass


def is_no_length(axis: Axis) -> bool:
    """Whether an axis is surely of reciprocal space, energy or time."""
    return units.kind(axis.unit) is not None


def refuse_diffraction(axes: Sequence[Axis]) -> None:
    """Refuse what was taken in diffraction mode, unless both axes are lengths: STEM scans in that mode, too.

    Raises
    ------
    Refused
        not_real_space; no given size helps.
    """
    if any(length_nm(axis) is None for axis in axes):
        raise Refused(
            "not_real_space",
            "was taken in diffraction mode and states no length; only real-space micrographs are measured",
        )


def pixel_size_nm(x: Axis, y: Axis, *, given_nm: float | None) -> tuple[float, float | None]:
    """Edge of a square pixel in nm, and what the axes state of it.

    `given_nm` fills a missing size and never overrides a stated one.

    Raises
    ------
    Refused
        not_real_space, spectroscopy, no_pixel_size or anisotropic (axes differ by more than 1 %).
    """
    refuse_unless_spatial((x, y))
    if given_nm is not None and not is_plausible_pixel_size(given_nm):
        raise Refused("no_pixel_size", f"was given a pixel size that {implausible_pixel_size(given_nm)}")
    stated = [nm for nm in (length_nm(x), length_nm(y)) if nm is not None]
    sizes = stated if len(stated) == 2 or given_nm is None else [*stated, given_nm]
    if not sizes or (len(stated) < 2 and given_nm is None):
        raise Refused("no_pixel_size", f"states no pixel size ({_found(x, y)}); {REMEDY}")
    if not agree(sizes):
        found = (
            f"has pixels of {sizes[0]:.6g} nm x {sizes[1]:.6g} nm (x, y), which differ by more than 1 %"
            if len(stated) == 2
            else f"states {stated[0]:.6g} nm for one axis only, and {given_nm:g} nm were given"
        )
        raise Refused("anisotropic", f"{found}; resample it to square pixels or correct the calibration")
    stated_nm = sum(stated) / len(stated) if stated else None
    return stated_nm or sizes[0], stated_nm


def agree(sizes_nm: Sequence[float]) -> bool:
    """Whether pixel sizes are the same within the limit."""
    return max(sizes_nm) - min(sizes_nm) <= ANISOTROPY_LIMIT * max(sizes_nm)


def _found(*axes: Axis) -> str:
    if remark := next((axis.remark for axis in axes if axis.remark), ""):
        return remark
    if all(axis.scale is None for axis in axes):
        return "no calibration in it"
    if not any(axis.unit.strip() for axis in axes):
        return "its axes have no unit"
    return "found " + " x ".join(f"{axis.scale} {axis.unit.strip()}".strip() for axis in axes)
