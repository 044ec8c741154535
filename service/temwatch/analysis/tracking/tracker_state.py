"""What the tracker remembers: one row a live track, and its exact form as bytes."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from temwatch.config import TrackingSettings
from temwatch.domain import Mask

NO_TRACK = -1
"""In `Tracks.absorber`: no track is suspected to have absorbed this one."""

FROM_THE_START = -1
"""In `Tracks.first_frame`: it was there in the first frame."""

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracks:
    """The live tracks as columns, rows in order of birth; places are drift-corrected.

    Attributes
    ----------
    number
        The track's name in the tables, from 1.
    position_nm
        Where it was seen last, (row, column).
    mean_position_nm, mean_diameter_nm
        Its position and diameter, averaged over the last ten and the last three frames or so.
    velocity_nm
        Displacement from frame to frame, averaged over the last ten or so.
    frames_seen
        Number of frames it was seen in.
    first_frame, parent
        The first of them, or `FROM_THE_START`; and the track that it may have split off, or `NO_TRACK`.
    frames_missing
        Number of frames with particles since it was seen last.
    lost_frame
        Frame in which it was first missing; only where it is missing.
    absorber
        Track that may have absorbed it when it was lost, or `NO_TRACK`.
    absorber_diameter_nm
        Diameter of the absorber before that.
    absorber_gain, absorber_gain_frames
        Sum of the logarithms of the absorber's diameter / `absorber_diameter_nm` since, and number of terms.
    contact
        How closely the two met when it was lost, 0 to 1: by their pixels, or by their approach.
    origin_px, masks
        Its pixels where it was seen last: a crop, and the place of its top left one to the nearest pixel.
    """

    number: NDArray[np.int64]
    position_nm: NDArray[np.float64]
    mean_position_nm: NDArray[np.float64]
    mean_diameter_nm: NDArray[np.float64]
    velocity_nm: NDArray[np.float64]
    frames_seen: NDArray[np.int64]
    first_frame: NDArray[np.int64]
    parent: NDArray[np.int64]
    frames_missing: NDArray[np.int64]
    lost_frame: NDArray[np.int64]
    absorber: NDArray[np.int64]
    absorber_diameter_nm: NDArray[np.float64]
    absorber_gain: NDArray[np.float64]
    absorber_gain_frames: NDArray[np.int64]
    contact: NDArray[np.float64]
    origin_px: NDArray[np.int64]
    masks: tuple[Mask, ...]

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackerState:
    """All that the next frame is linked with; its size depends on the particles in view alone.

    `drift_nm` is the cumulative drift, `motion_nm` and `size_noise` the typical displacement of a particle
    from frame to frame and the typical change of the logarithm of its diameter, `frames` the number of frames
    with particles so far and `last_index` the last of them.
    """

    settings: TrackingSettings
    tracks: Tracks
    drift_nm: NDArray[np.float64]
    next_track: int = 1
    frames: int = 0
    last_index: int = -1
    motion_nm: float = 0.0
    size_noise: float = 0.0


COLUMNS = tuple(column.name for column in fields(Tracks) if column.name != "masks")
SCALARS = ("next_track", "frames", "last_index", "motion_nm", "size_noise")


class FrameParticles(NamedTuple):
    """The particles of a frame with places drift-corrected, as columns like those of `Tracks`."""

    frame: int
    pixel_size_nm: float
    position_nm: NDArray[np.float64]
    diameter_nm: NDArray[np.float64]
    origin_px: NDArray[np.int64]
    masks: tuple[Mask, ...]


def new_tracks(
    particles: FrameParticles, rows: NDArray[np.int64], number: NDArray[np.int64], parent: NDArray[np.int64]
) -> Tracks:
    """New tracks of particles, seen once.

    Parameters
    ----------
    particles : FrameParticles
        The particles of a frame.
    rows : int64, (n,)
        Those that begin a track.
    number, parent : int64, (n,)
        Number of each new track, and of the track that it may have split off, or `NO_TRACK`.
    """
    count = len(rows)
    nothing, unknown = np.zeros(count, np.int64), np.zeros(count)
    position_nm, diameter_nm = particles.position_nm[rows], particles.diameter_nm[rows]
    return Tracks(
        number=number,
        position_nm=position_nm,
        mean_position_nm=position_nm,
        mean_diameter_nm=diameter_nm,
        velocity_nm=np.zeros((count, 2)),
        frames_seen=np.ones(count, np.int64),
        first_frame=np.full(count, particles.frame),
        parent=parent,
        frames_missing=nothing,
        lost_frame=nothing,
        absorber=np.full(count, NO_TRACK),
        absorber_diameter_nm=unknown,
        absorber_gain=unknown,
        absorber_gain_frames=nothing,
        contact=unknown,
        origin_px=particles.origin_px[rows],
        masks=tuple(particles.masks[row] for row in rows.tolist()),
    )


def no_tracks() -> Tracks:
    """No tracks at all."""
    none = np.zeros(0, np.int64)
    empty = FrameParticles(0, 1.0, np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2), np.int64), ())
    return new_tracks(empty, none, none, none)


def concatenate(first: Tracks, second: Tracks) -> Tracks:
    """The rows of both."""
    columns = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in COLUMNS}
    return Tracks(**columns, masks=first.masks + second.masks)


def select(tracks: Tracks, chosen: NDArray[np.bool_]) -> Tracks:
    """The chosen rows."""
    if chosen.all():
        return tracks
    columns = {name: getattr(tracks, name)[chosen] for name in COLUMNS}
    return Tracks(**columns, masks=tuple(tracks.masks[row] for row in np.flatnonzero(chosen).tolist()))


def dump(state: TrackerState) -> bytes:
    """A state as bytes, exact to the last bit."""
    masks = state.tracks.masks
    header = {
        "version": VERSION,
        "settings": state.settings.model_dump(mode="json", include=set(TrackingSettings.model_fields)),
        **{name: getattr(state, name) for name in SCALARS},
    }
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        drift_nm=state.drift_nm,
        shapes=np.array([mask.shape for mask in masks], np.int64).reshape(-1, 2),
        pixels=np.packbits(np.concatenate([np.zeros(0, bool), *(mask.ravel() for mask in masks)])),
        **{name: getattr(state.tracks, name) for name in COLUMNS},
    )
    return stream.getvalue()


def load(data: bytes) -> TrackerState:
    """The state that `dump` wrote.

    Raises
    ------
    ValueError
        It is one of another version.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        header = json.loads(file["header"].tobytes())
        if header["version"] != VERSION:
            raise ValueError(f"state of tracking: version {VERSION} is needed, found {header['version']}")
        shapes, pixels = file["shapes"], np.unpackbits(file["pixels"]).astype(bool)
        ends = np.cumsum(shapes[:, 0] * shapes[:, 1]).tolist()
        masks = tuple(
            pixels[end - height * width : end].reshape(height, width)
            for (height, width), end in zip(shapes.tolist(), ends, strict=True)
        )
        return TrackerState(
            settings=TrackingSettings(**header["settings"]),
            tracks=Tracks(**{name: file[name] for name in COLUMNS}, masks=masks),
            drift_nm=file["drift_nm"],
            **{name: header[name] for name in SCALARS},
        )
