"""Growth of a sequence: curves of the ensemble and of each track, growth laws, and their plots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics.ensemble import Band, Ensemble, ensemble
from temwatch.analysis.statistics.growth import Curve, Shares, curves, shares
from temwatch.analysis.statistics.kinetics import Kinetics, kinetics_over_time
from temwatch.analysis.tracking.track_events import TrackEvent
from temwatch.columns import Column
from temwatch.ledger import Reader
from temwatch.ledger.sequences import results
from temwatch.ledger.sequences.progress import Progress
from temwatch.ledger.sequences.results import FrameRow
from temwatch.outputs import charts, paths
from temwatch.outputs.files import replacing, write_whole
from temwatch.outputs.tables import csv_lines, header

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 2_000_000
"""Track points that are read at once; of a longer sequence every second frame is read, every fourth ..."""

_MOST_SHOWN = 2000  # frames in a plot
_MOST_TRACKS = 200
_DPI = 300


def _band(name: str, meaning: str) -> tuple[Column, Column, Column]:
    return (
        Column(name, "real", meaning),
        Column(f"{name}_low", "real", "lower limit of its 95 % interval"),
        Column(f"{name}_high", "real", "upper limit"),
    )


TABLES: dict[str, tuple[Column, ...]] = {
    paths.ENSEMBLE_TABLE: (
        Column("frame", "integer", "number of the frame"),
        Column("elapsed_s", "real", "time since the first frame"),
        *_band("particles", "number of particles; limits of a Poisson number"),
        *_band("mean_diameter_nm", "mean equivalent diameter"),
        *_band("median_diameter_nm", "median equivalent diameter"),
        *_band("total_area_nm2", "sum of the projected areas of discs of these diameters"),
        *_band("total_volume_nm3", "sum of the volumes of spheres of these diameters"),
    ),
    paths.GROWTH_TABLE: (
        Column("track", "integer", "number of the track"),
        Column("first_frame", "integer", "first frame it was seen in"),
        Column("last_frame", "integer", "last frame it was seen in"),
        Column("sightings", "integer", "frames it was seen in"),
        Column("start_diameter_nm", "real", "median of its first diameters"),
        Column("end_diameter_nm", "real", "median of its last diameters"),
        *_band("rate_nm_per_s", "growth of its diameter, median of all slopes (Theil and Sen)"),
    ),
    paths.KINETICS_TABLE: (
        Column("frames", "integer", "frames up to here"),
        Column("elapsed_s", "real", "time of the last of them"),
        *_band("rate_r2_nm2_per_s", "K of r^2 = r0^2 + K t, r being half the mean diameter"),
        Column("r_squared_r2", "real", "share of the variance that this law explains"),
        *_band("rate_r3_nm3_per_s", "K of r^3 = r0^3 + K t"),
        Column("r_squared_r3", "real", "share of the variance that this law explains"),
        *_band("exponent", "n of the law r^n = r0^n + K t that fits best"),
    ),
    paths.SHARES_TABLE: (
        Column("coalesced_nm3", "real", "volume that particles gained by merging"),
        Column("ripened_nm3", "real", "volume that particles gained otherwise"),
        Column("lost_nm3", "real", "volume that particles lost"),
        *_band("coalesced_share", "share of merging in the gain of volume"),
        Column("merged", "integer", "particles that disappeared by merging"),
        Column("dissolved", "integer", "particles that vanished within view"),
        *_band("merged_share", "share of merging among those that disappeared"),
    ),
}
"""Columns of the tables of one sequence, by file."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Growth:
    """Growth of a sequence; `track_points` are the rows of `results.track_table`."""

    steps: list[FrameRow]
    ensembles: list[Ensemble]
    tracks: list[Curve]
    laws: list[Kinetics]
    shares: Shares
    track_points: NDArray[np.float64]


def write(reader: Reader, folder: Path, sequence: Progress) -> None:
    """Write the four tables and the two plots of a sequence into its folder.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    growth = _growth(reader, sequence)
    if not growth.steps:
        return
    rows = {
        paths.ENSEMBLE_TABLE: _ensemble_rows(growth),
        paths.GROWTH_TABLE: (_curve_row(curve) for curve in growth.tracks),
        paths.KINETICS_TABLE: (_law_row(law) for law in growth.laws),
        paths.SHARES_TABLE: [_shares_row(growth.shares)],
    }
    for file, lines in rows.items():
        write_whole(folder / file, chain([header(TABLES[file])], csv_lines(TABLES[file], lines)))
    _plot(growth, folder, sequence.name)


def _growth(reader: Reader, sequence: Progress) -> Growth:
    steps = results.frame_rows(reader, sequence)
    ensembles = [ensemble(results.diameters_nm(reader, step)) for step in steps]
    track_points, step = results.track_table(reader, sequence, MOST_POINTS)
    track, frame = track_points[:, 0].astype(np.int64), track_points[:, 1].astype(np.int64)
    events = [
        TrackEvent(frame=event.frame, event=event.event, track=event.track, others=event.others)
        for event in results.events(reader, sequence)
    ]
    time = np.array([math.nan if each.elapsed_s is None else each.elapsed_s for each in steps])
    radius = np.array([each.mean_diameter_nm.value / 2 for each in ensembles])
    return Growth(
        steps=steps,
        ensembles=ensembles,
        tracks=curves(track, frame, np.nan_to_num(track_points[:, 2]), track_points[:, 3]),
        laws=kinetics_over_time(time, radius) if np.isfinite(time).all() else [],
        shares=shares(
            track,
            frame,
            track_points[:, 3],
            events,
            left_view=_left_view(reader, steps, track_points, events),
            fewest=3 if step == 1 else 1,
        ),
        track_points=track_points,
    )


def _left_view(
    reader: Reader, steps: list[FrameRow], track_points: NDArray[np.float64], events: Iterable[TrackEvent]
) -> set[int]:
    """Tracks that vanished within a diameter of the border: the field moved on, or they grew over it."""
    row = reader.micrograph(steps[-1].micrograph_id) if steps else None
    if row is None or not (row.width_px and row.height_px and row.pixel_size_nm):
        return set()
    width_nm, height_nm = row.width_px * row.pixel_size_nm, row.height_px * row.pixel_size_nm
    last = {int(point[0]): point for point in track_points}
    gone = set()
    for event in events:
        if event.event == "vanish" and event.track in last:
            diameter, x, y = last[event.track][3:]
            if min(x, y, width_nm - x, height_nm - y) < diameter:
                gone.add(event.track)
    return gone


def _ensemble_rows(growth: Growth) -> Iterator[list[Any]]:
    for step, each in zip(growth.steps, growth.ensembles, strict=True):
        bands = (
            each.count,
            each.mean_diameter_nm,
            each.median_diameter_nm,
            each.total_area_nm2,
            each.total_volume_nm3,
        )
        yield [step.frame, step.elapsed_s, *(value for band in bands for value in band)]


def _curve_row(curve: Curve) -> list[Any]:
    return [
        curve.track,
        curve.first_frame,
        curve.last_frame,
        curve.sightings,
        curve.start_diameter_nm,
        curve.end_diameter_nm,
        *curve.rate_nm_per_s,
    ]


def _law_row(law: Kinetics) -> list[Any]:
    surface, diffusion = law.surface, law.diffusion
    return [
        law.frames,
        law.elapsed_s,
        *surface.rate,
        surface.r_squared,
        *diffusion.rate,
        diffusion.r_squared,
        *law.exponent,
    ]


def _shares_row(found: Shares) -> list[Any]:
    return [
        found.coalesced_nm3,
        found.ripened_nm3,
        found.lost_nm3,
        *found.by_volume,
        found.merged,
        found.dissolved,
        *found.by_number,
    ]


def _plot(growth: Growth, folder: Path, title: str) -> None:
    """Both plots; the same ledger gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {
        paths.ENSEMBLE_PLOT: (_count, _sizes, _area, _volume),
        paths.GROWTH_PLOT: (_single, _law),
    }
    with charts.matplotlib_lock, mpl.rc_context(charts.STYLE):
        for file, parts in panels.items():
            down = -(-len(parts) // 2)
            figure = Figure(figsize=(6.9, 2.5 * down), layout="constrained")
            FigureCanvasAgg(figure)
            for axes, part in zip(np.ravel(figure.subplots(down, 2)), parts, strict=True):
                part(axes, growth)
            with replacing(folder / file) as stream:
                figure.savefig(stream, format="png", dpi=_DPI, metadata={"Title": title})


def _time(axes: Axes, growth: Growth) -> NDArray[np.float64]:
    known = all(step.elapsed_s is not None for step in growth.steps)
    axes.set_xlabel("time (s)" if known else "frame")
    return np.array([step.elapsed_s if known else step.frame for step in growth.steps], float)


def _with_band(axes: Axes, growth: Growth, name: str, words: str, colour: str) -> None:
    time = _time(axes, growth)
    every = -(-len(time) // _MOST_SHOWN)
    bands: list[Band] = [getattr(each, name) for each in growth.ensembles[::every]]
    value, low, high = np.array(bands, float).T
    axes.fill_between(time[::every], low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(time[::every], value, color=colour, label=words)


def _count(axes: Axes, growth: Growth) -> None:
    _with_band(axes, growth, "count", "particles", charts.BLUE)
    axes.set_ylabel("particles")
    axes.set_ylim(bottom=0)


def _sizes(axes: Axes, growth: Growth) -> None:
    _with_band(axes, growth, "mean_diameter_nm", "mean", charts.BLUE)
    _with_band(axes, growth, "median_diameter_nm", "median", charts.ORANGE)
    axes.set_ylabel("equivalent diameter (nm)")
    axes.legend()


def _area(axes: Axes, growth: Growth) -> None:
    _with_band(axes, growth, "total_area_nm2", "area", charts.GREEN)
    axes.set_ylabel("projected area in view (nm²)")
    axes.set_ylim(bottom=0)


def _volume(axes: Axes, growth: Growth) -> None:
    _with_band(axes, growth, "total_volume_nm3", "volume", charts.GREEN)
    axes.set_ylabel("volume in view (nm³)")
    axes.set_ylim(bottom=0)


def _single(axes: Axes, growth: Growth) -> None:
    """Growth curves of the tracks that were seen longest."""
    time = dict(zip((step.frame for step in growth.steps), _time(axes, growth), strict=True))
    longest = sorted(growth.tracks, key=lambda curve: (-curve.sightings, curve.track))[:_MOST_TRACKS]
    for curve in longest:
        rows = growth.track_points[growth.track_points[:, 0] == curve.track]
        at = [time[int(frame)] for frame in rows[:, 1]]
        axes.plot(at, rows[:, 3], color=charts.BLUE, linewidth=0.4, alpha=0.25, rasterized=True)
    axes.set_ylabel("equivalent diameter (nm)")
    axes.set_title(f"{len(longest)} of {len(growth.tracks)} tracks", fontsize=8)


def _law(axes: Axes, growth: Growth) -> None:
    """The mean radius with both laws, as fitted over all frames."""
    time = _time(axes, growth)
    radius = np.array([each.mean_diameter_nm.value / 2 for each in growth.ensembles])
    axes.plot(time, radius, ".", color=charts.GREY, markersize=2, alpha=0.5, label="half the mean diameter")
    if growth.laws:
        last = growth.laws[-1]
        for law, colour, line in ((last.surface, charts.BLUE, "--"), (last.diffusion, charts.ORANGE, "-")):
            power = law.exponent
            fitted = np.maximum(law.start_radius_nm**power + law.rate.value * time, 0.0) ** (1 / power)
            half = (law.rate.high - law.rate.low) / 2
            words = f"$r^{power:.0f}$: {law.rate.value:.3g} ± {half:.2g} nm$^{power:.0f}$/s"
            axes.plot(time, fitted, color=colour, linestyle=line, label=words)
        axes.set_title(
            f"n = {last.exponent.value:g} ({last.exponent.low:g} to {last.exponent.high:g})", fontsize=8
        )
    axes.set_ylabel("radius (nm)")
    axes.legend()
