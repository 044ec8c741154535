"""The .emi that TIA writes beside its .ser files: `Au.emi` describes `Au_1.ser`, `Au_2.ser` ..."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from temwatch.domain import Metadata
from temwatch.errors import InputError
from temwatch.formats import clock, read_errors
from temwatch.formats.source import TextBeside
from temwatch.formats.values import number, parse_xml, text

_MOST_BYTES = 16 * 1024**2
_BEGIN, _END = b"<ObjectInfo>", b"</ObjectInfo>"


def beside(path: Path) -> TextBeside | None:
    """Voltage, magnification, instrument, exposure and time of a series; its scale is in the .ser itself."""
    name, underscore, counter = path.stem.rpartition("_")
    if not underscore or not counter.isdigit():
        return None
    try:
        with read_errors.open_regular(path.with_name(f"{name}.emi")) as stream:
            content = stream.read(_MOST_BYTES)
    except (OSError, InputError):
        return None
    # no pattern: many beginnings without an end would make one search for hours
    begin = content.find(_BEGIN)
    end = content.find(_END, begin)
    if min(begin, end) < 0:
        return None
    root = parse_xml(content[begin : end + len(_END)].decode("utf-8", "replace"))
    if root is None:
        return None
    said = {
        text(entry.findtext("Label")): number(entry.findtext("Value"))
        for entry in root.iterfind("ExperimentalDescription/Root/Data")
    }
    voltage_V = number(root.findtext(".//MicroscopeConditions/AcceleratingVoltage"))  # noqa: N806 - its unit
    voltage_kV = said.get("High tension") or (voltage_V / 1e3 if voltage_V else None)  # noqa: N806
    return TextBeside(
        acquired_at=_moment(text(root.findtext("AcquireDate"))),
        metadata=Metadata(
            voltage_kV=voltage_kV or None,
            magnification=said.get("Magnification") or None,
            instrument=text(root.findtext("Manufacturer")) or None,
            exposure_s=number(root.findtext("AcquireInfo/DwellTimePath")) or None,
        ),
    )


def _moment(said: str) -> datetime | None:
    """Local time as C writes it: Wed Mar 25 10:53:55 2015."""
    try:
        return clock.from_iso(datetime.strptime(said, "%a %b %d %H:%M:%S %Y").isoformat(), local=True)
    except ValueError:
        return None
