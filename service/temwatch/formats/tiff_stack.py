"""What the pages of a TIFF are to each other: frames in time, or channels, depth or spectra."""

from __future__ import annotations

import json
from typing import Any

from tifffile import TiffFile, TiffPage

from temwatch.errors import Refused
from temwatch.formats import calibration, units
from temwatch.formats.calibration import Axis
from temwatch.formats.tiff_calibration import axes, ome_element
from temwatch.formats.values import number, text

# Detectors of a STEM record up to four signals together (BF, ADF, HAADF, SE). tifffile calls the pages of any
# stack channels where its caller says nothing else, so more of them than that are frames.
_MOST_CHANNELS = 4
_TIFFFILE_VERSION_OF_IMAGEJ = "1.11a"
_FRAMES = frozenset("TIQYXS")  # of the axes that tifffile writes: time, a sequence, unknown; and a page's own
_GATAN_Z = (65005, 65011)  # unit and scale of the third axis in Gatan's export


def interval_s(tif: TiffFile, page: TiffPage) -> float | None:
    """Time between the frames of a stack, s, where the file states it.

    Raises
    ------
    Refused
        not_a_sequence, spectroscopy or not_real_space: the third axis is not time.
    """
    step = _ome(tif) or _imagej(tif, page) or _gatan(page)
    _check_tifffile_axes(page)
    if step is None:
        return None
    seconds = calibration.interval_s(step)
    if seconds is None and units.seconds_per(step.unit) is None:
        calibration.refuse_unless_spatial((step,))
    return seconds


def _ome(tif: TiffFile) -> Axis | None:
    pixels = ome_element(tif, "Pixels")
    if pixels is None:
        return None
    channels, slices, frames = (int(number(pixels.get(f"Size{axis}")) or 1) for axis in "CZT")
    is_default = "tifffile" in (ome_element(tif, "OME") or {}).get("Creator", "") and not (
        ome_element(tif, "Channel") or {}
    ).get("Name")
    _refuse_channels_and_slices(channels, slices, frames, is_default_name=is_default)
    if slices > 1:
        raise _no_time("slices in depth")
    if "ModuloAlong" in (tif.ome_metadata or ""):
        raise _no_time("an axis of its own (Modulo)")
    return Axis(number(pixels.get("TimeIncrement")), pixels.get("TimeIncrementUnit", "s"))


def _imagej(tif: TiffFile, page: TiffPage) -> Axis | None:
    stated: dict[str, Any] = tif.imagej_metadata or {}
    if not stated:
        return None
    channels, slices, frames = (
        int(number(stated.get(name)) or 1) for name in ("channels", "slices", "frames")
    )
    is_default = str(stated.get("ImageJ", "")) == _TIFFFILE_VERSION_OF_IMAGEJ
    _refuse_channels_and_slices(channels, slices, frames, is_default_name=is_default)
    if slices > 1:
        # ImageJ calls the frames of a film slices, too, unless somebody says otherwise
        depth = Axis(number(stated.get("spacing")), text(stated.get("zunit")) or text(stated.get("unit")))
        if calibration.interval_s(depth) is not None or calibration.length_nm(depth) is None:
            return depth
        width = calibration.length_nm(axes(tif, page)[0])
        if width is None or not calibration.agree((calibration.length_nm(depth) or 0, width)):
            raise _no_time("slices in depth")  # setting a scale makes the depth equal to the width
    return Axis(number(stated.get("finterval")), text(stated.get("tunit")) or "s")


def _gatan(page: TiffPage) -> Axis | None:
    unit, scale = (page.tags.valueof(code) for code in _GATAN_Z)
    return None if scale is None else Axis(number(scale), text(unit))


def _check_tifffile_axes(page: TiffPage) -> None:
    """The axes that a script stated when it wrote the file with tifffile."""
    try:
        stated = json.loads(page.description) if page.description.startswith("{") else {}
    except ValueError:
        return
    names = stated.get("axes") if isinstance(stated, dict) else None
    if isinstance(names, str) and (others := set(names.upper()) - _FRAMES):
        raise _no_time(f"axes {names} ({', '.join(sorted(others))} is not time)")


def _refuse_channels_and_slices(channels: int, slices: int, frames: int, *, is_default_name: bool) -> None:
    if channels > 1 and not (is_default_name and channels > _MOST_CHANNELS and slices == frames == 1):
        raise _no_time(f"{channels} channels")
    if slices > 1 and frames > 1:
        raise _no_time("slices in depth for each frame")


def _no_time(found: str) -> Refused:
    return Refused(
        "not_a_sequence",
        f"holds {found}, no sequence in time; save what is to be measured as single micrographs",
    )
