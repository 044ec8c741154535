"""Charts of a sample for a publication, one journal column wide, as png, svg or pdf."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from temwatch.analysis.statistics.bins import AUTOMATIC, Bins
from temwatch.descriptors import SHAPE
from temwatch.ledger.sample_columns import Fields
from temwatch.outputs import population_summary
from temwatch.outputs.population_summary import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["png", "svg", "pdf"]
Chart = Literal["histogram", "scatter", "convergence", "border"]

# palette of Okabe and Ito, safe for all types of colour vision (jfly.uni-koeln.de/color)
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Liberation Sans", "DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "svg.fonttype": "none",  # keep text as text: a journal can set it in its own font
    "svg.hashsalt": "temwatch",
    "pdf.fonttype": 42,  # the same for pdf
}
_SIZE_IN = (3.35, 2.4)  # one column of a journal: 85 mm
_DPI = 600
_UNDATED: dict[Kind, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
matplotlib_lock = threading.Lock()  # matplotlib has global settings


WEIGHTED = {"number": "number", "area": "surface", "volume": "volume"}
"""Words for what a particle counts with."""


def render(
    fields: Fields, sample: str, chart: Chart, kind: Kind, view: View, bins: Bins = AUTOMATIC
) -> bytes:
    """One chart of a sample; the same ledger gives the same bytes."""
    return picture_of(lambda axes: CHARTS[chart](axes, fields, view, bins), sample, kind)


def picture_of(draw: Callable[[Axes], None], title: str, kind: Kind) -> bytes:
    """A picture of what a function draws on the axes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib_lock, mpl.rc_context(STYLE):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.add_subplot())
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=_DPI, metadata={"Title": title} | _UNDATED[kind])
    return stream.getvalue()


def _histogram(axes: Axes, fields: Fields, view: View, bins: Bins) -> None:
    answer = population_summary.describe(fields, view, bins)
    bars, smooth = answer["histogram"], answer["smooth"]
    axes.bar(
        bars["edges"][:-1],
        bars["density"],
        width=np.diff(bars["edges"]),
        align="edge",
        color=BLUE,
        alpha=0.35,
        edgecolor="white",
        linewidth=0.4,
    )
    if smooth["x"]:
        axes.plot(smooth["x"], smooth["y"], color=BLUE, label="smoothed")
    for index, fit in enumerate(answer["fits"]):
        words = f"{fit['name']} (distance {fit['distance']:.3f})"
        axes.plot(
            smooth["x"],
            fit["density"],
            color=ORANGE if index == 0 else GREY,
            linestyle="--" if index == 0 else ":",
            label=words,
        )
    label(axes, answer, density_label(answer))
    if bins.log:
        logarithmic(axes)
    axes.set_xlim(bars["edges"][0], bars["edges"][-1])  # it starts and ends where the data do
    size, spread = (answer["figures"][name]["value"] for name in ("mean", "sd"))
    if size is not None:
        number = f"{answer['particles']:,}".replace(",", " ")
        title = f"mean {size:.3g}, SD {spread or 0:.3g}{_unit(answer)}, N = {number}"
        axes.set_title(title, fontsize=8)
    axes.set_ylim(top=1.45 * max(bars["density"]) or 1)  # room for the legend above the bars
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right")


def logarithmic(axes: Axes) -> None:
    """A logarithmic horizontal axis with plain numbers."""
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")


def _scatter(axes: Axes, fields: Fields, view: View, _: Bins) -> None:
    answer = population_summary.scatter(fields, view.descriptor, SHAPE)
    axes.plot(
        answer["x"]["values"],
        answer["y"]["values"],
        ".",
        color=BLUE,
        markersize=2.5,
        alpha=0.5,
        rasterized=True,
    )
    label(axes, answer["x"], answer["y"]["name"])
    if answer["shown"] < answer["particles"]:
        axes.set_title(f"{answer['shown']} of {answer['particles']} particles", fontsize=8)


def _convergence(axes: Axes, fields: Fields, view: View, _: Bins) -> None:
    from matplotlib.ticker import LogLocator

    answer = population_summary.convergence(fields, view, 2.0)
    steps = answer["steps"]
    for name, words, colour, line in (("mean", "mean", BLUE, "o-"), ("d50", "D50", ORANGE, "s--")):
        known = [
            (x, y) for x, y in zip(steps["fields"], steps[f"{name}_percent"], strict=True) if y is not None
        ]
        if known:
            axes.plot(*zip(*known, strict=True), line, color=colour, markersize=3, label=words)
    axes.axhline(answer["target_percent"], color=GREY, linewidth=0.8, linestyle=":")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_xlabel("micrographs")
    axes.set_ylabel("half-width of the\n95 % interval (%)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _border(axes: Axes, fields: Fields, view: View, _: Bins) -> None:
    answer = population_summary.border_shift(fields, view.descriptor, view.weighting)
    for kind, colour, line in (("raw", BLUE, "-"), ("corrected", ORANGE, "--")):
        axes.stairs(
            answer["density"][kind], answer["edges"], color=colour, linestyle=line, linewidth=1.2, label=kind
        )
    label(axes, answer, density_label(answer))
    axes.legend(loc="upper right")


def _unit(answer: Mapping[str, Any]) -> str:
    return f" {answer['unit']}" if answer["unit"] else ""


def label(axes: Axes, answer: Mapping[str, Any], y: str) -> None:
    """Name both axes, the horizontal one with its unit."""
    unit = f" ({answer['unit']})" if answer["unit"] else ""
    axes.set_xlabel(f"{answer['name']}{unit}")
    axes.set_ylabel(y)


def density_label(answer: Mapping[str, Any]) -> str:
    """What the height of a bar is."""
    words = f"{WEIGHTED[answer['weighting']]}-weighted density"
    if answer.get("log_axis"):
        return f"{words}\n(per unit of ln)"
    return f"{words} (1/{answer['unit']})" if answer["unit"] else words


CHARTS: dict[Chart, Callable[[Axes, Fields, View, Bins], None]] = {
    "histogram": _histogram,
    "scatter": _scatter,
    "convergence": _convergence,
    "border": _border,
}
"""Function that draws each chart on the axes, by name."""
