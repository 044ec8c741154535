"""An evaluation or a training as a person reads it: table, JSON, picture, curves."""

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

from temwatch.training.checkpoint import Row
from temwatch.training.evaluate import Evaluated, summary

Rgb = NDArray[np.uint8]

TILE_PX = 320
OUTLINES = ((0, 200, 0), (255, 60, 0))
"""Truth and what was found."""


def as_json(results: Sequence[Evaluated]) -> dict[str, Any]:
    """Everything, ready for json.dumps; what is not defined is null."""
    pooled = reduce(add, (result.pixels for result in results))
    particle = pooled.true_positive + pooled.false_negative
    background = pooled.true_negative + pooled.false_positive
    return {
        "micrographs": len(results),
        "pooled": _known(summary(results)),
        "confusion": {
            "particle": _shares(pooled.true_positive, pooled.false_negative, particle),
            "background": _shares(pooled.false_positive, pooled.true_negative, background),
        },
        "per_micrograph": [{"name": result.item.name} | _known(_measures(result)) for result in results],
    }


def _measures(result: Evaluated) -> dict[str, float]:
    counts = result.counts.measures() if result.counts else {}
    return result.pixels.measures() | {"boundary_f1": result.boundary_f1} | counts


def _known(measures: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in measures.items()}


def _shares(particle: int, background: int, total: int) -> dict[str, float | None]:
    """A row of the normalised confusion matrix: what the pixels of one class were taken for."""
    return _known(
        {
            "particle": particle / total if total else math.nan,
            "background": background / total if total else math.nan,
        }
    )


def as_table(results: Sequence[Evaluated]) -> str:
    """The pooled measures, one a line, in per cent."""
    measures = summary(results)
    width = max(map(len, measures))
    lines = [f"{name:{width}}  {100 * value:6.2f} %" for name, value in measures.items()]
    return "\n".join([f"{len(results)} micrographs", *lines])


def picture(results: Sequence[Evaluated], each: int = 6) -> Pillow.Image:
    """The best micrographs in the upper row, the worst below: truth in green, what was found in red.

    They are ordered by the F1 of their particles, or by the IoU of pixels where particles are not known.
    """
    ranked = sorted(results, key=_rank, reverse=True)
    each = max(1, min(each, len(ranked)))
    rows = [
        np.concatenate([_drawn(result) for result in part], axis=1)
        for part in (ranked[:each], ranked[-each:])
    ]
    return Pillow.fromarray(np.concatenate(rows, axis=0))


def _rank(result: Evaluated) -> float:
    measures = _measures(result)
    value = measures.get("particle_f1", math.nan)
    value = measures["iou_particle"] if math.isnan(value) else value
    return 0.0 if math.isnan(value) else value


def _drawn(result: Evaluated) -> Rgb:
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
    ImageDraw.Draw(framed).text((4, 4), f"{result.item.name}  {_rank(result):.2f}", fill=(255, 255, 0))
    return np.asarray(framed)


def curves(history: Sequence[Row], path: Path) -> None:
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
