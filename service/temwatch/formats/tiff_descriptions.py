"""Calibrations that microscopes and cameras write into the description of a TIFF."""

from __future__ import annotations

import re
from typing import Any

from tifffile import RESUNIT, TiffFile, TiffPage

from temwatch.formats.calibration import Axes, Axis
from temwatch.formats.values import number, parse_xml, text

_NOTHING = (Axis(None, ""), Axis(None, ""))

_AMT_NUMBER = r"\s*=\s*([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)"
_AMT_X, _AMT_Y = (re.compile(f"{axis}pixCal{_AMT_NUMBER}") for axis in "XY")
_AMT_UNIT = re.compile(r"(?<![A-Za-z])Unit\s*=\s*([^\W\d]+)")
_AMT_TEMPLATES = (1.0, 150.0)
"""px per unit of cameras that nobody has calibrated: the same at every magnification, so no calibration.

150 per um was seen on every micrograph of a JEM-1400 whose pixels really were 4.2 nm; 1 says nothing.
"""


def jeol(_: TiffFile, page: TiffPage) -> Axes | None:
    """JEOL's SightX: the resolution tags count pixels of the camera; the magnification is in an XML text.

    Says "nothing" rather than None for modes that are not calibrated so (STEM, diffraction), because the
    resolution tags alone are the camera's.
    """
    if not text(page.tags.valueof(271)).startswith("JEOL"):
        return None
    root = parse_xml(page.description.strip(" \0\1\r\n\t"))
    if root is None or not root.tag.endswith("TemReporter"):
        return None
    magnification = number(root.findtext(".//{*}ImageFormingSystem/{*}SelectorValue"))
    mode = (root.findtext(".//{*}EosMode"), root.findtext(".//{*}ImageFormingSystem/{*}ModeString"))
    if mode != ("eosTEM", "MAG") or not magnification:
        return _NOTHING
    unit = "inch" if page.tags.valueof(296) in (None, RESUNIT.INCH) else "cm"
    x, y = (None if step is None else step / magnification for step in resolution(page))
    return Axis(x, unit), Axis(y, unit)


def amt(_: TiffFile, page: TiffPage) -> Axes | None:
    """AMT cameras, on JEOL microscopes and others: `XpixCal` and `YpixCal` are pixels per unit."""
    description = page.description
    x, y = _AMT_X.search(description), _AMT_Y.search(description)
    if x is None:
        return None
    per_unit = [float(found[1]) for found in (x, y or x)]
    if not all(per_unit) or all(number in _AMT_TEMPLATES for number in per_unit):
        remark = f"its XpixCal={per_unit[0]:g} is a template of the camera, no calibration"
        return Axis(None, "", remark), Axis(None, "", remark)
    unit = _AMT_UNIT.search(description)
    return Axis(1 / per_unit[0], unit[1] if unit else ""), Axis(1 / per_unit[1], unit[1] if unit else "")


def resolution(page: TiffPage) -> tuple[float | None, float | None]:
    """Units per pixel by the resolution tags, x and y; they count pixels per unit."""
    return _reciprocal(page.tags.valueof(282)), _reciprocal(page.tags.valueof(283))


def _reciprocal(rational: Any) -> float | None:
    """Denominator / numerator of a resolution tag."""
    if isinstance(rational, float) and rational:
        return 1 / rational
    if not isinstance(rational, tuple) or len(rational) != 2 or not all(rational):
        return None
    return float(rational[1]) / float(rational[0])
