"""Samples against each other: for page and API as plain numbers, and as a chart with its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from temwatch.analysis.statistics.bins import Bins
from temwatch.analysis.statistics.sample_difference import difference, holm
from temwatch.descriptors import BY_NAME
from temwatch.ledger.sample_columns import Fields
from temwatch.names import text_cell
from temwatch.outputs import chart_data, charts, population_summary
from temwatch.outputs.population_summary import View, json_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SAMPLES = 6
"""Samples that are compared at once."""

_COLOURS = (charts.BLUE, charts.ORANGE, charts.GREEN, "#CC79A7", "#E69F00", charts.GREY)
_LINES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))

Samples = Mapping[str, Fields]
"""Particles by the name of their sample; the first one is the reference."""


def compare(samples: Samples, view: View) -> dict[str, Any]:
    """Statistics of each sample, and how each differs from the first.

    `p` is that of each test alone, `p_adjusted` that of all of them together (Holm).
    """
    reference, *_ = samples.values()
    rows = []
    for sample, fields in samples.items():
        row: dict[str, Any] = {"sample": sample, **population_summary.figures(fields, view)}
        if fields is not reference:
            row["against_reference"] = _against(reference, fields, view)
        rows.append(row)
    tested = [
        row["against_reference"] for row in rows[1:] if (row["against_reference"] or {}).get("p") is not None
    ]
    for one, adjusted in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p_adjusted"] = json_numbers(float(adjusted))
    descriptor = BY_NAME[view.descriptor]
    return {
        "descriptor": view.descriptor,
        "weighting": view.weighting,
        "border": view.border,
        "name": descriptor.label,
        "unit": descriptor.unit,
        "reference": next(iter(samples)),
        "samples": rows,
    }


def _against(reference: Fields, fields: Fields, view: View) -> dict[str, Any] | None:
    found = difference(*(population_summary.select(one, view) for one in (reference, fields)))
    if found is None:
        return None
    return {
        "difference": json_numbers(found.difference),
        "half_width": json_numbers(found.half_width),
        "t": json_numbers(found.t),
        "degrees_of_freedom": json_numbers(found.degrees),
        "p": json_numbers(found.p),
        "p_adjusted": None,
        "cliffs_delta": json_numbers(found.cliffs_delta),
        "effect": found.effect,
    }


def chart(samples: Samples, kind: charts.Kind, view: View, bins: Bins) -> bytes:
    """Smooth densities of all samples in one picture."""
    return charts.picture_of(lambda axes: _draw(axes, samples, view, bins), ", ".join(samples), kind)


def _draw(axes: Axes, samples: Samples, view: View, bins: Bins) -> None:
    answers = {name: population_summary.describe(fields, view, bins) for name, fields in samples.items()}
    for (name, answer), colour, line in zip(answers.items(), _COLOURS, _LINES, strict=False):
        smooth = answer["smooth"]
        # no formula, and no label that begins with _, which legends leave out
        text = (" " if name.startswith("_") else "") + name.replace("$", r"\$")
        axes.plot(
            smooth["x"],
            smooth["y"],
            color=colour,
            linestyle=line,
            label=f"{text} (N = {answer['particles']})",
        )
    first = next(iter(answers.values()))
    charts.label(axes, first, charts.density_label(first))
    if bins.log:
        charts.logarithmic(axes)
    axes.set_ylim(bottom=0)
    axes.legend()


def csv_text(samples: Samples, view: View, bins: Bins) -> str:
    """The data of the chart: a row for each point of each sample."""
    return chart_data.written(_rows(samples, view, bins))


def _rows(samples: Samples, view: View, bins: Bins) -> Iterator[chart_data.Row]:
    for place, (name, fields) in enumerate(samples.items()):
        answer = population_summary.describe(fields, view, bins)
        if place == 0:
            yield "sample", view.descriptor, chart_data.density_name(answer)
        for x, y in zip(answer["smooth"]["x"], answer["smooth"]["y"], strict=True):
            yield text_cell(name), x, y
