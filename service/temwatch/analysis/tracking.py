"""Particles followed through the frames of a sequence as they come, with their merging and vanishing.

`begin` gives a state, `follow` takes it from frame to frame, `finish` tells what was still open. A state
holds the particles in view and nothing of the past, so a sequence of any length costs the same; `dump` and
`load` keep it exactly, so a restart gives the same identities. Nothing is global: any number of sequences go
side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis import encounters, linking
from temwatch.analysis.drift import Drift, Known, measure_drift, spacing_px
from temwatch.analysis.tracks import NOBODY, State, Tracks, born, dump, joined, kept, load, nobody
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

CONTACT_PX = 2
"""Pixels between two regions that meet: the segmentation parts what touches."""

INSIDE = 0.5
"""Share of a region that must lie in another for both to be the same, or one a part of the other."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """One frame as analysed: its number from 0, and its particles in order, positions (row, column)."""

    index: int
    mask: Mask
    centroids_px: NDArray[np.float64]
    diameters_px: NDArray[np.float64]
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEvent:
    """What happened between the frame before and `frame`.

    `appear` and `vanish` of `track`; `merge` of `others` into `track`, which goes on; `split` of `others` off
    `track`, which goes on.
    """

    frame: int
    event: str
    track: int
    others: tuple[int, ...] = ()


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
    return _partings(state.tracks, state.tracks.missing > 0, state.size_noise)


def follow(state: State, observation: Observation) -> tuple[State, Followed]:
    """Follow the particles into one more frame.

    Parameters
    ----------
    state : State
        From `begin`, the frame before, or `load`.
    observation : Observation
        The frame. One without particles changes nothing: no track ages by it.
    """
    count = len(observation.diameters_px)
    if not count:
        nothing = Followed(
            index=observation.index,
            tracks=np.zeros(0, np.int64),
            positions_px=np.zeros((0, 2)),
            drift_px=state.drift_px,
            agreement=0.0,
            events=(),
        )
        return state, nothing
    tracks = state.tracks
    known = Known(tracks.anchor_px, tracks.smooth_px, np.minimum(tracks.seen, ANCHOR_FRAMES) * 1.0)
    drift = measure_drift(
        observation.mask, observation.centroids_px, observation.diameters_px, known, state.drift_px
    )
    frame = _Frame(
        observation.index,
        observation.centroids_px - drift.shift_px,
        observation.diameters_px,
        _moved(observation.regions, drift.shift_px),
    )
    row = linking.link(
        tracks.position_px,
        tracks.smooth_px,
        tracks.missing,
        frame.positions_px,
        frame.diameters_px,
        _reach_px(state, frame.positions_px),
    )
    row = _rescued(tracks, frame, row)
    tracks, row = _encounters(state, frame, row)
    return _next(state, tracks, frame, row, drift)


class _Frame(NamedTuple):
    """The particles of a frame, drift-corrected."""

    number: int
    positions_px: NDArray[np.float64]
    diameters_px: NDArray[np.float64]
    regions: tuple[Region, ...]


def _moved(regions: tuple[Region, ...], drift_px: NDArray[np.float64]) -> tuple[Region, ...]:
    down, right = np.rint(drift_px).astype(int).tolist()
    return tuple(
        replace(region, origin_px=(region.origin_px[0] - down, region.origin_px[1] - right))
        for region in regions
    )


def _reach_px(state: State, positions_px: NDArray[np.float64]) -> float:
    """Largest displacement of a particle from one frame to the next."""
    usual_px = float(np.median(state.tracks.smooth_px)) if len(state.tracks) else 1.0
    free_px = max(STEP_DIAMETERS * usual_px, STEP_MOTIONS * state.motion_px, 1.0)
    return min(free_px, max(state.settings.largest_step_spacings * spacing_px(positions_px), 1.0))


def _rescued(tracks: Tracks, frame: _Frame, row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Link what lies on the place of a track that is missing otherwise, the largest such track first."""
    found = row.copy()
    free = np.setdiff1d(np.arange(len(tracks)), row)
    for particle in np.flatnonzero(row == linking.NONE).tolist():
        near = _near(tracks, free, frame, particle)
        same = [
            track
            for track in near.tolist()
            if encounters.touching(tracks.regions[track], frame.regions[particle], 0) >= INSIDE
            and abs(np.log(tracks.smooth_px[track] / frame.diameters_px[particle])) < np.log(2)
        ]
        if same:
            best = max(same, key=lambda track: (-tracks.missing[track], tracks.smooth_px[track]))
            found[particle] = best
            free = free[free != best]
    return found


def _near(tracks: Tracks, rows: NDArray[np.int64], frame: _Frame, particle: int) -> NDArray[np.int64]:
    """Those of the tracks that could touch a particle."""
    distance = np.hypot(*(tracks.position_px[rows] - frame.positions_px[particle]).T)
    # elongated particles reach further than half their equivalent diameter
    return np.asarray(
        rows[distance < tracks.smooth_px[rows] + frame.diameters_px[particle] + CONTACT_PX], np.int64
    )


def _encounters(state: State, frame: _Frame, row: NDArray[np.int64]) -> tuple[Tracks, NDArray[np.int64]]:
    """Suspect who took in a particle that is missing for the first time; the larger one goes on."""
    tracks, row = state.tracks, row.copy()
    partner, before_px, contact = tracks.partner.copy(), tracks.before_px.copy(), tracks.contact.copy()
    gain, gain_frames = tracks.gain.copy(), tracks.gain_frames.copy()
    particle_of = np.full(len(tracks), linking.NONE)
    particle_of[row[row >= 0]] = np.flatnonzero(row >= 0)
    for lost in np.flatnonzero((particle_of == linking.NONE) & (tracks.missing == 0)).tolist():
        best, best_evidence, best_contact = linking.NONE, -np.inf, 0.0
        going_on = np.flatnonzero(particle_of >= 0)
        distance = np.hypot(*(tracks.position_px[going_on] - tracks.position_px[lost]).T)
        close = distance < tracks.smooth_px[going_on] + tracks.smooth_px[lost] + CONTACT_PX
        for other in going_on[close].tolist():
            now = frame.regions[particle_of[other]]
            met = max(
                encounters.touching(tracks.regions[lost], region, CONTACT_PX)
                for region in (now, tracks.regions[other])
            )
            if not met:
                continue
            log_gain = float(np.log(frame.diameters_px[particle_of[other]] / tracks.smooth_px[other]))
            evidence = encounters.evidence(
                tracks.smooth_px[other], tracks.smooth_px[lost], log_gain, state.size_noise, met
            )
            if evidence > best_evidence:
                best, best_evidence, best_contact = other, evidence, met
        if best == linking.NONE:
            continue
        particle = particle_of[best]
        if best_evidence > 0 and tracks.smooth_px[lost] > tracks.smooth_px[best] and not tracks.missing[best]:
            row[particle] = lost
            particle_of[lost], particle_of[best] = particle, linking.NONE
            lost, best = best, lost
        partner[lost], contact[lost] = tracks.number[best], best_contact
        before_px[lost] = tracks.smooth_px[best]
        gain[lost], gain_frames[lost] = 0.0, 0
    changed = replace(
        tracks,
        partner=partner,
        before_px=before_px,
        contact=contact,
        gain=gain,
        gain_frames=gain_frames,
    )
    return changed, row


def _partings(tracks: Tracks, gone: NDArray[np.bool_], noise: float) -> tuple[TrackEvent, ...]:
    """Whether each of the tracks that have gone was taken in by its partner or has vanished."""
    merged: dict[tuple[int, int], list[int]] = {}
    events = []
    for track in np.flatnonzero(gone).tolist():
        number, frame = int(tracks.number[track]), int(tracks.lost_frame[track])
        partner, terms = int(tracks.partner[track]), int(tracks.gain_frames[track])
        taken_in = (
            partner != NOBODY
            and terms
            and (
                encounters.evidence(
                    tracks.before_px[track],
                    tracks.smooth_px[track],
                    tracks.gain[track] / terms,
                    noise / np.sqrt(terms),
                    tracks.contact[track],
                )
                > 0
            )
        )
        if taken_in:
            merged.setdefault((frame, partner), []).append(number)
        else:
            events.append(TrackEvent(frame=frame, event="vanish", track=number))
    for (frame, partner), others in merged.items():
        events.append(TrackEvent(frame=frame, event="merge", track=partner, others=tuple(others)))
    return tuple(sorted(events, key=lambda event: (event.frame, event.track)))


def _arrivals(
    state: State, frame: _Frame, row: NDArray[np.int64], numbers: NDArray[np.int64]
) -> list[TrackEvent]:
    """Whether each new particle has split off an older one or has appeared; the first ones just are."""
    if not state.frames:
        return []
    tracks, events = state.tracks, []
    particle_of = {int(track): particle for particle, track in enumerate(row.tolist()) if track >= 0}
    going_on = np.array([track for track in particle_of if not tracks.missing[track]], np.int64)
    for particle in np.flatnonzero(row == linking.NONE).tolist():
        parents = []
        for track in _near(tracks, going_on, frame, particle).tolist():
            if encounters.touching(tracks.regions[track], frame.regions[particle], 0) < INSIDE:
                continue
            larger, smaller = frame.diameters_px[particle_of[track]], frame.diameters_px[particle]
            loss = float(np.log(tracks.smooth_px[track] / larger))
            balance = encounters.balance(larger, smaller, loss, state.size_noise)
            if balance > 0:
                parents.append((balance, int(tracks.number[track])))
        number = int(numbers[particle])
        if parents:
            event = TrackEvent(frame=frame.number, event="split", track=max(parents)[1], others=(number,))
        else:
            event = TrackEvent(frame=frame.number, event="appear", track=number)
        events.append(event)
    return events


def _next(
    state: State, tracks: Tracks, frame: _Frame, row: NDArray[np.int64], drift: Drift
) -> tuple[State, Followed]:
    """State and result once it is known which track each particle continues."""
    linked = np.flatnonzero(row >= 0)
    fresh = np.flatnonzero(row < 0)
    old = row[linked]
    numbers = np.empty(len(row), np.int64)
    numbers[linked] = tracks.number[old]
    numbers[fresh] = state.next_track + np.arange(len(fresh))
    arrivals = _arrivals(state, frame, row, numbers)

    updated = _updated(tracks, frame, linked, old)
    gone = updated.missing > state.settings.memory_frames
    events = (*_partings(updated, gone, state.size_noise), *arrivals)
    new = born(
        numbers[fresh],
        frame.positions_px[fresh],
        frame.diameters_px[fresh],
        tuple(frame.regions[particle] for particle in fresh.tolist()),
    )
    steady = tracks.missing[old] == 0
    before = old[steady]
    step_px = np.hypot(*(frame.positions_px[linked[steady]] - tracks.position_px[before]).T)
    change = np.log(frame.diameters_px[linked[steady]] / tracks.smooth_px[before])
    following = replace(
        state,
        tracks=joined(kept(updated, ~gone), new),
        drift_px=drift.shift_px,
        next_track=state.next_track + len(fresh),
        frames=state.frames + 1,
        motion_px=_running(state.motion_px, step_px),
        size_noise=_running(
            state.size_noise, 1.4826 * np.abs(change - np.median(change)) if len(change) else change
        ),
    )
    followed = Followed(
        index=frame.number,
        tracks=numbers,
        positions_px=frame.positions_px,
        drift_px=drift.shift_px,
        agreement=drift.agreement,
        events=events,
    )
    return following, followed


def _updated(tracks: Tracks, frame: _Frame, linked: NDArray[np.int64], old: NDArray[np.int64]) -> Tracks:
    """The tracks after this frame: those that were seen, and those that are missing."""
    position_px, anchor_px = tracks.position_px.copy(), tracks.anchor_px.copy()
    diameter_px, smooth_px, seen = tracks.diameter_px.copy(), tracks.smooth_px.copy(), tracks.seen.copy()
    missing, partner = tracks.missing + 1, tracks.partner.copy()
    now_px, now_diameter_px = frame.positions_px[linked], frame.diameters_px[linked]
    seen[old] += 1
    position_px[old], diameter_px[old] = now_px, now_diameter_px
    anchor_px[old] += (now_px - anchor_px[old]) / np.minimum(seen[old], ANCHOR_FRAMES)[:, None]
    smooth_px[old] += (now_diameter_px - smooth_px[old]) / np.minimum(seen[old], SMOOTH_FRAMES)
    missing[old], partner[old] = 0, NOBODY
    regions = list(tracks.regions)
    for track, particle in zip(old.tolist(), linked.tolist(), strict=True):
        regions[track] = frame.regions[particle]
    # how the suspected partners of the missing ones have grown since
    gain, gain_frames = tracks.gain.copy(), tracks.gain_frames.copy()
    diameter_of = dict(zip(tracks.number[old].tolist(), now_diameter_px.tolist(), strict=True))
    for track in np.flatnonzero((missing > 0) & (partner != NOBODY)).tolist():
        diameter = diameter_of.get(int(partner[track]))
        if diameter is not None:
            gain[track] += np.log(diameter / tracks.before_px[track])
            gain_frames[track] += 1
    return replace(
        tracks,
        position_px=position_px,
        anchor_px=anchor_px,
        diameter_px=diameter_px,
        smooth_px=smooth_px,
        seen=seen,
        missing=missing,
        lost_frame=np.where(missing == 1, frame.number, tracks.lost_frame),
        partner=partner,
        gain=gain,
        gain_frames=gain_frames,
        regions=tuple(regions),
    )


def _running(before: float, values: NDArray[np.float64]) -> float:
    """Median of the values, averaged over the last ten frames or so."""
    if not len(values):
        return before
    now = float(np.median(values))
    return now if before == 0 else before + 0.1 * (now - before)
