"""Particles followed through the frames of a sequence as they come, with their merging and vanishing.

`begin` gives a state, `follow` takes it from frame to frame, `finish` tells what was still open. A state
holds the particles in view and nothing of the past, so a sequence of any length costs the same; `dump` and
`load` keep it exactly, so a restart gives the same identities. Nothing is global: any number of sequences go
side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.tracking import linking, track_events
from temwatch.analysis.tracking.drift import Drift, Known, measure_drift, spacing_px
from temwatch.analysis.tracking.track_events import TrackEvent
from temwatch.analysis.tracking.tracker_state import (
    FROM_THE_START,
    NOBODY,
    Sighting,
    State,
    Tracks,
    born,
    dump,
    joined,
    kept,
    load,
    nobody,
)
from temwatch.config import TrackingSettings
from temwatch.domain import Analysis, Mask, Region

__all__ = [
    "Followed",
    "Observation",
    "State",
    "TrackEvent",
    "begin",
    "dump",
    "finish",
    "follow",
    "load",
    "observe",
    "skip",
]

ANCHOR_FRAMES = 10
"""Frames over which the position is averaged that drift is measured against."""

SMOOTH_FRAMES = 3
"""Frames over which a diameter is averaged before sizes are balanced."""

STEP_MOTIONS = 8.0
"""Typical displacements that a particle may move at once."""

STEP_DIAMETERS = 0.35
"""Median diameters that a particle may move at once, however quiet the others are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """One frame as analysed: its number from 0, and its particles in order, positions (row, column)."""

    index: int
    mask: Mask
    centroids_px: NDArray[np.float64]
    diameters_px: NDArray[np.float64]
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Followed:
    """One frame as followed: the track and the drift-corrected position of each particle, in their order.

    `drift_px` is how far the field has moved since the first frame (row, column), `agreement` how well the
    frame and the particles known so far agree under it, 0 to 1. Events may concern earlier frames: whether a
    particle is gone for good is known only when it has not come back.
    """

    index: int
    tracks: NDArray[np.int64]
    positions_px: NDArray[np.float64]
    drift_px: NDArray[np.float64]
    agreement: float
    events: tuple[TrackEvent, ...]


def observe(analysis: Analysis, index: int) -> Observation:
    """A frame's analysis as the tracking sees it."""
    particles = analysis.particles
    centres = [(particle.centroid_y_nm, particle.centroid_x_nm) for particle in particles]
    diameters = [particle.equivalent_diameter_nm for particle in particles]
    return Observation(
        index=index,
        mask=analysis.mask,
        centroids_px=np.array(centres, np.float64).reshape(-1, 2) / analysis.pixel_size_nm,
        diameters_px=np.array(diameters, np.float64) / analysis.pixel_size_nm,
        regions=tuple(particle.region for particle in particles),
    )


def begin(settings: TrackingSettings | None = None) -> State:
    """State before the first frame."""
    chosen = TrackingSettings() if settings is None else settings
    return State(settings=chosen, tracks=nobody(), drift_px=np.zeros(2))


def skip(state: State, index: int) -> State:  # noqa: ARG001 - the frame that never came
    """State after a frame that never came: no track ages by it."""
    return state


def finish(state: State) -> tuple[TrackEvent, ...]:
    """Events still open at the end of a sequence: particles that were missing by then have gone."""
    tracks = state.tracks
    return _in_order(
        *track_events.arrivals(tracks, tracks.seen < track_events.CONFIRMED),
        *track_events.departures(tracks, tracks.missing > 0, state.size_noise),
    )


def follow(state: State, observation: Observation) -> tuple[State, Followed]:
    """Follow the particles into one more frame.

    Parameters
    ----------
    state : State
        From `begin`, the frame before, or `load`.
    observation : Observation
        The frame. One without particles changes nothing: no track ages by it.
    """
    if not len(observation.diameters_px):
        return state, _nothing(state, observation.index)
    tracks = state.tracks
    drift = measure_drift(
        observation.mask,
        observation.centroids_px,
        observation.diameters_px,
        Known(tracks.anchor_px, tracks.smooth_px, np.minimum(tracks.seen, ANCHOR_FRAMES).astype(np.float64)),
        state.drift_px,
    )
    sighting = _sighting(observation, drift.shift_px)
    row = linking.link(
        tracks.position_px,
        tracks.smooth_px,
        tracks.missing,
        sighting.position_px,
        sighting.diameter_px,
        _reach_px(state, sighting),
    )
    row = track_events.rescued(tracks, sighting, row, state.size_noise)
    suspicious, row = track_events.suspected(tracks, sighting, row, state.size_noise, state.motion_px)
    return _next(state, suspicious, sighting, row, drift)


def _nothing(state: State, index: int) -> Followed:
    return Followed(
        index=index,
        tracks=np.zeros(0, np.int64),
        positions_px=np.zeros((0, 2)),
        drift_px=state.drift_px,
        agreement=0.0,
        events=(),
    )


def _sighting(observation: Observation, drift_px: NDArray[np.float64]) -> Sighting:
    origins = np.array([region.origin_px for region in observation.regions], np.int64)
    return Sighting(
        observation.index,
        observation.centroids_px - drift_px,
        observation.diameters_px,
        origins - np.rint(drift_px).astype(np.int64),
        tuple(region.mask for region in observation.regions),
    )


def _reach_px(state: State, sighting: Sighting) -> float:
    """Largest displacement of a particle since the last frame with particles; diffusion goes on in gaps."""
    usual_px = float(np.median(state.tracks.smooth_px)) if len(state.tracks) else 1.0
    free_px = max(STEP_DIAMETERS * usual_px, STEP_MOTIONS * state.motion_px, 1.0)
    free_px *= math.sqrt(max(sighting.frame - state.last_index, 1))
    return min(free_px, max(state.settings.largest_step_spacings * spacing_px(sighting.position_px), 1.0))


def _next(
    state: State, tracks: Tracks, sighting: Sighting, row: NDArray[np.int64], drift: Drift
) -> tuple[State, Followed]:
    """State and result once it is known which track each particle continues."""
    linked, fresh = np.flatnonzero(row >= 0), np.flatnonzero(row < 0)
    old = row[linked]
    numbers = np.empty(len(row), np.int64)
    numbers[linked] = tracks.number[old]
    numbers[fresh] = state.next_track + np.arange(len(fresh))
    parent = track_events.parents(tracks, sighting, row, state.size_noise)[fresh]
    new = born(sighting, fresh, numbers[fresh], parent)
    if not state.frames:
        new = replace(new, born_frame=np.full(len(fresh), FROM_THE_START))

    updated = _updated(tracks, sighting, linked, old)
    gone = updated.missing > state.settings.memory_frames
    lasted = (updated.seen == track_events.CONFIRMED) & (updated.missing == 0)
    settled = lasted | (gone & (updated.seen < track_events.CONFIRMED))
    events = _in_order(
        *track_events.arrivals(updated, settled), *track_events.departures(updated, gone, state.size_noise)
    )
    steady = tracks.missing[old] == 0
    before, now = old[steady], linked[steady]
    step_px = np.hypot(*(sighting.position_px[now] - tracks.position_px[before]).T)
    change = np.log(sighting.diameter_px[now] / tracks.smooth_px[before])
    spread = 1.4826 * np.abs(change - np.median(change)) if len(change) else change
    following = replace(
        state,
        tracks=joined(kept(updated, ~gone), new),
        drift_px=drift.shift_px,
        next_track=state.next_track + len(fresh),
        frames=state.frames + 1,
        last_index=sighting.frame,
        motion_px=_running(state.motion_px, step_px),
        size_noise=_running(state.size_noise, spread),
    )
    followed = Followed(
        index=sighting.frame,
        tracks=numbers,
        positions_px=sighting.position_px,
        drift_px=drift.shift_px,
        agreement=drift.agreement,
        events=events,
    )
    return following, followed


def _updated(tracks: Tracks, sighting: Sighting, linked: NDArray[np.int64], old: NDArray[np.int64]) -> Tracks:
    """The tracks after this frame: those that were seen, and those that are missing."""
    names = (
        "position_px",
        "anchor_px",
        "diameter_px",
        "smooth_px",
        "velocity_px",
        "origin_px",
        "seen",
        "partner",
    )
    new = {name: getattr(tracks, name).copy() for name in names}
    position_px, diameter_px = sighting.position_px[linked], sighting.diameter_px[linked]
    new["seen"][old] += 1
    seen = new["seen"][old]
    new["position_px"][old], new["diameter_px"][old] = position_px, diameter_px
    new["anchor_px"][old] += (position_px - tracks.anchor_px[old]) / np.minimum(seen, ANCHOR_FRAMES)[:, None]
    new["smooth_px"][old] += (diameter_px - tracks.smooth_px[old]) / np.minimum(seen, SMOOTH_FRAMES)
    step_px = (position_px - tracks.position_px[old]) / (tracks.missing[old] + 1)[:, None]
    new["velocity_px"][old] += (step_px - tracks.velocity_px[old]) / np.minimum(seen - 1, ANCHOR_FRAMES)[
        :, None
    ]
    new["origin_px"][old], new["partner"][old] = sighting.origin_px[linked], NOBODY
    missing = tracks.missing + 1
    missing[old] = 0
    masks = list(tracks.masks)
    for track, particle in zip(old.tolist(), linked.tolist(), strict=True):
        masks[track] = sighting.masks[particle]
    # how the suspected partners of the missing ones have grown since
    gain, gain_frames = tracks.gain.copy(), tracks.gain_frames.copy()
    diameter_of = dict(zip(tracks.number[old].tolist(), diameter_px.tolist(), strict=True))
    for track in np.flatnonzero((missing > 0) & (new["partner"] != NOBODY)).tolist():
        diameter = diameter_of.get(int(tracks.partner[track]))
        if diameter is not None:
            gain[track] += np.log(diameter / tracks.before_px[track])
            gain_frames[track] += 1
    return replace(
        tracks,
        **new,
        missing=missing,
        lost_frame=np.where(missing == 1, sighting.frame, tracks.lost_frame),
        gain=gain,
        gain_frames=gain_frames,
        masks=tuple(masks),
    )


def _in_order(*events: TrackEvent) -> tuple[TrackEvent, ...]:
    return tuple(sorted(events, key=lambda event: (event.frame, event.track, event.event)))


def _running(before: float, values: NDArray[np.float64]) -> float:
    """Median of the values, averaged over the last ten frames or so."""
    if not len(values):
        return before
    now = float(np.median(values))
    return now if before == 0 else before + 0.1 * (now - before)
