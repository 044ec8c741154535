"""Particles tracked through the frames of a sequence as they come, with their merging and vanishing.

`begin` gives a state, `add_frame` takes it to the next frame, `finish` gives the events that were still open.
A state holds the particles in view and nothing of the past, so a sequence of any length costs the same;
`dump` and `load` keep it exactly, so a restart gives the same identities. Nothing is global: any number of
sequences can be tracked side by side. All lengths are in nm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.measurement.units import to_nm, to_px
from temwatch.analysis.tracking import linking, track_events
from temwatch.analysis.tracking.drift import Drift, Reference, measure_drift, median_spacing
from temwatch.analysis.tracking.parameters import PARAMETERS
from temwatch.analysis.tracking.track_events import TrackEvent
from temwatch.analysis.tracking.tracker_state import (
    FROM_THE_START,
    NO_TRACK,
    FrameParticles,
    TrackerState,
    Tracks,
    concatenate,
    dump,
    load,
    new_tracks,
    no_tracks,
    select,
)
from temwatch.config import TrackingSettings
from temwatch.domain import Analysis, Mask, Region

__all__ = [
    "ObservedFrame",
    "TrackEvent",
    "TrackedFrame",
    "TrackerState",
    "add_frame",
    "begin",
    "dump",
    "finish",
    "load",
    "observe",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObservedFrame:
    """One frame as analysed: its number from 0, and its particles in order, positions (row, column)."""

    index: int
    pixel_size_nm: float
    mask: Mask
    centroids_nm: NDArray[np.float64]
    diameters_nm: NDArray[np.float64]
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackedFrame:
    """One frame as tracked: the track and the drift-corrected position of each particle, in their order.

    `drift_nm` is how far the field has moved since the first frame (row, column). Events may concern earlier
    frames: whether a particle is gone for good is known only when it has not come back.
    """

    index: int
    tracks: NDArray[np.int64]
    positions_nm: NDArray[np.float64]
    drift_nm: NDArray[np.float64]
    events: tuple[TrackEvent, ...]


def observe(analysis: Analysis, index: int) -> ObservedFrame:
    """What tracking needs of the analysis of frame `index`, counted from 0."""
    particles = analysis.particles
    centres = [(particle.centroid_y_nm, particle.centroid_x_nm) for particle in particles]
    diameters = [particle.equivalent_diameter_nm for particle in particles]
    return ObservedFrame(
        index=index,
        pixel_size_nm=analysis.pixel_size_nm,
        mask=analysis.mask,
        centroids_nm=np.array(centres, np.float64).reshape(-1, 2),
        diameters_nm=np.array(diameters, np.float64),
        regions=tuple(particle.region for particle in particles),
    )


def begin(settings: TrackingSettings | None = None) -> TrackerState:
    """The state before the first frame."""
    chosen = TrackingSettings() if settings is None else settings
    return TrackerState(settings=chosen, tracks=no_tracks(), drift_nm=np.zeros(2))


def finish(state: TrackerState) -> tuple[TrackEvent, ...]:
    """Events still open at the end of a sequence: particles that are missing then are gone."""
    tracks = state.tracks
    return _in_order(
        *track_events.start_events(tracks, tracks.frames_seen < PARAMETERS.confirmed_frames),
        *track_events.end_events(tracks, tracks.frames_missing > 0, state.size_noise),
    )


def add_frame(state: TrackerState, observation: ObservedFrame) -> tuple[TrackerState, TrackedFrame]:
    """Link the particles of one more frame to the tracks.

    Parameters
    ----------
    state : TrackerState
        From `begin`, the frame before, or `load`.
    observation : ObservedFrame
        The frame. One without particles changes nothing, and neither does one that never comes: no track
        ages by it.

    Returns
    -------
    The state after the frame, and its tracks and events.
    """
    if not len(observation.diameters_nm):
        return state, _without_particles(state, observation.index)
    tracks = state.tracks
    weights = np.minimum(tracks.frames_seen, PARAMETERS.anchor_frames).astype(np.float64)
    drift = measure_drift(
        observation.mask,
        observation.centroids_nm,
        observation.diameters_nm,
        Reference(tracks.mean_position_nm, tracks.mean_diameter_nm, weights),
        state.drift_nm,
        observation.pixel_size_nm,
    )
    particles = _drift_corrected(observation, drift.shift_nm)
    row = linking.link(
        tracks.position_nm,
        tracks.mean_diameter_nm,
        tracks.frames_missing,
        particles.position_nm,
        particles.diameter_nm,
        _reach_nm(state, particles),
    )
    row = track_events.relink_overlapping(tracks, particles, row, state.size_noise)
    suspicious, row = track_events.find_absorbers(tracks, particles, row, state.size_noise, state.motion_nm)
    return _next(state, suspicious, particles, row, drift)


def _without_particles(state: TrackerState, index: int) -> TrackedFrame:
    return TrackedFrame(
        index=index,
        tracks=np.zeros(0, np.int64),
        positions_nm=np.zeros((0, 2)),
        drift_nm=state.drift_nm,
        events=(),
    )


def _drift_corrected(observation: ObservedFrame, drift_nm: NDArray[np.float64]) -> FrameParticles:
    origins = np.array([region.origin_px for region in observation.regions], np.int64)
    drift_px = to_px(drift_nm, observation.pixel_size_nm)
    return FrameParticles(
        observation.index,
        observation.pixel_size_nm,
        observation.centroids_nm - drift_nm,
        observation.diameters_nm,
        origins - np.rint(drift_px).astype(np.int64),
        tuple(region.mask for region in observation.regions),
    )


def _reach_nm(state: TrackerState, particles: FrameParticles) -> float:
    """Largest displacement of a particle since the last frame with particles; diffusion goes on in gaps."""
    least_nm = to_nm(PARAMETERS.min_reach_px, particles.pixel_size_nm)
    usual_nm = float(np.median(state.tracks.mean_diameter_nm)) if len(state.tracks) else 0.0
    free_nm = max(PARAMETERS.step_diameters * usual_nm, PARAMETERS.step_motions * state.motion_nm, least_nm)
    free_nm *= math.sqrt(max(particles.frame - state.last_index, 1))
    spacing_nm = median_spacing(particles.position_nm)
    return min(free_nm, max(state.settings.largest_step_spacings * spacing_nm, least_nm))


def _next(
    state: TrackerState, tracks: Tracks, particles: FrameParticles, row: NDArray[np.int64], drift: Drift
) -> tuple[TrackerState, TrackedFrame]:
    """State and result once it is known which track each particle continues."""
    linked, fresh = np.flatnonzero(row >= 0), np.flatnonzero(row < 0)
    old = row[linked]
    numbers = np.empty(len(row), np.int64)
    numbers[linked] = tracks.number[old]
    numbers[fresh] = state.next_track + np.arange(len(fresh))
    parent = track_events.find_parents(tracks, particles, row, state.size_noise)[fresh]
    new = new_tracks(particles, fresh, numbers[fresh], parent)
    if not state.frames:
        new = replace(new, first_frame=np.full(len(fresh), FROM_THE_START))

    updated = _updated(tracks, particles, linked, old)
    gone = updated.frames_missing > state.settings.memory_frames
    lasted = (updated.frames_seen == PARAMETERS.confirmed_frames) & (updated.frames_missing == 0)
    settled = lasted | (gone & (updated.frames_seen < PARAMETERS.confirmed_frames))
    events = _in_order(
        *track_events.start_events(updated, settled),
        *track_events.end_events(updated, gone, state.size_noise),
    )
    steady = tracks.frames_missing[old] == 0
    before, now = old[steady], linked[steady]
    step_nm = np.hypot(*(particles.position_nm[now] - tracks.position_nm[before]).T)
    change = np.log(particles.diameter_nm[now] / tracks.mean_diameter_nm[before])
    spread = 1.4826 * np.abs(change - np.median(change)) if len(change) else change
    after = replace(
        state,
        tracks=concatenate(select(updated, ~gone), new),
        drift_nm=drift.shift_nm,
        next_track=state.next_track + len(fresh),
        frames=state.frames + 1,
        last_index=particles.frame,
        motion_nm=_running_median(state.motion_nm, step_nm),
        size_noise=_running_median(state.size_noise, spread),
    )
    tracked = TrackedFrame(
        index=particles.frame,
        tracks=numbers,
        positions_nm=particles.position_nm,
        drift_nm=drift.shift_nm,
        events=events,
    )
    return after, tracked


def _updated(
    tracks: Tracks, particles: FrameParticles, linked: NDArray[np.int64], old: NDArray[np.int64]
) -> Tracks:
    """The tracks after this frame: those that were seen, and those that are missing."""
    names = (
        "position_nm",
        "mean_position_nm",
        "mean_diameter_nm",
        "velocity_nm",
        "origin_px",
        "frames_seen",
        "absorber",
    )
    new = {name: getattr(tracks, name).copy() for name in names}
    position_nm, diameter_nm = particles.position_nm[linked], particles.diameter_nm[linked]
    new["frames_seen"][old] += 1
    seen = new["frames_seen"][old]
    new["position_nm"][old] = position_nm
    anchor_frames = np.minimum(seen, PARAMETERS.anchor_frames)[:, None]
    new["mean_position_nm"][old] += (position_nm - tracks.mean_position_nm[old]) / anchor_frames
    smooth_frames = np.minimum(seen, PARAMETERS.smooth_frames)
    new["mean_diameter_nm"][old] += (diameter_nm - tracks.mean_diameter_nm[old]) / smooth_frames
    step_nm = (position_nm - tracks.position_nm[old]) / (tracks.frames_missing[old] + 1)[:, None]
    steps = np.minimum(seen - 1, PARAMETERS.anchor_frames)[:, None]
    new["velocity_nm"][old] += (step_nm - tracks.velocity_nm[old]) / steps
    new["origin_px"][old], new["absorber"][old] = particles.origin_px[linked], NO_TRACK
    frames_missing = tracks.frames_missing + 1
    frames_missing[old] = 0
    masks = list(tracks.masks)
    for track, particle in zip(old.tolist(), linked.tolist(), strict=True):
        masks[track] = particles.masks[particle]
    # how the suspected absorbers of the missing ones have grown since
    gain, gain_frames = tracks.absorber_gain.copy(), tracks.absorber_gain_frames.copy()
    diameter_of = dict(zip(tracks.number[old].tolist(), diameter_nm.tolist(), strict=True))
    for track in np.flatnonzero((frames_missing > 0) & (new["absorber"] != NO_TRACK)).tolist():
        diameter = diameter_of.get(int(tracks.absorber[track]))
        if diameter is not None:
            gain[track] += np.log(diameter / tracks.absorber_diameter_nm[track])
            gain_frames[track] += 1
    return replace(
        tracks,
        **new,
        frames_missing=frames_missing,
        lost_frame=np.where(frames_missing == 1, particles.frame, tracks.lost_frame),
        absorber_gain=gain,
        absorber_gain_frames=gain_frames,
        masks=tuple(masks),
    )


def _in_order(*events: TrackEvent) -> tuple[TrackEvent, ...]:
    return tuple(sorted(events, key=lambda event: (event.frame, event.track, event.event)))


def _running_median(before: float, values: NDArray[np.float64]) -> float:
    """Median of the values, averaged over the last ten frames or so."""
    if not len(values):
        return before
    now = float(np.median(values))
    return now if before == 0 else before + PARAMETERS.running_share * (now - before)
