"""Where TIFF files store the pixel size: one function per dialect; the first that finds it decides."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tifffile import RESUNIT, TiffFile, TiffPage

from temwatch.domain import Metadata
from temwatch.formats import calibration, clock
from temwatch.formats.calibration import Axis

Axes = tuple[Axis, Axis]

# A resolution for printing is no calibration: 72 to 1200 dpi are 353 to 21 µm per pixel, and no TEM has
# pixels above 1 µm.
_LARGEST_FROM_PRINT_UNITS_NM = 1e3
_PRINT_UNITS = ("inch", "cm", "mm")

# Tags of Gatan's TIFF export (RosettaSciIO): unit of x and y, then scale of x and y.
_GATAN = (65003, 65004, 65009, 65010)
_FEI_TITAN = 34683


def axes(tif: TiffFile, page: TiffPage) -> Axes:
    """Calibration of x and y; without scale and unit where the file has none."""
    for dialect in _DIALECTS:
        if (found := dialect(tif, page)) is not None:
            return found
    return Axis(None, ""), Axis(None, "")


def _gatan(_: TiffFile, page: TiffPage) -> Axes | None:
    units_x, units_y, scale_x, scale_y = (page.tags.valueof(code) for code in _GATAN)
    if scale_x is None or scale_y is None:
        return None
    return Axis(_number(scale_x), _text(units_x)), Axis(_number(scale_y), _text(units_y))


def _fei(tif: TiffFile, _: TiffPage) -> Axes | None:
    scan = _section(tif.fei_metadata, "Scan")
    x, y = _number(scan.get("PixelWidth")), _number(scan.get("PixelHeight"))
    return (Axis(x, "m"), Axis(y, "m")) if x and y else None


def _fei_titan(_: TiffFile, page: TiffPage) -> Axes | None:
    root = _xml(page.tags.valueof(_FEI_TITAN))
    size = None if root is None else root.find(".//{*}PixelSize")
    if size is None:
        return None
    x, y = _number(size.findtext("{*}X")), _number(size.findtext("{*}Y"))
    return (Axis(x, "m"), Axis(y, "m")) if x and y else None


def _tvips(tif: TiffFile, _: TiffPage) -> Axes | None:
    header = tif.tvips_metadata or {}
    x, y = _number(header.get("PixelSizeX")), _number(header.get("PixelSizeY"))
    return (Axis(x, "nm"), Axis(y, "nm")) if x and y else None


def _olympus(tif: TiffFile, _: TiffPage) -> Axes | None:
    header = tif.sis_metadata or {}
    x, y = _number(header.get("pixelsizex")), _number(header.get("pixelsizey"))
    return (Axis(x, "m"), Axis(y, "m")) if x and y else None


def _ome(tif: TiffFile, _: TiffPage) -> Axes | None:
    pixels = _ome_element(tif, "Pixels")
    if pixels is None or "PhysicalSizeX" not in pixels:
        return None
    x, y = (
        Axis(_number(pixels.get(f"PhysicalSize{axis}")), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XY"
    )
    return x, (y if y.scale is not None else x)


def _imagej(tif: TiffFile, page: TiffPage) -> Axes | None:
    if not tif.is_imagej:
        return None
    unit = _text((tif.imagej_metadata or {}).get("unit"))
    return _per_unit(page, unit) if unit else None


def _resolution(_: TiffFile, page: TiffPage) -> Axes | None:
    unit = page.tags.valueof(296)
    return _per_unit(page, "cm" if unit == RESUNIT.CENTIMETER else "inch")


def _per_unit(page: TiffPage, unit: str) -> Axes | None:
    """Calibration by the resolution tags, which count pixels per unit."""
    pair = tuple(Axis(_reciprocal(page.tags.valueof(code)), unit) for code in (282, 283))
    found = (pair[0], pair[1])
    if unit in _PRINT_UNITS and not all(
        0 < (calibration.length_nm(axis) or 0) <= _LARGEST_FROM_PRINT_UNITS_NM for axis in found
    ):
        return None
    return found


_DIALECTS: tuple[Callable[[TiffFile, TiffPage], Axes | None], ...] = (
    _gatan,
    _fei,
    _fei_titan,
    _tvips,
    _olympus,
    _ome,
    _imagej,
    _resolution,
)


def interval_s(tif: TiffFile) -> float | None:
    """Time between the frames of a stack, s, where ImageJ or OME state it."""
    if (pixels := _ome_element(tif, "Pixels")) is not None:
        step = Axis(_number(pixels.get("TimeIncrement")), pixels.get("TimeIncrementUnit", "s"))
        return calibration.interval_s(step)
    step = Axis(_number((tif.imagej_metadata or {}).get("finterval")), "s")
    return calibration.interval_s(step)


def acquired_at(tif: TiffFile, page: TiffPage) -> datetime | None:
    """When the micrograph was taken: the microscope's own statement, else the file's DateTime tag."""
    root = _xml(tif.ome_metadata)
    user = _section(tif.fei_metadata, "User")
    return (
        clock.from_iso(None if root is None else root.findtext(".//{*}AcquisitionDate"))
        or clock.from_local_text(_text(user.get("Date")), _text(user.get("Time")))
        or clock.from_local_text(*_halves(_text(page.tags.valueof(306))))
    )


def metadata(tif: TiffFile, page: TiffPage) -> Metadata:
    """Voltage and instrument as far as FEI's and the standard tags have them."""
    fei = tif.fei_metadata
    voltage_V = _number(_section(fei, "Beam").get("HV"))  # noqa: N806 - the unit's own spelling
    make, model = _text(page.tags.valueof(271)), _text(page.tags.valueof(272))
    instrument = _text(_section(fei, "System").get("SystemType")) or f"{make} {model}".strip()
    return Metadata(voltage_kV=voltage_V / 1e3 if voltage_V else None, instrument=instrument or None)


def _section(metadata: Any, name: str) -> dict[str, Any]:
    section = metadata.get(name) if isinstance(metadata, dict) else None
    return section if isinstance(section, dict) else {}


def _ome_element(tif: TiffFile, name: str) -> dict[str, str] | None:
    root = _xml(tif.ome_metadata)
    element = None if root is None else root.find(f".//{{*}}{name}")
    return None if element is None else element.attrib


def _xml(text: Any) -> ElementTree.Element | None:
    if not isinstance(text, str) or "<" not in text:
        return None
    try:
        return ElementTree.fromstring(text.strip(" \0\r\n\t"))
    except (ElementTree.ParseError, ValueError):  # ValueError: a declared encoding that does not exist
        return None


def _halves(text: str) -> tuple[str, str]:
    date, _, time = text.replace(":", "-", 2).partition(" ")
    return date, time


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "".join(c for c in value if c.isprintable()).strip() if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _reciprocal(rational: Any) -> float | None:
    """Denominator / numerator of a resolution tag."""
    if not isinstance(rational, tuple) or len(rational) != 2 or not all(rational):
        return None
    return float(rational[1]) / float(rational[0])
