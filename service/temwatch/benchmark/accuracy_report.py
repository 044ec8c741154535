"""The accuracy of sizes for people and programs to read: table, JSON, picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from temwatch.benchmark.accuracy import CellAccuracy, by_group
from temwatch.outputs.charts import BLUE, GREEN, GREY, ORANGE, STYLE, matplotlib_lock
from temwatch.training.edge_accuracy import Quartiles

_COLOURS = (BLUE, ORANGE, GREEN, GREY, "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
"""Of Okabe and Ito, as the charts of a sample."""


def as_json(results: Sequence[CellAccuracy]) -> dict[str, Any]:
    """All figures, ready for json.dumps; undefined ones are null."""
    return {
        "cells": [_known(asdict(result)) for result in results],
        "groups": [_known(asdict(summary)) for summary in by_group(results)],
    }


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _known(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and math.isnan(value)
        else value
        for name, value in values.items()
    }


def cells_table(results: Sequence[CellAccuracy]) -> Table:
    """One line per cell; as Markdown, so that a document can take it as it is."""
    table = Table(title="diameters against simulated truth", title_justify="left", box=box.MARKDOWN)
    for name in ("diameter, px", "nm/px", "defocus, nm", "e/px"):
        table.add_column(name, justify="right")
    table.add_column("shape")
    for name in ("true", "matched", "recall, %", "bias, %", "quartiles, %", "edge, px"):
        table.add_column(name, justify="right")
    for result in results:
        cell = result.cell
        table.add_row(
            str(cell.diameter_px),
            f"{cell.pixel_size_nm:g}",
            f"{cell.defocus_nm:+g}",
            f"{cell.dose_e_per_px:g}",
            ", ".join(cell.families) + f", {cell.overlap} overlap" * (cell.overlap != "none"),
            str(result.truth),
            str(result.matched),
            _number(100 * result.recall, ".0f"),
            _number(100 * result.bias, "+.1f"),
            _spread(result.diameter_ratio),
            _number(result.edge_distance_px.median, "+.2f"),
        )
    return table


def groups_table(results: Sequence[CellAccuracy]) -> Table:
    """One line per group of cells."""
    table = Table(title="bias of the median diameter, by group", title_justify="left", box=box.MARKDOWN)
    table.add_column("group")
    for name in ("target, %", "mean, %", "largest, %", "cells within"):
        table.add_column(name, justify="right")
    for summary in by_group(results):
        table.add_row(
            summary.group,
            f"{100 * summary.target:.1f}",
            _number(100 * summary.mean_bias, ".1f"),
            _number(100 * summary.largest_bias, ".1f"),
            f"{summary.within} of {summary.cells}",
        )
    return table


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else f"{value:{form}}"


def _spread(ratio: Quartiles) -> str:
    return f"{100 * (ratio.low - 1):+.1f} to {100 * (ratio.high - 1):+.1f}" if ratio.number else "-"


def draw(results: Sequence[CellAccuracy], path: Path) -> None:
    """Bias against defocus as a png, one panel per question; bars reach from quartile to quartile."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels: dict[str, tuple[Callable[[CellAccuracy], bool], Callable[[CellAccuracy], str]]] = {
        "by size and dose, 0.13 nm/px": (
            lambda result: result.cell.group in ("14 px", "40 and 110 px"),
            lambda result: f"{result.cell.diameter_px} px, {result.cell.dose_e_per_px:g} e/px",
        ),
        "by shape, 40 px": (
            lambda result: result.cell.group.endswith(("alone", "overlap")),
            lambda result: result.cell.group,
        ),
        "by pixel size": (
            lambda result: result.cell.group == "other pixel sizes",
            lambda result: f"{result.cell.diameter_px} px, {result.cell.pixel_size_nm:g} nm/px",
        ),
    }
    with matplotlib_lock, mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (title, (belongs, label)) in zip(
            figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True
        ):
            lines: dict[str, list[CellAccuracy]] = {}
            for result in filter(belongs, results):
                if result.matched:
                    lines.setdefault(label(result), []).append(result)
            axes.axhline(0, color=GREY, linewidth=0.7)
            for (name, members), colour in zip(lines.items(), _COLOURS, strict=False):
                members.sort(key=lambda result: result.cell.defocus_nm)
                ratios = [result.diameter_ratio for result in members]
                axes.errorbar(
                    [result.cell.defocus_nm for result in members],
                    [100 * result.bias for result in members],
                    yerr=[
                        [100 * (ratio.median - ratio.low) for ratio in ratios],
                        [100 * (ratio.high - ratio.median) for ratio in ratios],
                    ],
                    label=name,
                    color=colour,
                    marker="o",
                    markersize=3,
                    elinewidth=0.5,
                )
            axes.set(title=title, xlabel="defocus / nm")
            if lines:
                axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
        figure.axes[0].set_ylabel("median diameter, found against true / %")
        temporary = path.with_name(path.name + ".tmp")
        figure.savefig(temporary, format="png", dpi=150)
    temporary.replace(path)
