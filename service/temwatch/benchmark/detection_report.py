"""What is found of the faintest particles, for people and programs to read: table, JSON, picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from temwatch.benchmark.detection import (
    DIAMETER_NM,
    ROSE,
    CellDetection,
    DetectionCell,
    growing_recall,
    limits,
)
from temwatch.outputs.charts import BLUE, GREEN, GREY, ORANGE, STYLE, matplotlib_lock

_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9")
"""Of Okabe and Ito, as the charts of a sample."""
_MARKERS = "osD^"


def as_json(results: Sequence[CellDetection]) -> dict[str, Any]:
    """All figures, ready for json.dumps; undefined ones are null."""
    return {
        "cells": [
            asdict(result) | {"signal_to_noise": result.cell.signal_to_noise, "recall": _known(result.recall)}
            for result in results
        ],
        "limits": [
            {name: _known(value) for name, value in asdict(limit).items()} for limit in limits(results)
        ],
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def cells_table(results: Sequence[CellDetection]) -> Table:
    """Recall and numbers by contrast and dose, a column per defocus, as Markdown."""
    defocuses = sorted({result.cell.defocus_nm for result in results})
    table = Table(
        title=f"particles of {DIAMETER_NM:g} nm: recall, % (matched / true ones; others found)",
        title_justify="left",
        box=box.MARKDOWN,
    )
    for name in ("nm/px", "contrast, %", "e/px", "signal/noise", *(f"{nm:+g} nm" for nm in defocuses)):
        table.add_column(name, justify="right")
    rows: dict[tuple[str, ...], dict[float, CellDetection]] = {}
    for result in results:
        rows.setdefault(_kind(result.cell), {})[result.cell.defocus_nm] = result
    for kind, found in rows.items():
        table.add_row(*kind, *(_share(found.get(defocus)) for defocus in defocuses))
    return table


def _kind(cell: DetectionCell) -> tuple[str, ...]:
    return (
        f"{cell.pixel_size_nm:g}",
        f"{100 * cell.contrast:g}",
        f"{cell.dose_e_per_px:.3g}",
        f"{cell.signal_to_noise:.1f}",
    )


def _share(result: CellDetection | None) -> str:
    if result is None:
        return "-"
    others = result.found - result.matched
    return f"{100 * result.recall:.0f} ({result.matched}/{result.truth}; {others})"


def limits_table(results: Sequence[CellDetection]) -> Table:
    """Signal to noise from which half and four fifths are found, by pixel size and defocus."""
    table = Table(title="least signal over noise", title_justify="left", box=box.MARKDOWN)
    for name in ("nm/px", "defocus, nm", "half are found", "four fifths"):
        table.add_column(name, justify="right")
    for limit in limits(results):
        table.add_row(
            f"{limit.pixel_size_nm:g}",
            f"{limit.defocus_nm:+g}",
            *(_limit(value, limit.lowest) for value in (limit.half, limit.most)),
        )
    return table


def _limit(value: float, lowest: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1f}" if value > lowest else f"{value:.1f} or less"


def draw(results: Sequence[CellDetection], path: Path) -> None:
    """Recall against signal over noise as a png: a panel per pixel size, a colour per defocus.

    Each marker is a cell, each line the recall that only grows and fits them best.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pixel_sizes = sorted({result.cell.pixel_size_nm for result in results})
    defocuses = sorted({result.cell.defocus_nm for result in results})
    contrasts = sorted({result.cell.contrast for result in results})
    with matplotlib_lock, mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 4), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, max(len(pixel_sizes), 1), sharey=True, squeeze=False)[0]
        for axes, pixel_size_nm in zip(panels, pixel_sizes, strict=False):
            for defocus_nm, colour in zip(defocuses, _COLOURS, strict=False):
                members = [
                    result
                    for result in results
                    if (result.cell.pixel_size_nm, result.cell.defocus_nm) == (pixel_size_nm, defocus_nm)
                ]
                if not members:
                    continue
                signal, recall = growing_recall(members)
                axes.plot(
                    signal, [100 * share for share in recall], color=colour, label=f"{defocus_nm:+g} nm"
                )
                for result in members:
                    marker = _MARKERS[contrasts.index(result.cell.contrast) % len(_MARKERS)]
                    point = (result.cell.signal_to_noise, 100 * result.recall)
                    axes.plot(*point, marker, color=colour, markersize=3.5)
            axes.axvline(ROSE, color=GREY, linewidth=0.7, linestyle="--")
            axes.text(ROSE, 104, " Rose", color=GREY, fontsize=7)
            for contrast, marker in zip(contrasts, _MARKERS, strict=False):
                axes.plot([], [], marker, color=GREY, markersize=3.5, label=f"{100 * contrast:g} % contrast")
            axes.set_xscale("log")
            ticks = (1, 2, 5, 10, 20, 50)
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.set_xticks([], minor=True)
            axes.set(
                title=f"{pixel_size_nm:g} nm/px ({DIAMETER_NM / pixel_size_nm:.0f} px)",
                xlabel="signal over noise of a particle",
                ylim=(-3, 110),
            )
        if pixel_sizes:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside right center")
        panels[0].set_ylabel(f"particles of {DIAMETER_NM:g} nm that are found / %")
        temporary = path.with_name(path.name + ".tmp")
        figure.savefig(temporary, format="png", dpi=150)
    temporary.replace(path)
