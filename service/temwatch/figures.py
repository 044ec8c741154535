"""Pictures of an analysis for notebooks and scripts, drawn by matplotlib on axes in nm."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from temwatch.domain import Analysis, Image, Region

# palette of Okabe and Ito, safe for all types of colour vision (jfly.uni-koeln.de/color)
COLOURS = {"single": "#56b4e9", "separated": "#f0e442", "low convexity": "#e69f00", "rejected": "#d55e00"}
"""Colours of the outlines; the published overlays take theirs from here."""

_SHADES = (1.0, 99.0)  # percentiles that become black and white
_WIDTH_INCHES, _DPI = 5.0, 100
_MOST_ROWS = 8


def plot(analysis: Analysis, ax: Axes | None = None) -> Axes:
    """Draw the picture, or the mask where there is none, with the outline of every particle.

    Parameters
    ----------
    analysis : Analysis
        What is drawn.
    ax : matplotlib Axes, optional
        Where; new ones by default.

    Returns
    -------
    Axes
        Positions are in nm from the top left corner, y downwards, as in the table.
    """
    from matplotlib.collections import LineCollection

    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots()[1]
    height, width = analysis.mask.shape
    nm = analysis.pixel_size_nm
    ax.imshow(
        _shown(analysis.image if analysis.image is not None else analysis.mask),
        cmap="gray",
        extent=(0, width * nm, height * nm, 0),
        interpolation="antialiased",
    )
    lines: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in COLOURS}
    for particle in analysis.particles:
        kind = "low convexity" if particle.overlapping else "separated" if particle.separated else "single"
        lines[kind] += _lines(particle.region)
    for rejection in analysis.rejections:
        lines["rejected"] += _lines(rejection.region)
    for kind, found in lines.items():
        if found:
            parts = [line * nm for line in found]
            ax.add_collection(LineCollection(parts, colors=COLOURS[kind], linewidths=1, label=kind))
    ax.set_xlabel("x (nm)")
    ax.set_ylabel("y (nm)")
    return ax


def as_html(analysis: Analysis) -> str:
    """The picture with outlines, a line of figures, and the first rows of the table."""
    from matplotlib.figure import Figure

    height, width = analysis.mask.shape
    figure = Figure(figsize=(_WIDTH_INCHES, max(_WIDTH_INCHES * height / width, 1)), layout="constrained")
    plot(analysis, figure.add_subplot())
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    table = analysis.table()
    named = ["particle", "equivalent_diameter_nm", "feret_min_nm", "feret_max_nm", "circularity", "separated"]
    count, sizes = len(table), table["equivalent_diameter_nm"]
    text = f"{count} particle{'' if count == 1 else 's'}"
    if count:
        text += f", mean equivalent diameter {sizes.mean():.4g} nm (SD {sizes.std():.3g} nm)"
    more = f"<p>... and {count - _MOST_ROWS} more</p>" if count > _MOST_ROWS else ""
    rows = table[named].head(_MOST_ROWS).to_html(index=False, float_format="{:.4g}".format)
    return f"{embedded(stream.getvalue())}<p>{html.escape(text)}</p>{rows}{more}"


def embedded(png: bytes) -> str:
    """A png as an element of HTML."""
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _shown(picture: Image | NDArray[np.bool_]) -> NDArray[Any]:
    """Grey values from 0 to 1; a few extreme pixels do not make the rest grey."""
    if picture.dtype == bool:
        return picture
    low, high = np.percentile(picture, _SHADES)
    shown: NDArray[Any] = np.clip((picture - low) / max(high - low, 1e-9), 0, 1)
    return shown


def _lines(region: Region) -> list[NDArray[np.float64]]:
    """Outline of a region in px, as lines of x and y: the polygon, or the edges of its pixels."""
    if region.outline is not None:
        closed = np.vstack((region.outline, region.outline[:1]))
        return [closed[:, ::-1] + 0.5]
    padded = np.pad(region.mask, 1)
    row, column = np.array(region.origin_px) - 1
    # between a pixel and the one below it, and between a pixel and the one right of it
    y, x = np.nonzero(padded[1:] != padded[:-1])
    flat = np.stack([np.stack([x, y + 1], 1), np.stack([x + 1, y + 1], 1)], 1)
    y, x = np.nonzero(padded[:, 1:] != padded[:, :-1])
    upright = np.stack([np.stack([x + 1, y], 1), np.stack([x + 1, y + 1], 1)], 1)
    return list(np.concatenate((flat, upright)) + np.array([column, row], float))
