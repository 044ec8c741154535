"""An evaluation or a training for people to read: table, JSON, picture, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw
from scipy import ndimage

from temwatch.names import plural
from temwatch.training.checkpoint import Row
from temwatch.training.evaluate import Evaluation, service_names, summary

Rgb = NDArray[np.uint8]

TILE_PX = 320
OUTLINES = ((0, 200, 0), (255, 60, 0))
"""Truth and what was found."""

REFERENCE = "particles, separated by a plain watershed"
SERVICE = "particles, as the service itself reports them"


def as_json(results: Sequence[Evaluation]) -> dict[str, Any]:
    """All scores, ready for json.dumps; undefined ones are null."""
    return {
        "micrographs": len(results),
        "pooled": _known(summary(results)),
        "confusion": {truth: _known(taken) for truth, taken in confusion(results).items()},
        "per_micrograph": [{"name": result.item.name} | _known(_measures(result)) for result in results],
    }


def _measures(result: Evaluation) -> dict[str, float]:
    counts = result.counts.measures() if result.counts else {}
    service = result.service_counts.measures() if result.service_counts else {}
    return result.pixels.measures() | {"boundary_f1": result.boundary_f1} | counts | service_names(service)


def _known(measures: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in measures.items()}


def confusion(results: Sequence[Evaluation]) -> dict[str, dict[str, float]]:
    """The normalised confusion matrix: how the pixels of each true class were classified, as shares."""
    pooled = reduce(add, (result.pixels for result in results))
    rows = {
        "particle": (pooled.true_positive, pooled.false_negative),
        "background": (pooled.false_positive, pooled.true_negative),
    }
    return {
        truth: {
            name: part / sum(parts) if sum(parts) else math.nan
            for name, part in zip(rows, parts, strict=True)
        }
        for truth, parts in rows.items()
    }


def as_table(results: Sequence[Evaluation], separation: str = "") -> str:
    """Pooled scores, the confusion matrix and one line per micrograph, in per cent.

    Parameters
    ----------
    results
        At least one micrograph.
    separation
        How the service's own pipeline has separated particles; for the heading.
    """
    measures = summary(results)
    width = max(map(len, measures))
    lines = [f"{plural(len(results), 'micrograph')}, all figures in per cent", "pixels"]
    for name, value in measures.items():
        lines += [REFERENCE] if name == "particle_f1" else []
        lines += [SERVICE + f" ({separation})" * bool(separation)] if name == "service_particle_f1" else []
        lines.append(f"  {name:{width}}  {_percent(value):>7}")
    lines.append(f"{'pixels that are':{width + 2}}  taken for particle  for background")
    for truth, taken in confusion(results).items():
        shares = f"{_percent(taken['particle']):>18}  {_percent(taken['background']):>14}"
        lines.append(f"  {truth:{width}}  {shares}")
    return "\n".join([*lines, *_per_micrograph(results)])


_COLUMNS = {
    "IoU": "iou_particle",
    "boundary F1": "boundary_f1",
    "F1": "particle_f1",
    "count error": "count_error",
    "diameter bias": "diameter_bias",
    "service F1": "service_particle_f1",
    "service count error": "service_count_error",
}


def _per_micrograph(results: Sequence[Evaluation]) -> list[str]:
    width = max(len(result.item.name) for result in results) + 2
    rows = [(result.item.name, _measures(result)) for result in results]
    shown = {title: key for title, key in _COLUMNS.items() if any(key in row for _, row in rows)}
    lines = [f"{'micrograph':{width}}  " + "  ".join(f"{title:>7}" for title in shown)]
    for name, row in rows:
        cells = [f"{_percent(row.get(key, math.nan)):>{max(7, len(title))}}" for title, key in shown.items()]
        lines.append(f"  {name:{width - 2}}  " + "  ".join(cells))
    return lines


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def picture(results: Sequence[Evaluation], each: int = 6) -> Pillow.Image:
    """The best micrographs in the upper row, the worst below: truth in green, what was found in red.

    They are ordered by the F1 of their particles, or by the IoU of pixels where particles are not known; the
    median distance of outlines from the steepest edge stands behind it.
    """
    ranked = sorted(results, key=_rank, reverse=True)
    each = max(1, min(each, len(ranked)))
    rows = [
        np.concatenate([_comparison(result) for result in part], axis=1)
        for part in (ranked[:each], ranked[-each:])
    ]
    return Pillow.fromarray(np.concatenate(rows, axis=0))


def _rank(result: Evaluation) -> float:
    measures = _measures(result)
    value = measures.get("particle_f1", math.nan)
    value = measures["iou_particle"] if math.isnan(value) else value
    return 0.0 if math.isnan(value) else value


def _comparison(result: Evaluation) -> Rgb:
    image = np.clip((result.item.image.astype(np.float32) + 1.2) / 2.4 * 255, 0, 255).astype(np.uint8)
    canvas = np.repeat(image[..., None], 3, axis=2)
    width = max(1, round(max(image.shape) / TILE_PX))
    for mask, colour in zip((result.item.labels > 0, result.segmentation.mask), OUTLINES, strict=True):
        outline = mask & ~ndimage.binary_erosion(mask, iterations=width, border_value=1)
        canvas[outline] = colour
    framed = Pillow.new("RGB", (TILE_PX, TILE_PX))
    small = Pillow.fromarray(canvas)
    small.thumbnail((TILE_PX, TILE_PX))
    framed.paste(small)
    text = f"{result.item.name}  {_rank(result):.2f}"
    if result.edge_distances_px.size:
        text += f"  {np.median(result.edge_distances_px):+.1f} px"
    ImageDraw.Draw(framed).text((4, 4), text, fill=(255, 255, 0))
    return np.asarray(framed)


def draw_curves(history: Sequence[Row], path: Path) -> None:
    """Loss, overlap of pixels and F1 of particles over the steps, as a png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (
        ("loss", ("loss",)),
        ("pixels, validation", ("iou_particle", "iou_background", "dice_particle")),
        ("particles, validation", ("particle_f1", "particle_f1_per_micrograph", "score")),
    )
    for axes, (title, names) in zip(figure.subplots(1, 3), panels, strict=True):
        for name in names:
            rows = [row for row in history if name in row]
            if rows:
                axes.plot([row["step"] for row in rows], [row[name] for row in rows], label=name)
        axes.set(title=title, xlabel="step")
        if axes.lines:
            axes.legend()
    axes = figure.axes[0]
    if any("loss" in row for row in history):
        axes.set_yscale("log")
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, format="png", dpi=100)
    temporary.replace(path)
