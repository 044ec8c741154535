"""What became of the particles: merges distinguished from vanishing, splits from appearing.

Whether a particle is gone for good is known only when it has not come back within the memory, and whether a
new one is real only when it has been seen a few times; so both are reported late, with their own frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.measurement.units import to_nm
from temwatch.analysis.tracking import track_contacts
from temwatch.analysis.tracking.linking import UNLINKED
from temwatch.analysis.tracking.parameters import PARAMETERS
from temwatch.analysis.tracking.tracker_state import FROM_THE_START, NO_TRACK, FrameParticles, Tracks


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEvent:
    """What happened between the frame before and `frame`.

    `appear` and `vanish` concern `track` alone. In a `merge`, `others` end in `track`, which continues; in a
    `split`, `others` begin from `track`, which continues.
    """

    frame: int
    event: str
    track: int
    others: tuple[int, ...] = ()


def relink_overlapping(
    tracks: Tracks, particles: FrameParticles, row: NDArray[np.int64], noise: float
) -> NDArray[np.int64]:
    """Link what lies on the place of a track that is missing otherwise, the largest such track first.

    What two missing tracks of fitting sizes have become is linked too: they met halfway.

    Parameters
    ----------
    tracks, particles
        Before and now.
    row : int64, (N,)
        Row of the track that each particle continues, or `UNLINKED`.
    noise : float
        Typical change of the logarithm of a diameter.

    Returns
    -------
    `row` with the further links.
    """
    found = row.copy()
    free = np.setdiff1d(np.arange(len(tracks)), row)
    for particle in np.flatnonzero(row == UNLINKED).tolist():
        overlaps = {
            track: _overlap(tracks, track, particles, particle, 0)
            for track in _near(tracks, free, particles, particle)
            if abs(math.log(tracks.mean_diameter_nm[track] / particles.diameter_nm[particle]))
            < PARAMETERS.max_size_change
        }
        same = [track for track, share in overlaps.items() if share >= PARAMETERS.same_overlap]
        same = same or _halves(
            tracks,
            [track for track, share in overlaps.items() if share >= PARAMETERS.part_overlap],
            particles.diameter_nm[particle],
            noise,
        )
        if same:
            best = max(
                same, key=lambda track: (-tracks.frames_missing[track], tracks.mean_diameter_nm[track])
            )
            found[particle] = best
            free = free[free != best]
    return found


def _halves(tracks: Tracks, touched: list[int], diameter_nm: float, noise: float) -> list[int]:
    """The two largest of the tracks that a particle touches, if it has the size of both together."""
    pair = sorted(touched, key=lambda track: -tracks.mean_diameter_nm[track])[:2]
    if len(pair) < 2:
        return []
    larger_nm, smaller_nm = tracks.mean_diameter_nm[pair]
    gain = math.log(diameter_nm / larger_nm)
    return pair if track_contacts.size_evidence(larger_nm, smaller_nm, gain, noise) > 0 else []


def find_absorbers(
    tracks: Tracks, particles: FrameParticles, row: NDArray[np.int64], noise: float, motion_nm: float
) -> tuple[Tracks, NDArray[np.int64]]:
    """Note which track may have absorbed each missing one; the track of the larger particle continues.

    Parameters
    ----------
    tracks, particles
        Before and now.
    row : int64, (N,)
        Row of the track that each particle continues, or `UNLINKED`.
    noise, motion_nm : float
        Typical change of the logarithm of a diameter, and typical displacement.

    Returns
    -------
    The tracks with their suspicions, and `row` where a link has passed to a larger or older track.
    """
    row = row.copy()
    absorber, absorber_diameter_nm = tracks.absorber.copy(), tracks.absorber_diameter_nm.copy()
    gain, gain_frames, contact = (
        tracks.absorber_gain.copy(),
        tracks.absorber_gain_frames.copy(),
        tracks.contact.copy(),
    )
    particle_of = np.full(len(tracks), UNLINKED)
    particle_of[row[row >= 0]] = np.flatnonzero(row >= 0)
    # the absorber may have been out of sight itself
    open_ = (tracks.frames_missing == 0) | (tracks.absorber == NO_TRACK)
    contact_nm = to_nm(float(PARAMETERS.contact_px), particles.pixel_size_nm)
    for lost in np.flatnonzero((particle_of == UNLINKED) & open_).tolist():
        best, most, closest = UNLINKED, -math.inf, 0.0
        for other in _neighbours(tracks, np.flatnonzero(particle_of >= 0), lost, contact_nm):
            particle = particle_of[other]
            close = max(
                _overlap(tracks, lost, particles, particle, PARAMETERS.contact_px),
                track_contacts.contact_share(
                    tracks.origin_px[lost],
                    tracks.masks[lost],
                    tracks.origin_px[other],
                    tracks.masks[other],
                    PARAMETERS.contact_px,
                ),
                _approach(tracks, lost, other, motion_nm, contact_nm),
            )
            if not close:
                continue
            log_gain = math.log(particles.diameter_nm[particle] / tracks.mean_diameter_nm[other])
            likely = track_contacts.merge_evidence(
                tracks.mean_diameter_nm[other], tracks.mean_diameter_nm[lost], log_gain, noise, close
            )
            if likely > most:
                best, most, closest = other, likely, close
        if best == UNLINKED:
            continue
        particle = particle_of[best]
        fragment = (
            not _confirmed(tracks, best)
            and tracks.frames_seen[best] < tracks.frames_seen[lost]
            and _overlap(tracks, lost, particles, particle, 0) >= PARAMETERS.same_overlap
        )
        larger = most > 0 and tracks.mean_diameter_nm[lost] > tracks.mean_diameter_nm[best]
        if fragment or (larger and not tracks.frames_missing[best]):
            row[particle] = lost
            particle_of[lost], particle_of[best] = particle, UNLINKED
            lost, best = best, lost
        absorber[lost], contact[lost] = tracks.number[best], closest
        absorber_diameter_nm[lost] = tracks.mean_diameter_nm[best]
        gain[lost], gain_frames[lost] = 0.0, 0
    changed = replace(
        tracks,
        absorber=absorber,
        absorber_diameter_nm=absorber_diameter_nm,
        contact=contact,
        absorber_gain=gain,
        absorber_gain_frames=gain_frames,
    )
    return changed, row


def find_parents(
    tracks: Tracks, particles: FrameParticles, row: NDArray[np.int64], noise: float
) -> NDArray[np.int64]:
    """Track that each particle without one may have split off.

    Parameters
    ----------
    tracks, particles, row, noise
        As for `relink_overlapping`.

    Returns
    -------
    (N,) int64, number of the track, or `NO_TRACK`.
    """
    found = np.full(len(row), NO_TRACK)
    particle_of = {track: particle for particle, track in enumerate(row.tolist()) if track != UNLINKED}
    going_on = np.array([track for track in particle_of if not tracks.frames_missing[track]], np.int64)
    for particle in np.flatnonzero(row == UNLINKED).tolist():
        most = 0.0
        for track in _near(tracks, going_on, particles, particle):
            if _overlap(tracks, track, particles, particle, 0) < PARAMETERS.part_overlap:
                continue
            rest_nm, part_nm = particles.diameter_nm[particle_of[track]], particles.diameter_nm[particle]
            loss = math.log(tracks.mean_diameter_nm[track] / max(rest_nm, part_nm))
            likely = track_contacts.size_evidence(max(rest_nm, part_nm), min(rest_nm, part_nm), loss, noise)
            if likely > most:
                found[particle], most = tracks.number[track], likely
    return found


def start_events(tracks: Tracks, chosen: NDArray[np.bool_]) -> list[TrackEvent]:
    """How the chosen tracks began, unless they were there from the start: split off or appeared."""
    chosen = chosen & (tracks.first_frame != FROM_THE_START)
    return [
        TrackEvent(frame=int(tracks.first_frame[track]), event="split", track=parent, others=(number,))
        if (parent := int(tracks.parent[track])) != NO_TRACK
        and tracks.frames_seen[track] >= PARAMETERS.confirmed_frames
        else TrackEvent(frame=int(tracks.first_frame[track]), event="appear", track=number)
        for track, number in zip(np.flatnonzero(chosen).tolist(), tracks.number[chosen].tolist(), strict=True)
    ]


def end_events(tracks: Tracks, chosen: NDArray[np.bool_], noise: float) -> list[TrackEvent]:
    """How the chosen tracks, (T,) bool, ended: merged with their absorber, or vanished."""
    merged: dict[tuple[int, int], list[int]] = {}
    events = []
    for track in np.flatnonzero(chosen).tolist():
        number, frame = int(tracks.number[track]), int(tracks.lost_frame[track])
        if _was_absorbed(tracks, track, noise):
            merged.setdefault((frame, int(tracks.absorber[track])), []).append(number)
        else:
            events.append(TrackEvent(frame=frame, event="vanish", track=number))
    return events + [
        TrackEvent(frame=frame, event="merge", track=absorber, others=tuple(others))
        for (frame, absorber), others in merged.items()
    ]


def _was_absorbed(tracks: Tracks, track: int, noise: float) -> bool:
    """Whether the mean growth of the absorber since then is evidence for a merge."""
    frames = int(tracks.absorber_gain_frames[track])
    if tracks.absorber[track] == NO_TRACK or not frames or not _confirmed(tracks, track):
        return False
    likely = track_contacts.merge_evidence(
        tracks.absorber_diameter_nm[track],
        tracks.mean_diameter_nm[track],
        tracks.absorber_gain[track] / frames,
        noise / math.sqrt(frames),
        tracks.contact[track],
    )
    return likely > 0


def _approach(tracks: Tracks, lost: int, other: int, motion_nm: float, contact_nm: float) -> float:
    """How certain it is that a track was about to meet another one, 0 to 1.

    Thin and small particles are segmented too small, so that two may meet before their pixels do.
    """
    between = tracks.position_nm[other] - tracks.position_nm[lost]
    distance_nm = max(float(np.hypot(*between)), 1e-9)
    closing_nm = float((tracks.velocity_nm[lost] - tracks.velocity_nm[other]) @ between) / distance_nm
    gap_nm = distance_nm - 0.5 * (tracks.mean_diameter_nm[lost] + tracks.mean_diameter_nm[other])
    if tracks.frames_seen[lost] < PARAMETERS.confirmed_frames:
        return 0.0
    if gap_nm > contact_nm + PARAMETERS.frames_to_meet * closing_nm:
        return 0.0
    return min(max(closing_nm / max(PARAMETERS.approach_motions * motion_nm, 1e-9), 0.0), 1.0)


def _confirmed(tracks: Tracks, track: int) -> bool:
    return bool(
        tracks.frames_seen[track] >= PARAMETERS.confirmed_frames
        or tracks.first_frame[track] == FROM_THE_START
    )


def _overlap(tracks: Tracks, track: int, particles: FrameParticles, particle: int, reach_px: int) -> float:
    """Share of the smaller of track and particle that lies within `reach_px` of the other."""
    share: float = track_contacts.contact_share(
        tracks.origin_px[track],
        tracks.masks[track],
        particles.origin_px[particle],
        particles.masks[particle],
        reach_px,
    )
    return share


def _near(tracks: Tracks, rows: NDArray[np.int64], particles: FrameParticles, particle: int) -> list[int]:
    """Those of the tracks that could touch a particle."""
    distance_nm = np.hypot(*(tracks.position_nm[rows] - particles.position_nm[particle]).T)
    contact_nm = to_nm(float(PARAMETERS.contact_px), particles.pixel_size_nm)
    # elongated particles reach further than half their equivalent diameter
    near: list[int] = rows[
        distance_nm < tracks.mean_diameter_nm[rows] + particles.diameter_nm[particle] + contact_nm
    ].tolist()
    return near


def _neighbours(tracks: Tracks, rows: NDArray[np.int64], track: int, contact_nm: float) -> list[int]:
    """Those of the tracks that could touch another one."""
    distance_nm = np.hypot(*(tracks.position_nm[rows] - tracks.position_nm[track]).T)
    reach_nm = tracks.mean_diameter_nm[rows] + tracks.mean_diameter_nm[track] + contact_nm
    near: list[int] = rows[distance_nm < reach_nm].tolist()
    return near
