"""The one-page report of a sample: what ISO 21363 requires of a report on particle sizes by TEM."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import jinja2

import temwatch
from temwatch.analysis.separation import SEPARATORS
from temwatch.analysis.statistics.population import FEWEST_FIELDS
from temwatch.descriptors import SIZE
from temwatch.domain import Method, PixelSizeSource, Status
from temwatch.ledger import MicrographRow, Reader, changes
from temwatch.ledger.changes import ChangeRow
from temwatch.ledger.sample_columns import Fields, fields
from temwatch.outputs import chart_data, charts, paths, population_summary
from temwatch.outputs.files import replacing
from temwatch.outputs.numbers_in_words import interval_in_words, number_in_words
from temwatch.outputs.population_summary import POPULATIONS, View

_REASONS = {
    "touches_border": "touching the border",
    "too_small": "too small",
    "low_convexity": "clump below the minimum convexity",
    "too_many_holes": "clump with too many holes",
    "not_separable": "not separable",
    "low_confidence": "pale, or the network doubts it",
}
_SIZE_SOURCES: dict[str, str] = {
    PixelSizeSource.FILE: "as stated in the files",
    PixelSizeSource.USER: "given by hand for files that state none",
    PixelSizeSource.CONFIG: "from the configuration, for files that state none",
    PixelSizeSource.CORRECTED: "corrected",
}
_SIZE_OF_OLDER_VERSION = "as stated in the files or given by hand"
_MOST_CHANGES, _MOST_CHANGES_READ = 4, 1000
_SEGMENTATIONS = {
    "threshold": "an automatic threshold on the background-corrected micrograph",
    "deeplab": "a trained network (DeepLabv3+)",
}


def report(reader: Reader, sample: str, at: datetime) -> str:
    """The report as one self-contained HTML document that prints on one A4 page.

    Parameters
    ----------
    reader : Reader
        The ledger.
    sample : str
        A sample in the ledger.
    at : datetime
        Time of the report.
    """
    return _html(reader, sample, at, fields(reader, sample))


def _html(reader: Reader, sample: str, at: datetime, loaded: Fields) -> str:
    (row,) = reader.samples(only=sample)
    methods = reader.methods()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = number_in_words
    environment.filters["interval"] = interval_in_words
    environment.filters["count"] = count
    environment.filters["day"] = lambda moment: f"{moment.astimezone(UTC):%Y-%m-%d}"
    convergence = population_summary.convergence(loaded, View(), 2.0)
    made, more = _changes(reader, sample)
    return environment.get_template("report.html").render(
        sample=sample,
        fewest_fields=FEWEST_FIELDS,
        made_at=_minute(at),
        version=temwatch.__version__,
        micrographs=row.micrographs,
        particles=len(loaded.number),
        filter=reader.chosen.words,
        all_particles=row.particles,
        receipt=row.receipt,
        rejected=[(_REASONS[str(reason)], n) for reason, n in row.rejected.items()],
        descriptors=[population_summary.describe(loaded, View(descriptor=name)) for name in POPULATIONS],
        convergence=convergence,
        border=population_summary.border_shift(loaded, SIZE, "number"),
        svg={name: _inline_svg(loaded, sample, name) for name in ("histogram", "convergence")},
        acquisition=_acquisition(reader.micrographs(sample)),
        changes=made,
        more_changes=more,
        methods=[
            {
                "digest": digest,
                "method": methods[digest],
                "segmentation": _SEGMENTATIONS.get(
                    methods[digest].segmentation, methods[digest].segmentation
                ),
                "outlines": _outlines(methods[digest]),
                "separation": _separation(methods[digest].separation),
            }
            for digest in row.methods
        ],
    )


def write(reader: Reader, sample: str, folder: Path, at: datetime) -> list[Path]:
    """Write report and charts into a folder; returns the paths written.

    Raises
    ------
    OSError
        A file could not be written.
    """
    loaded = fields(reader, sample)
    contents = {paths.REPORT: _html(reader, sample, at, loaded).encode()}
    for chart in charts.CHARTS:
        for kind in get_args(charts.Kind):
            contents[f"{chart}.{kind}"] = charts.render(loaded, sample, chart, kind, View())
        contents[f"{chart}.csv"] = chart_data.csv_text(loaded, chart, View()).encode()
    written = []
    for name, content in contents.items():
        written.append(folder / name)
        with replacing(written[-1]) as stream:
            stream.write(content)
    return written


def _outlines(method: Method) -> str:
    """The rule of the edge, which a report has to state (ISO 21363)."""
    if any(name == "segmentation.edges" for name, _ in method.parameters):
        return "A particle ends at the edge of its projection, which a network finds between the pixels"
    return "A particle ends where its mask does, at the borders of pixels"


def _separation(name: str) -> str:
    """A method of separation in words; its name where this version does not know it."""
    return SEPARATORS[name].description if name in SEPARATORS else name


def _inline_svg(loaded: Fields, sample: str, chart: charts.Chart) -> str:
    text = charts.render(loaded, sample, chart, "svg", View()).decode()
    text = text[text.index("<svg") :]
    # ids must be unique in the document
    text = re.sub(r'id="([^"]+)"', rf'id="{chart}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{chart}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{chart}-\1)", text)


def _acquisition(rows: Iterable[MicrographRow]) -> dict[str, Any]:
    """Instrument, voltage, calibration and dates of the micrographs that were measured."""
    seen: dict[str, Counter[str]] = {
        name: Counter() for name in ("instrument", "voltage", "magnification", "pixel_size", "size")
    }
    taken: list[datetime] = []
    for row in rows:
        if row.status is not Status.DONE:
            continue
        metadata = row.metadata
        for name, text in (
            ("instrument", metadata.instrument),
            ("voltage", None if metadata.voltage_kV is None else f"{metadata.voltage_kV:g} kV"),
            ("magnification", None if metadata.magnification is None else f"{metadata.magnification:,.0f}"),
            ("pixel_size", _pixel_size(row)),
            ("size", f"{row.width_px} × {row.height_px} px"),
        ):
            seen[name][text or "not stated in the files"] += 1
        if row.acquired_at:
            taken.append(row.acquired_at)
    words = {name: _list(found) for name, found in seen.items()}
    return words | {"taken": f"{_minute(min(taken))} to {_minute(max(taken))}" if taken else "not stated"}


def _pixel_size(row: MicrographRow) -> str | None:
    """A pixel size, and who says so."""
    if row.pixel_size_nm is None:
        return None
    size = f"{row.pixel_size_nm:.5g} nm per pixel"
    if row.pixel_size_source == PixelSizeSource.CORRECTED and row.stated_pixel_size_nm is not None:
        return f"{size}, corrected from {row.stated_pixel_size_nm:.5g} nm as stated in the files"
    return f"{size}, {_SIZE_SOURCES.get(row.pixel_size_source or '', _SIZE_OF_OLDER_VERSION)}"


def _changes(reader: Reader, sample: str) -> tuple[list[ChangeRow], int]:
    """The last changes that hold, and the number of those before them."""
    found = changes.history(reader, limit=_MOST_CHANGES_READ, sample=sample)
    undone = {one.undone_by: one for one in found if one.undone_by is not None}

    def is_reversal(one: ChangeRow) -> bool:
        """Whether it only takes another one back, and so leaves nothing of its own."""
        is_it = False
        while (earlier := undone.get(one.id)) is not None:
            one, is_it = earlier, not is_it
        return is_it

    holding = [one for one in found if one.undone_by is None and not is_reversal(one)]
    return holding[:_MOST_CHANGES], max(0, len(holding) - _MOST_CHANGES)


def _list(found: Counter[str]) -> str:
    if len(found) == 1:
        return next(iter(found))
    most = [f"{text} ({n})" for text, n in found.most_common(4)]
    return ", ".join(most + ([f"{len(found) - 4} more"] if len(found) > 4 else [])) or "none"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def count(number: int) -> str:
    """A whole number with thin spaces between thousands.

    Examples
    --------
    >>> count(61000)
    '61\u2009000'
    """
    return f"{number:,}".replace(",", "\u2009")
