"""What is remembered of the particles followed: one row a live track, and its exact form as bytes."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from temwatch.config import TrackingSettings
from temwatch.domain import Mask

NOBODY = -1
"""In `Tracks.partner`: no particle is suspected to have taken this one in."""

FROM_THE_START = -1
"""In `Tracks.born_frame`: it was there in the first frame."""

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracks:
    """The live tracks as columns, rows in order of birth; places are drift-corrected.

    Attributes
    ----------
    number
        The track's name in the tables, from 1.
    position_px, diameter_px
        Where it was seen last, and how large.
    anchor_px, smooth_px
        The same, averaged over the last ten and the last three frames or so.
    velocity_px
        Displacement from frame to frame, averaged over the last ten or so.
    seen
        Frames it was seen in.
    born_frame, parent
        The first of them, or `FROM_THE_START`; and the track that it may have split off, or `NOBODY`.
    missing
        Frames with particles since it was seen last.
    lost_frame
        Frame in which it was first missing; only where it is missing.
    partner
        Track that may have taken it in when it was lost, or `NOBODY`.
    before_px
        Diameter of the partner before that.
    gain, gain_frames
        Sum of the logarithms of the partner's diameter / `before_px` since, and number of terms.
    contact
        How closely the two met when it was lost, 0 to 1: by their pixels, or by their approach.
    origin_px, masks
        Its pixels where it was seen last: a crop, and the place of its top left one to the nearest pixel.
    """

    number: NDArray[np.int64]
    position_px: NDArray[np.float64]
    diameter_px: NDArray[np.float64]
    anchor_px: NDArray[np.float64]
    smooth_px: NDArray[np.float64]
    velocity_px: NDArray[np.float64]
    seen: NDArray[np.int64]
    born_frame: NDArray[np.int64]
    parent: NDArray[np.int64]
    missing: NDArray[np.int64]
    lost_frame: NDArray[np.int64]
    partner: NDArray[np.int64]
    before_px: NDArray[np.float64]
    gain: NDArray[np.float64]
    gain_frames: NDArray[np.int64]
    contact: NDArray[np.float64]
    origin_px: NDArray[np.int64]
    masks: tuple[Mask, ...]

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """All that the next frame is followed with; its size depends on the particles in view alone.

    `drift_px` is the cumulative drift, `motion_px` and `size_noise` the typical displacement of a particle
    from frame to frame and the typical change of the logarithm of its diameter, `frames` the number of frames
    with particles so far and `last_index` the last of them.
    """

    settings: TrackingSettings
    tracks: Tracks
    drift_px: NDArray[np.float64]
    next_track: int = 1
    frames: int = 0
    last_index: int = -1
    motion_px: float = 0.0
    size_noise: float = 0.0


COLUMNS = tuple(column.name for column in fields(Tracks) if column.name != "masks")
SCALARS = ("next_track", "frames", "last_index", "motion_px", "size_noise")


class Sighting(NamedTuple):
    """The particles of a frame with places drift-corrected, as columns like those of `Tracks`."""

    frame: int
    position_px: NDArray[np.float64]
    diameter_px: NDArray[np.float64]
    origin_px: NDArray[np.int64]
    masks: tuple[Mask, ...]


def born(
    sighting: Sighting, rows: NDArray[np.int64], number: NDArray[np.int64], parent: NDArray[np.int64]
) -> Tracks:
    """New tracks of the given particles, seen once."""
    count = len(rows)
    nothing, unknown = np.zeros(count, np.int64), np.zeros(count)
    position_px, diameter_px = sighting.position_px[rows], sighting.diameter_px[rows]
    return Tracks(
        number=number,
        position_px=position_px,
        diameter_px=diameter_px,
        anchor_px=position_px,
        smooth_px=diameter_px,
        velocity_px=np.zeros((count, 2)),
        seen=np.ones(count, np.int64),
        born_frame=np.full(count, sighting.frame),
        parent=parent,
        missing=nothing,
        lost_frame=nothing,
        partner=np.full(count, NOBODY),
        before_px=unknown,
        gain=unknown,
        gain_frames=nothing,
        contact=unknown,
        origin_px=sighting.origin_px[rows],
        masks=tuple(sighting.masks[row] for row in rows.tolist()),
    )


def nobody() -> Tracks:
    """No tracks at all."""
    none = np.zeros(0, np.int64)
    empty = Sighting(0, np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2), np.int64), ())
    return born(empty, none, none, none)


def joined(first: Tracks, second: Tracks) -> Tracks:
    """The rows of both."""
    columns = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in COLUMNS}
    return Tracks(**columns, masks=first.masks + second.masks)


def kept(tracks: Tracks, chosen: NDArray[np.bool_]) -> Tracks:
    """The chosen rows."""
    if chosen.all():
        return tracks
    columns = {name: getattr(tracks, name)[chosen] for name in COLUMNS}
    return Tracks(**columns, masks=tuple(tracks.masks[row] for row in np.flatnonzero(chosen).tolist()))


def dump(state: State) -> bytes:
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
        drift_px=state.drift_px,
        shapes=np.array([mask.shape for mask in masks], np.int64).reshape(-1, 2),
        pixels=np.packbits(np.concatenate([np.zeros(0, bool), *(mask.ravel() for mask in masks)])),
        **{name: getattr(state.tracks, name) for name in COLUMNS},
    )
    return stream.getvalue()


def load(data: bytes) -> State:
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
        return State(
            settings=TrackingSettings(**header["settings"]),
            tracks=Tracks(**{name: file[name] for name in COLUMNS}, masks=masks),
            drift_px=file["drift_px"],
            **{name: header[name] for name in SCALARS},
        )
