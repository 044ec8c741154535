"""The pixel size: lengths in every unit that microscopes write become nm, anything else is refused."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

from temwatch.errors import Refused

ANISOTROPY_LIMIT = 0.01
"""Largest relative difference between the two axes that still counts as square pixels."""

PLAUSIBLE_NM = (1e-4, 1e6)
"""nm per pixel; no electron micrograph lies outside 0.1 pm to 1 mm: such a tag is damaged."""

REMEDY = (
    "give it with --pixel-size NM, [samples] pixel_size_nm in the configuration, or retry --pixel-size NM"
)

# keys after NFKC normalisation, which folds the micro sign into mu and the angstrom sign into Å
_NM = {
    "m": 1e9,
    "cm": 1e7,
    "mm": 1e6,
    "μm": 1e3,
    "um": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "nm": 1.0,
    "nanometer": 1.0,
    "Å": 0.1,
    "A": 0.1,
    "angstrom": 0.1,
    "pm": 1e-3,
    "inch": 2.54e7,
}
_RECIPROCAL = re.compile(r"^1\s*/|[-−]\s*1$|^(m|μ|u)?rad$|^deg(rees?)?$|^°$")
_ENERGY = re.compile(r"^[mkM]?eV\b|^e-?V$")
_TIME_S = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "μs": 1e-6, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Axis:
    """Calibration of one axis as the file states it: length of a step and its unit (empty: none)."""

    scale: float | None
    unit: str


def _plain(unit: str) -> str:
    # ImageJ writes the micro sign as the six characters of its escape
    text = unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\\u00C5", "Å")
    text = unicodedata.normalize("NFKC", text).strip(" \0\t\r\n")
    return text.lower() if len(text) > 3 else text


def length_nm(axis: Axis) -> float | None:
    """Step of an axis in nm; None where it is no length, not positive or not plausible."""
    factor = _NM.get(_plain(axis.unit))
    if factor is None or axis.scale is None or not math.isfinite(axis.scale):
        return None
    size_nm = abs(axis.scale) * factor  # a negative step is a flipped axis
    return size_nm if PLAUSIBLE_NM[0] <= size_nm <= PLAUSIBLE_NM[1] else None


def interval_s(axis: Axis) -> float | None:
    """Step of a time axis in s; None where it is no time or not positive."""
    factor = _TIME_S.get(_plain(axis.unit))
    if factor is None or axis.scale is None or not math.isfinite(axis.scale) or axis.scale <= 0:
        return None
    return axis.scale * factor


def refuse_unless_spatial(axes: tuple[Axis, ...]) -> None:
    """Refuse axes of reciprocal space, energy or time.

    Raises
    ------
    Refused
        not_real_space or spectroscopy.
    """
    for axis in axes:
        unit = _plain(axis.unit)
        if _RECIPROCAL.search(unit):
            raise Refused(
                "not_real_space",
                f"has an axis in {axis.unit.strip()}: a diffraction pattern or Fourier transform;"
                " only real-space micrographs are measured",
            )
        if _ENERGY.search(unit) or unit in _TIME_S:
            raise Refused(
                "spectroscopy",
                f"has an axis in {axis.unit.strip()}: a spectrum, spectrum image or line scan;"
                " only micrographs are measured",
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
    x_nm, y_nm = length_nm(x), length_nm(y)
    if x_nm is None or y_nm is None:
        if given_nm is not None:
            return given_nm, None
        raise Refused("no_pixel_size", f"states no pixel size ({_found(x, y)}); {REMEDY}")
    if abs(x_nm - y_nm) > ANISOTROPY_LIMIT * max(x_nm, y_nm):
        raise Refused(
            "anisotropic",
            f"has pixels of {x_nm:.6g} nm x {y_nm:.6g} nm (x, y), which differ by more than 1 %;"
            " resample it to square pixels or correct the calibration",
        )
    stated_nm = (x_nm + y_nm) / 2
    return stated_nm, stated_nm


def _found(*axes: Axis) -> str:
    if all(axis.scale is None for axis in axes):
        return "no calibration in it"
    if not any(axis.unit.strip() for axis in axes):
        return "its axes have no unit"
    return "found " + " x ".join(f"{axis.scale} {axis.unit.strip()}".strip() for axis in axes)
