"""The numbers behind each chart of a sample, as csv: a row for each bar or point, of each series in turn."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from temwatch.analysis.statistics.bins import AUTOMATIC, Bins
from temwatch.descriptors import SHAPE
from temwatch.ledger.sample_columns import Fields
from temwatch.outputs import population_summary
from temwatch.outputs.charts import Chart
from temwatch.outputs.population_summary import View

Row = Sequence[Any]


def csv_text(fields: Fields, chart: Chart, view: View, bins: Bins = AUTOMATIC) -> str:
    """The data of one chart; a number that a series does not have is empty."""
    return written(DATA[chart](fields, view, bins))


def written(rows: Iterable[Row]) -> str:
    """Rows as csv, the heading first."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def density_name(answer: Mapping[str, Any]) -> str:
    """The column of a density, with what it counts and per what."""
    per = "ln" if answer.get("log_axis") else {"nm²": "nm2"}.get(answer["unit"], answer["unit"])
    return f"{answer['weighting']}_density" + (f"_per_{per}" if per else "")


def _histogram(fields: Fields, view: View, bins: Bins) -> Iterator[Row]:
    answer = population_summary.describe(fields, view, bins)
    bars, smooth = answer["histogram"], answer["smooth"]
    name = view.descriptor
    yield "series", f"{name}_from", f"{name}_to", name, density_name(answer), "particles"
    edges = bars["edges"]
    for low, high, density, count in zip(edges[:-1], edges[1:], bars["density"], bars["counts"], strict=True):
        yield "bars", low, high, "", density, count
    for series, heights in [
        ("smoothed", smooth["y"]),
        *((fit["name"], fit["density"]) for fit in answer["fits"]),
    ]:
        for x, y in zip(smooth["x"], heights, strict=True):
            yield series, "", "", x, y, ""


def _scatter(fields: Fields, view: View, _: Bins) -> Iterator[Row]:
    answer = population_summary.scatter(fields, view.descriptor, SHAPE)
    yield view.descriptor, SHAPE
    yield from zip(answer["x"]["values"], answer["y"]["values"], strict=True)


def _convergence(fields: Fields, view: View, _: Bins) -> Iterator[Row]:
    steps = population_summary.convergence(fields, view, 2.0)["steps"]
    yield "fields", "particles", "mean_half_width_percent", "d50_half_width_percent"
    names = ("fields", "particles", "mean_percent", "d50_percent")
    yield from zip(*(steps[name] for name in names), strict=True)


def _border(fields: Fields, view: View, _: Bins) -> Iterator[Row]:
    answer = population_summary.border_shift(fields, view.descriptor, view.weighting)
    density = density_name(answer)
    yield f"{view.descriptor}_from", f"{view.descriptor}_to", f"raw_{density}", f"corrected_{density}"
    edges = answer["edges"]
    yield from zip(
        edges[:-1], edges[1:], answer["density"]["raw"], answer["density"]["corrected"], strict=True
    )


DATA: Mapping[Chart, Callable[[Fields, View, Bins], Iterator[Row]]] = {
    "histogram": _histogram,
    "scatter": _scatter,
    "convergence": _convergence,
    "border": _border,
}
"""The data of each chart, by name."""
