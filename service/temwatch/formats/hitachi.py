"""The text that Hitachi's microscopes write beside a picture: `a.txt` beside `a.tif`."""

from __future__ import annotations

import re
from pathlib import Path

from temwatch.domain import Metadata
from temwatch.errors import InputError
from temwatch.formats import calibration, clock, read_errors
from temwatch.formats.calibration import Axis
from temwatch.formats.source import TextBeside
from temwatch.formats.values import number, text

_MOST_BYTES = 64 * 1024
_LONGEST_VALUE = 100
_FIRST_LINES = ("[SemImageFile]", "[TemImageFile]")
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def beside(path: Path) -> TextBeside | None:
    """The description of a picture, where one with a pixel size lies beside it; sizes in it are in nm."""
    for name in (path.with_suffix(".txt"), path.with_suffix(".TXT")):
        content = _read(name)
        if content is not None and content.lstrip().startswith(_FIRST_LINES):
            return _description(content)
    return None


def _read(path: Path) -> str | None:
    try:
        with read_errors.open_regular(path) as stream:
            content = stream.read(_MOST_BYTES)
    except (OSError, InputError):
        return None
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "latin-1")
    return content.decode(encoding, "replace")


def _description(content: str) -> TextBeside | None:
    # no pattern: blanks can make one search for minutes
    lines = (line.partition("=") for line in content.splitlines())
    found = {key.strip(): value.strip()[:_LONGEST_VALUE] for key, _, value in lines}
    size_nm = calibration.length_nm(Axis(_first_number(found.get("PixelSize")), "nm"))
    if size_nm is None:
        return None
    width = re.match(r"(\d{1,6})\s*[xX*]", found.get("DataSize", ""))
    voltage_V = _first_number(found.get("AcceleratingVoltage"))  # noqa: N806 - the unit's own spelling
    return TextBeside(
        pixel_size_nm=size_nm,
        width_px=int(width[1]) if width else None,
        acquired_at=clock.from_local_text(found.get("Date"), found.get("Time")),
        metadata=Metadata(
            voltage_kV=voltage_V / 1e3 if voltage_V else None,
            magnification=_first_number(found.get("Magnification")) or None,
            instrument=text(found.get("InstructName")) or None,
        ),
    )


def _first_number(value: str | None) -> float | None:
    return number(value.split()[0]) if value and value.split() else None
