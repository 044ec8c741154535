"""What became of the particles: merges told apart from vanishing, splits from appearing.

Whether a particle is gone for good is known only when it has not come back within the memory, and whether a
new one is real only when it has been seen a few times; so both are told late, with their own frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.tracking import track_contacts
from temwatch.analysis.tracking.linking import NONE
from temwatch.analysis.tracking.tracker_state import FROM_THE_START, NOBODY, Sighting, Tracks

CONTACT_PX = 2
"""Pixels between two regions that meet: the segmentation parts what touches."""

INSIDE = 0.5
"""Share of a region that must lie in another for both to be the same, or one a part of the other."""

TOUCHED = 0.2
"""Share of a region that must lie in another one for the one to be a half of the other."""

CONFIRMED = 3
"""Frames that a particle must be seen in before it can have split off another or merge with one."""

FRAMES_TO_MEET = 4
"""Frames in which the gap to another particle would have closed at the pace of the approach."""

APPROACH_MOTIONS = 3.0
"""Pace of an approach, in usual displacements, that leaves no doubt about it."""

SIZE_LIMIT = math.log(2)
"""Largest change of the logarithm of a diameter for what lies on the place of a track to be taken for it."""


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


def rescued(tracks: Tracks, sighting: Sighting, row: NDArray[np.int64], noise: float) -> NDArray[np.int64]:
    """Link what lies on the place of a track that is missing otherwise, the largest such track first.

    So is linked what two missing tracks of fitting sizes have become: they met halfway.
    """
    found = row.copy()
    free = np.setdiff1d(np.arange(len(tracks)), row)
    for particle in np.flatnonzero(row == NONE).tolist():
        met = {
            track: _met(tracks, track, sighting, particle, 0)
            for track in _near(tracks, free, sighting, particle)
            if abs(math.log(tracks.smooth_px[track] / sighting.diameter_px[particle])) < SIZE_LIMIT
        }
        same = [track for track, share in met.items() if share >= INSIDE]
        same = same or _halves(
            tracks,
            [track for track, share in met.items() if share >= TOUCHED],
            sighting.diameter_px[particle],
            noise,
        )
        if same:
            best = max(same, key=lambda track: (-tracks.missing[track], tracks.smooth_px[track]))
            found[particle] = best
            free = free[free != best]
    return found


def _halves(tracks: Tracks, touched: list[int], diameter_px: float, noise: float) -> list[int]:
    """The two largest of the tracks that a particle touches, if it has the size of both together."""
    pair = sorted(touched, key=lambda track: -tracks.smooth_px[track])[:2]
    if len(pair) < 2:
        return []
    larger_px, smaller_px = tracks.smooth_px[pair]
    gain = math.log(diameter_px / larger_px)
    return pair if track_contacts.balance(larger_px, smaller_px, gain, noise) > 0 else []


def suspected(
    tracks: Tracks, sighting: Sighting, row: NDArray[np.int64], noise: float, motion_px: float
) -> tuple[Tracks, NDArray[np.int64]]:
    """Note who may have taken in each particle that is missing; the larger one goes on.

    Parameters
    ----------
    tracks, sighting
        Before and now.
    row : int64, (N,)
        Row of the track that each particle continues, or `NONE`.
    noise, motion_px : float
        Usual change of the logarithm of a diameter, and usual displacement.

    Returns
    -------
    The tracks with their suspicions, and `row` where a link has passed to a larger or older track.
    """
    row = row.copy()
    names = ("partner", "before_px", "contact", "gain", "gain_frames")
    partner, before_px, contact, gain, gain_frames = (getattr(tracks, name).copy() for name in names)
    particle_of = np.full(len(tracks), NONE)
    particle_of[row[row >= 0]] = np.flatnonzero(row >= 0)
    open_ = (tracks.missing == 0) | (
        tracks.partner == NOBODY
    )  # the partner may have been out of sight itself
    for lost in np.flatnonzero((particle_of == NONE) & open_).tolist():
        best, most, met = NONE, -math.inf, 0.0
        for other in _neighbours(tracks, np.flatnonzero(particle_of >= 0), lost):
            particle = particle_of[other]
            close = max(
                _met(tracks, lost, sighting, particle, CONTACT_PX),
                track_contacts.touching(
                    tracks.origin_px[lost],
                    tracks.masks[lost],
                    tracks.origin_px[other],
                    tracks.masks[other],
                    CONTACT_PX,
                ),
                _approach(tracks, lost, other, motion_px),
            )
            if not close:
                continue
            log_gain = math.log(sighting.diameter_px[particle] / tracks.smooth_px[other])
            likely = track_contacts.evidence(
                tracks.smooth_px[other], tracks.smooth_px[lost], log_gain, noise, close
            )
            if likely > most:
                best, most, met = other, likely, close
        if best == NONE:
            continue
        particle = particle_of[best]
        fragment = (
            not _confirmed(tracks, best)
            and tracks.seen[best] < tracks.seen[lost]
            and _met(tracks, lost, sighting, particle, 0) >= INSIDE
        )
        larger = most > 0 and tracks.smooth_px[lost] > tracks.smooth_px[best]
        if fragment or (larger and not tracks.missing[best]):
            row[particle] = lost
            particle_of[lost], particle_of[best] = particle, NONE
            lost, best = best, lost
        partner[lost], before_px[lost], contact[lost] = tracks.number[best], tracks.smooth_px[best], met
        gain[lost], gain_frames[lost] = 0.0, 0
    changed = replace(
        tracks, partner=partner, before_px=before_px, contact=contact, gain=gain, gain_frames=gain_frames
    )
    return changed, row


def parents(tracks: Tracks, sighting: Sighting, row: NDArray[np.int64], noise: float) -> NDArray[np.int64]:
    """Track that each particle without one may have split off, or `NOBODY`: (N,) int64."""
    found = np.full(len(row), NOBODY)
    particle_of = {track: particle for particle, track in enumerate(row.tolist()) if track != NONE}
    going_on = np.array([track for track in particle_of if not tracks.missing[track]], np.int64)
    for particle in np.flatnonzero(row == NONE).tolist():
        most = 0.0
        for track in _near(tracks, going_on, sighting, particle):
            if _met(tracks, track, sighting, particle, 0) < TOUCHED:
                continue
            rest_px, part_px = sighting.diameter_px[particle_of[track]], sighting.diameter_px[particle]
            loss = math.log(tracks.smooth_px[track] / max(rest_px, part_px))
            likely = track_contacts.balance(max(rest_px, part_px), min(rest_px, part_px), loss, noise)
            if likely > most:
                found[particle], most = tracks.number[track], likely
    return found


def arrivals(tracks: Tracks, chosen: NDArray[np.bool_]) -> list[TrackEvent]:
    """How the chosen tracks began, unless they were there from the start: split off or appeared."""
    chosen = chosen & (tracks.born_frame != FROM_THE_START)
    return [
        TrackEvent(frame=int(tracks.born_frame[track]), event="split", track=parent, others=(number,))
        if (parent := int(tracks.parent[track])) != NOBODY and tracks.seen[track] >= CONFIRMED
        else TrackEvent(frame=int(tracks.born_frame[track]), event="appear", track=number)
        for track, number in zip(np.flatnonzero(chosen).tolist(), tracks.number[chosen].tolist(), strict=True)
    ]


def departures(tracks: Tracks, chosen: NDArray[np.bool_], noise: float) -> list[TrackEvent]:
    """How the chosen tracks ended: taken in by their partner, or vanished."""
    merged: dict[tuple[int, int], list[int]] = {}
    events = []
    for track in np.flatnonzero(chosen).tolist():
        number, frame = int(tracks.number[track]), int(tracks.lost_frame[track])
        if _taken_in(tracks, track, noise):
            merged.setdefault((frame, int(tracks.partner[track])), []).append(number)
        else:
            events.append(TrackEvent(frame=frame, event="vanish", track=number))
    return events + [
        TrackEvent(frame=frame, event="merge", track=partner, others=tuple(others))
        for (frame, partner), others in merged.items()
    ]


def _taken_in(tracks: Tracks, track: int, noise: float) -> bool:
    """Whether the mean gain of the partner since then speaks for a merge."""
    frames = int(tracks.gain_frames[track])
    if tracks.partner[track] == NOBODY or not frames or not _confirmed(tracks, track):
        return False
    likely = track_contacts.evidence(
        tracks.before_px[track],
        tracks.smooth_px[track],
        tracks.gain[track] / frames,
        noise / math.sqrt(frames),
        tracks.contact[track],
    )
    return likely > 0


def _approach(tracks: Tracks, lost: int, other: int, motion_px: float) -> float:
    """How certain it is that a track was about to meet another one, 0 to 1.

    Thin and small particles are segmented too small, so that two may meet before their pixels do.
    """
    between = tracks.position_px[other] - tracks.position_px[lost]
    distance_px = max(float(np.hypot(*between)), 1e-9)
    closing_px = float((tracks.velocity_px[lost] - tracks.velocity_px[other]) @ between) / distance_px
    gap_px = distance_px - 0.5 * (tracks.smooth_px[lost] + tracks.smooth_px[other])
    if gap_px > CONTACT_PX + FRAMES_TO_MEET * closing_px or tracks.seen[lost] < CONFIRMED:
        return 0.0
    return min(max(closing_px / max(APPROACH_MOTIONS * motion_px, 1e-9), 0.0), 1.0)


def _confirmed(tracks: Tracks, track: int) -> bool:
    return bool(tracks.seen[track] >= CONFIRMED or tracks.born_frame[track] == FROM_THE_START)


def _met(tracks: Tracks, track: int, sighting: Sighting, particle: int, reach_px: int) -> float:
    share: float = track_contacts.touching(
        tracks.origin_px[track],
        tracks.masks[track],
        sighting.origin_px[particle],
        sighting.masks[particle],
        reach_px,
    )
    return share


def _near(tracks: Tracks, rows: NDArray[np.int64], sighting: Sighting, particle: int) -> list[int]:
    """Those of the tracks that could touch a particle."""
    distance = np.hypot(*(tracks.position_px[rows] - sighting.position_px[particle]).T)
    # elongated particles reach further than half their equivalent diameter
    near: list[int] = rows[
        distance < tracks.smooth_px[rows] + sighting.diameter_px[particle] + CONTACT_PX
    ].tolist()
    return near


def _neighbours(tracks: Tracks, rows: NDArray[np.int64], track: int) -> list[int]:
    """Those of the tracks that could touch another one."""
    distance = np.hypot(*(tracks.position_px[rows] - tracks.position_px[track]).T)
    near: list[int] = rows[distance < tracks.smooth_px[rows] + tracks.smooth_px[track] + CONTACT_PX].tolist()
    return near
