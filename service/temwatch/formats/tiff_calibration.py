"""Where TIFF files store the pixel size: one function per dialect; the first that answers decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from tifffile import RESUNIT, TiffFile, TiffPage

from temwatch.domain import Metadata
from temwatch.formats import calibration, clock, tiff_descriptions, units
from temwatch.formats.calibration import Axes, Axis
from temwatch.formats.tiff_descriptions import resolution
from temwatch.formats.values import number, parse_xml, text

# A resolution for printing is no calibration: 72 to 1200 dpi are 353 to 21 µm per pixel, and no TEM has
# pixels above 1 µm.
_LARGEST_FROM_PRINT_UNITS_NM = 1e3
_SMALLEST_PRINT_UNIT_NM = 1e6
_RESOLUTION_UNITS = {
    RESUNIT.INCH: "inch",
    RESUNIT.CENTIMETER: "cm",
    RESUNIT.MILLIMETER: "mm",
    RESUNIT.MICROMETER: "µm",
}

# Tags of Gatan's TIFF export (RosettaSciIO): unit of x and y, then scale of x and y.
_GATAN = (65003, 65004, 65009, 65010)
_FEI = (34680, 34682)
_FEI_TITAN = 34683  # also of Phenom
_ZEISS = 34118
_RESOLUTION = (282, 283, 296)
# what a page may state by itself; in a stack it must not differ from page to page
_SCALES = (*_RESOLUTION, *_GATAN, *_FEI, _FEI_TITAN, _ZEISS, 37706)

_ZEISS_KEYS = ("ap_image_pixel_size", "ap_pixel_size")

# what microscopes call their mode; differential phase contrast and diffuse scattering are none
_MODE = r"mode(?:string)?[\"'\s]*[>=:][\"'\s]*[^<>\"'\r\n,;=]{0,24}"
_DIFFRACTION = re.compile(rf"{_MODE}(?:diffr|diff\b|saed|cbed|nbed)", re.IGNORECASE)
_SCANNING = re.compile(rf"{_MODE}(?:scanning|\bstem\b)", re.IGNORECASE)


def axes(tif: TiffFile, page: TiffPage) -> Axes:
    """Calibration of x and y; without scale and unit where the file has none."""
    for dialect in _DIALECTS:
        if (found := dialect(tif, page)) is not None:
            return found
    return Axis(None, ""), Axis(None, "")


def _gatan(_: TiffFile, page: TiffPage) -> Axes | None:
    units_x, units_y, scale_x, scale_y = (page.tags.valueof(code) for code in _GATAN)
    if scale_x is None or scale_y is None or not (text(units_x) or text(units_y)):
        return None  # DigitalMicrograph writes a scale of 1.0 without a unit where it has no calibration
    x, y = Axis(number(scale_x), text(units_x)), Axis(number(scale_y), text(units_y))
    return calibration.unflipped(x), calibration.unflipped(y)


def _fei(_: TiffFile, page: TiffPage) -> Axes | None:
    scan = _section(_fei_sections(page), "Scan")
    x, y = number(scan.get("PixelWidth")), number(scan.get("PixelHeight"))
    return (Axis(x, "m"), Axis(y, "m")) if x and y else None


def _fei_titan(_: TiffFile, page: TiffPage) -> Axes | None:
    root = parse_xml(page.tags.valueof(_FEI_TITAN))
    size = None if root is None else root.find(".//{*}PixelSize")
    if size is None:
        return None
    both = [(size.find(f"{{*}}{axis}"), number(size.findtext(f"{{*}}{axis}"))) for axis in "XY"]
    x, y = (Axis(nm, "m" if part is None else part.get("unit") or "m") for part, nm in both)
    return (x, y) if x.scale and y.scale else None


def _phenom(_: TiffFile, page: TiffPage) -> Axes | None:
    root = parse_xml(page.tags.valueof(_FEI_TITAN))
    if root is None or not root.tag.endswith("FeiImage"):
        return None
    parts = [root.find(f".//{{*}}{name}") for name in ("pixelWidth", "pixelHeight")]
    x, y = (None if part is None else Axis(number(part.text), part.get("unit", "")) for part in parts)
    return None if x is None else (x, y or x)


def _zeiss(tif: TiffFile, page: TiffPage) -> Axes | None:
    """SmartSEM: a text for the operator, and one number in m that is exact, for a width of 1024 px."""
    header: dict[str, Any] = tif.sem_metadata or {}
    unnamed = header.get("", ())
    exact = Axis(number(unnamed[3]) if len(unnamed) > 3 else None, "m")
    if exact.scale is not None:
        exact = Axis(exact.scale * 1024 / page.imagewidth, "m")
    named = next((header[key] for key in _ZEISS_KEYS if len(header.get(key, ())) == 3), None)
    if named is None:
        return (exact, exact) if exact.scale else None
    stated = Axis(number(named[1]), text(named[2]))
    sizes = [nm for nm in (calibration.length_nm(stated), calibration.length_nm(exact)) if nm is not None]
    axis = exact if len(sizes) == 2 and calibration.agree(sizes) else stated
    return axis, axis


def _tvips(tif: TiffFile, _: TiffPage) -> Axes | None:
    header = tif.tvips_metadata or {}
    x, y = number(header.get("PixelSizeX")), number(header.get("PixelSizeY"))
    return (Axis(x, "nm"), Axis(y, "nm")) if x and y else None


def _olympus(tif: TiffFile, _: TiffPage) -> Axes | None:
    header = tif.sis_metadata or {}
    x, y = number(header.get("pixelsizex")), number(header.get("pixelsizey"))
    return (Axis(x, "m"), Axis(y, "m")) if x and y else None


def _ome(tif: TiffFile, _: TiffPage) -> Axes | None:
    pixels = ome_element(tif, "Pixels")
    if pixels is None or "PhysicalSizeX" not in pixels:
        return None
    x, y = (
        Axis(number(pixels.get(f"PhysicalSize{axis}")), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XY"
    )
    return x, (y if y.scale is not None else x)


def _imagej(tif: TiffFile, page: TiffPage) -> Axes | None:
    if not tif.is_imagej:
        return None
    stated = tif.imagej_metadata or {}
    unit = text(stated.get("unit"))
    return _per_unit(page, unit, text(stated.get("yunit")) or unit) if unit else None


def _resolution(_: TiffFile, page: TiffPage) -> Axes | None:
    code = page.tags.valueof(296)
    unit = _RESOLUTION_UNITS.get(RESUNIT.INCH if code is None else code)  # inch is the tag's default
    return None if unit is None else _per_unit(page, unit, unit)


def _per_unit(page: TiffPage, unit_x: str, unit_y: str) -> Axes | None:
    """Calibration by the resolution tags, which count pixels per unit."""
    x, y = resolution(page)
    found = (Axis(x, unit_x), Axis(y, unit_y))
    if any(_is_for_printing(axis) for axis in found):
        return None
    return found


def _is_for_printing(axis: Axis) -> bool:
    is_print_unit = (units.nm_per(axis.unit) or 0) >= _SMALLEST_PRINT_UNIT_NM
    return is_print_unit and not 0 < (calibration.length_nm(axis) or 0) <= _LARGEST_FROM_PRINT_UNITS_NM


_DIALECTS: tuple[Callable[[TiffFile, TiffPage], Axes | None], ...] = (
    _gatan,
    _fei,
    _fei_titan,
    _phenom,
    _zeiss,
    _tvips,
    _olympus,
    tiff_descriptions.jeol,
    tiff_descriptions.amt,
    _ome,
    _imagej,
    _resolution,
)


def axes_of_pages(tif: TiffFile, pages: Sequence[TiffPage]) -> list[Axes]:
    """The calibrations of a stack that differ, that of the first page first."""
    found = [axes(tif, pages[0])]
    known = [_stated(pages[0])]
    for page in pages[1:]:
        stated = _stated(page)
        if stated in known or not any(value is not None for value in stated):
            continue
        known.append(stated)
        these = axes(tif, page)
        if these not in found and any(
            units.kind(axis.unit) or calibration.length_nm(axis) is not None for axis in these
        ):
            found.append(these)
    return found


def _stated(page: TiffPage) -> list[Any]:
    return [page.tags.valueof(code) for code in _SCALES]


def is_diffraction(tif: TiffFile, page: TiffPage) -> bool:
    """Whether the microscope's own text says that it was in diffraction mode."""
    texts = [page.tags.valueof(code) for code in (270, *_FEI, _FEI_TITAN)]
    texts.append((tif.imagej_metadata or {}).get("Info"))
    said = "\n".join(str(text) for text in texts if text is not None)
    # the projector of a STEM is in diffraction mode
    return bool(_DIFFRACTION.search(said)) and not _SCANNING.search(said)


def acquired_at(tif: TiffFile, page: TiffPage) -> datetime | None:
    """When the micrograph was taken: the microscope's own statement, else the file's DateTime tag."""
    root = parse_xml(tif.ome_metadata)
    user = _section(_fei_sections(page), "User")
    return (
        clock.from_iso(None if root is None else root.findtext(".//{*}AcquisitionDate"))
        or clock.from_local_text(text(user.get("Date")), text(user.get("Time")))
        or clock.from_local_text(*_halves(text(page.tags.valueof(306))))
    )


def metadata(page: TiffPage) -> Metadata:
    """Voltage and instrument as far as FEI's and the standard tags have them."""
    fei = _fei_sections(page)
    voltage_V = number(_section(fei, "Beam").get("HV"))  # noqa: N806 - the unit's own spelling
    make, model = text(page.tags.valueof(271)), text(page.tags.valueof(272))
    instrument = text(_section(fei, "System").get("SystemType")) or f"{make} {model}".strip()
    return Metadata(voltage_kV=voltage_V / 1e3 if voltage_V else None, instrument=instrument or None)


def _fei_sections(page: TiffPage) -> dict[str, Any]:
    """What FEI's ini files say, by section."""
    found = [page.tags.valueof(code) for code in _FEI]
    return {name: value for each in found if isinstance(each, dict) for name, value in each.items()}


def _section(metadata: Any, name: str) -> dict[str, Any]:
    section = metadata.get(name) if isinstance(metadata, dict) else None
    return section if isinstance(section, dict) else {}


def ome_element(tif: TiffFile, name: str) -> dict[str, str] | None:
    """Attributes of the first element of this name, where the file has OME metadata."""
    root = parse_xml(tif.ome_metadata)
    element = None if root is None else root if root.tag.endswith(name) else root.find(f".//{{*}}{name}")
    return None if element is None else element.attrib


def _halves(text: str) -> tuple[str, str]:
    date, _, time = text.replace(":", "-", 2).partition(" ")
    return date, time
