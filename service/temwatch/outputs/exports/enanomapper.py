"""A sample as one row of the sheet "size TEM" of eNanoMapper's templates (physico-chemical, size).

eNanoMapper's reader finds its fields by the letters of their columns, from the fifth row of the second sheet:
github.com/enanomapper/nmdataparser, `PCHEM/SIZE/json/size_sheet_size TEM.json`. What only the laboratory
knows stays empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from temwatch.ledger import MicrographRow, Reader
from temwatch.names import text_cell
from temwatch.outputs import paths
from temwatch.outputs.exports.detections import analysed, sample_name
from temwatch.outputs.files import replacing
from temwatch.outputs.tables import Advance, summary
from temwatch.version import __version__

_HEAD_ROW, _FIRST_ROW = 0, 4  # rows count from 0 here
_STATISTICS = {
    "ECD": ("equivalent_diameter_nm", "AQ", "AS"),
    "Feret min.": ("feret_min_nm", "AW", "AY"),
    "Aspect ratio": ("aspect_ratio", "BC", "BE"),
    "Circularity": ("circularity", "BI", "BK"),
    "Solidity": ("solidity", "BU", "BW"),
}
"""Descriptor, and the columns of its median and of its mean; the next column is each one's error."""

_ABOUT = (
    "One row for eNanoMapper, sheet 'size TEM', written by temwatch.",
    "Errors beside a mean are standard deviations of the particles; a median has none.",
    "Please fill in what a micrograph does not say: owner, core composition and CAS number, preparation,",
    "grid, operator, guideline and citation.",
    "Empty statistics (mode, roundness) are none that temwatch measures.",
)


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:
    """Write the workbook of one sample."""
    import xlsxwriter

    rows = list(analysed(reader, sample, advance))
    cells = _cells(summary(reader, sample), rows)
    path = folder / paths.ENANOMAPPER.format(sample=sample)
    with replacing(path) as stream, xlsxwriter.Workbook(stream) as book:
        book.set_properties({"title": sample_name(reader, sample), "created": datetime(1980, 1, 1)})
        bold = book.add_format({"bold": True})
        about, sheet = book.add_worksheet("about"), book.add_worksheet("size TEM")
        for line, text in enumerate(_ABOUT):
            about.write_string(line, 0, text)
        sheet.write_string("B2", "temwatch sample")  # what kind of identifier stands in column B
        sheet.freeze_panes(_FIRST_ROW, 2)
        for letters, (title, value) in cells.items():
            sheet.write_string(f"{letters}{_HEAD_ROW + 1}", title, bold)
            place = f"{letters}{_FIRST_ROW + 1}"
            if isinstance(value, str):
                sheet.write_string(place, text_cell(value))
            elif value is not None and math.isfinite(value):
                sheet.write_number(place, value)
    yield path


def _cells(
    sample: Mapping[str, Any], rows: Sequence[MicrographRow]
) -> dict[str, tuple[str, str | float | None]]:
    """Title and value by the letters of the column."""
    name = str(sample["sample"])
    sizes = [((row.width_px or 0, row.height_px or 0), row.pixel_size_nm or 0.0) for row in rows]
    sides = [(width * nm, height * nm) for (width, height), nm in sizes]
    cells: dict[str, tuple[str, str | float | None]] = {
        "A": ("Replicate number", 1),
        "B": ("Sample ID", name),
        "J": ("Name of the nanomaterial", name),
        "N": ("Date of analysis", max((f"{row.analysed_at:%Y-%m-%d}" for row in rows), default=None)),
        "O": ("Study section", "P-CHEM"),
        "P": ("Study category", "PC_GRANULOMETRY_SECTION"),
        "U": ("Make and type of the electron microscope", _each(row.metadata.instrument for row in rows)),
        "V": ("Frame size camera (pixels)", _each(f"{width} x {height}" for (width, height), _ in sizes)),
        "Y": ("Magnifications", _each(_number(row.metadata.magnification) for row in rows)),
        "AB": ("Acceleration voltage (kV)", _each(_number(row.metadata.voltage_kV) for row in rows)),
        "AG": ("Micrographs used for analysis", len(rows)),
        "AI": ("Pixel size (nm)", _each(_number(nm) for _, nm in sizes)),
        "AJ": ("Micrograph size (µm)", _each(f"{w / 1e3:.4g} x {h / 1e3:.4g}" for w, h in sides)),
        "AK": ("Total area sampled per sample (µm2)", sum(w * h for w, h in sides) / 1e6),
        "AM": ("Exclude border particles (y/n)", "y"),
        "CA": ("Image software package", f"temwatch {__version__}"),
        "CB": ("Adjustment of contrast, brightness, threshold", f"methods {', '.join(sample['methods'])}"),
    }
    for title, (descriptor, median, mean) in _STATISTICS.items():
        figures = sample["statistics"].get(descriptor, {})
        cells[median] = (f"{title} median", figures.get("median"))
        cells[mean] = (f"{title} mean", figures.get("mean"))
        cells[_next(mean)] = ("standard deviation", figures.get("sd"))
    return cells


def _next(letters: str) -> str:
    """The column behind one that does not end in Z."""
    return letters[:-1] + chr(ord(letters[-1]) + 1)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def _each(values: Iterator[str | None]) -> str | None:
    """Every different value, in order, joined; None without any."""
    return "; ".join(dict.fromkeys(value for value in values if value)) or None
