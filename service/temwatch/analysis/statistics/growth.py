"""How particles grow: each track's curve, and what of the growth is due to coalescence and to ripening.

A particle gains volume by taking in others, which is known from the merges, and by ripening, which is all the
rest; volumes are those of spheres of the equivalent diameter.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from temwatch.analysis.statistics.ensemble import LEVEL, Band
from temwatch.analysis.tracking.track_events import TrackEvent

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]

END_FRAMES = 5
"""Sightings at either end of a curve whose median is its size there: noise is not growth."""

RESAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One track: its first and last frame, its diameters there, and its rate of growth in nm/s.

    The rate is the median of the slopes between any two sightings (Theil and Sen) with its 95 % interval;
    not a number for fewer than three sightings.
    """

    track: int
    first_frame: int
    last_frame: int
    sightings: int
    start_diameter_nm: float
    end_diameter_nm: float
    rate_nm_per_s: Band


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What the growth of the particles came from.

    Attributes
    ----------
    coalesced_nm3, ripened_nm3, lost_nm3
        Volume that the tracks gained by merging, gained otherwise, and lost otherwise.
    by_volume
        Share of coalescence in the gain of volume; limits from drawing the tracks again.
    merged, dissolved
        Particles that disappeared by merging, and by vanishing within view.
    by_number
        Share of merging among those; limits of a binomial share (H. Jeffreys).
    """

    coalesced_nm3: float
    ripened_nm3: float
    lost_nm3: float
    by_volume: Band
    merged: int
    dissolved: int
    by_number: Band


def curves(track: Numbers, frame: Numbers, elapsed_s: Values, diameter_nm: Values) -> list[Curve]:
    """The growth of every track, in the order of their numbers.

    Parameters
    ----------
    track, frame, elapsed_s, diameter_nm : (R,)
        The rows of tracks.csv, with the time of each frame; in any order.
    """
    from scipy.stats import theilslopes

    found = []
    for rows in _by_track(track, frame):
        size = diameter_nm[rows]
        start, end = _ends(size)
        rate = Band(math.nan, math.nan, math.nan)
        # slopes of all pairs: of a long track a part is enough
        some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 200)).astype(int))]
        if len(some) > 2 and elapsed_s[some[0]] != elapsed_s[some[-1]]:
            slope, _, low, high = theilslopes(diameter_nm[some], elapsed_s[some], alpha=LEVEL)
            rate = Band(float(slope), float(low), float(high))
        found.append(
            Curve(
                track=int(track[rows[0]]),
                first_frame=int(frame[rows[0]]),
                last_frame=int(frame[rows[-1]]),
                sightings=len(rows),
                start_diameter_nm=start,
                end_diameter_nm=end,
                rate_nm_per_s=rate,
            )
        )
    return found


def shares(
    track: Numbers,
    frame: Numbers,
    diameter_nm: Values,
    events: Sequence[TrackEvent],
    *,
    left_view: Collection[int] = (),
    fewest: int = 3,
) -> Shares:
    """Coalescence against ripening.

    Parameters
    ----------
    track, frame, diameter_nm : (R,)
        The rows of tracks.csv, in any order.
    events : sequence of TrackEvent
        All events so far.
    left_view : collection of int
        Tracks that vanished because the field of view moved on; they did not dissolve.
    fewest : int
        Tracks of fewer sightings are taken for errors of the segmentation and left out.
    """
    ends = {
        int(track[rows[0]]): _ends(diameter_nm[rows])
        for rows in _by_track(track, frame)
        if len(rows) >= fewest
    }
    taken: dict[int, float] = {}
    merged = 0
    for event in events:
        if event.event == "merge":
            volumes = [_volume(ends[other][1]) for other in event.others if other in ends]
            taken[event.track] = taken.get(event.track, 0.0) + sum(volumes)
            merged += len(volumes)
    dissolved = sum(
        event.event == "vanish" and event.track in ends and event.track not in left_view for event in events
    )
    gained = np.array([taken.get(number, 0.0) for number in ends])
    rest = np.array([_volume(end) - _volume(start) for start, end in ends.values()]) - gained
    coalesced, ripened = float(gained.sum()), float(rest[rest > 0].sum())
    return Shares(
        coalesced_nm3=coalesced,
        ripened_nm3=ripened,
        lost_nm3=float(-rest[rest < 0].sum()),
        by_volume=_volume_share(gained, np.maximum(rest, 0.0)),
        merged=merged,
        dissolved=dissolved,
        by_number=_number_share(merged, dissolved),
    )


def _by_track(track: Numbers, frame: Numbers) -> list[Numbers]:
    """Rows of each track in the order of time."""
    order = np.lexsort((frame, track))
    begins = np.flatnonzero(np.diff(track[order], prepend=-1))
    return [rows for rows in np.split(order, begins[1:]) if rows.size]


def _ends(diameter_nm: Values) -> tuple[float, float]:
    width = max(1, min(END_FRAMES, len(diameter_nm) // 2))
    return float(np.median(diameter_nm[:width])), float(np.median(diameter_nm[-width:]))


def _volume(diameter_nm: float) -> float:
    return math.pi / 6 * diameter_nm**3


def _volume_share(gained: Values, rest: Values) -> Band:
    total = float(gained.sum() + rest.sum())
    if not total:
        return Band(math.nan, math.nan, math.nan)
    # a fixed seed: the same tracks give the same limits
    drawn = np.random.default_rng(0).multinomial(
        len(gained), np.full(len(gained), 1 / len(gained)), RESAMPLES
    )
    part, whole = drawn @ gained, drawn @ (gained + rest)
    low, high = np.percentile(part[whole > 0] / whole[whole > 0], [50 - 50 * LEVEL, 50 + 50 * LEVEL])
    return Band(float(gained.sum()) / total, float(low), float(high))


def _number_share(merged: int, dissolved: int) -> Band:
    total = merged + dissolved
    if not total:
        return Band(math.nan, math.nan, math.nan)
    tail = (1 - LEVEL) / 2
    low = float(special.betaincinv(merged + 0.5, dissolved + 0.5, tail)) if merged else 0.0
    high = float(special.betaincinv(merged + 0.5, dissolved + 0.5, 1 - tail)) if dissolved else 1.0
    return Band(merged / total, low, high)
