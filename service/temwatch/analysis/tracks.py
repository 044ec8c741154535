"""What is remembered of the particles followed: one row a live track, and its exact form as bytes."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.config import TrackingSettings
from temwatch.domain import Region

NOBODY = -1
"""In `Tracks.partner`: no particle is suspected to have taken this one in."""

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracks:
    """The live tracks as columns; positions and regions are drift-corrected, rows in order of birth.

    Attributes
    ----------
    number
        The track's name in the tables, from 1.
    position_px, diameter_px
        Where it was seen last, and how large.
    anchor_px, smooth_px
        The same, averaged over the last ten and the last three frames or so.
    seen
        Frames it was seen in.
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
        How closely the two met when it was lost, 0 to 1.
    regions
        Its pixels where it was seen last.
    """

    number: NDArray[np.int64]
    position_px: NDArray[np.float64]
    diameter_px: NDArray[np.float64]
    anchor_px: NDArray[np.float64]
    smooth_px: NDArray[np.float64]
    seen: NDArray[np.int64]
    missing: NDArray[np.int64]
    lost_frame: NDArray[np.int64]
    partner: NDArray[np.int64]
    before_px: NDArray[np.float64]
    gain: NDArray[np.float64]
    gain_frames: NDArray[np.int64]
    contact: NDArray[np.float64]
    regions: tuple[Region, ...]

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """All that the next frame is followed with; its size depends on the particles in view alone.

    `drift_px` is the cumulative drift, `motion_px` and `size_noise` the typical displacement of a particle
    from frame to frame and the typical change of the logarithm of its diameter, `frames` the number of frames
    with particles so far.
    """

    settings: TrackingSettings
    tracks: Tracks
    drift_px: NDArray[np.float64]
    next_track: int = 1
    frames: int = 0
    motion_px: float = 0.0
    size_noise: float = 0.0


def born(
    numbers: NDArray[np.int64],
    positions_px: NDArray[np.float64],
    diameters_px: NDArray[np.float64],
    regions: tuple[Region, ...],
) -> Tracks:
    """New tracks, seen once."""
    count = len(numbers)
    nothing, unknown = np.zeros(count, np.int64), np.zeros(count)
    return Tracks(
        number=numbers,
        position_px=positions_px,
        diameter_px=diameters_px,
        anchor_px=positions_px,
        smooth_px=diameters_px,
        seen=np.ones(count, np.int64),
        missing=nothing,
        lost_frame=nothing,
        partner=np.full(count, NOBODY),
        before_px=unknown,
        gain=unknown,
        gain_frames=nothing,
        contact=unknown,
        regions=regions,
    )


def nobody() -> Tracks:
    """No tracks at all."""
    return born(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), ())


def joined(first: Tracks, second: Tracks) -> Tracks:
    """The rows of both."""
    columns = {
        name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in _columns(Tracks)
    }
    return Tracks(**columns, regions=first.regions + second.regions)


def kept(tracks: Tracks, chosen: NDArray[np.bool_]) -> Tracks:
    """The chosen rows."""
    if chosen.all():
        return tracks
    columns: dict[str, Any] = {name: getattr(tracks, name)[chosen] for name in _columns(Tracks)}
    return replace(
        tracks, **columns, regions=tuple(tracks.regions[row] for row in np.flatnonzero(chosen).tolist())
    )


def _columns(table: type) -> list[str]:
    return [column.name for column in fields(table) if column.name != "regions"]


def dump(state: State) -> bytes:
    """A state as bytes, exact to the last bit."""
    regions = state.tracks.regions
    pixels = np.concatenate([region.mask.ravel() for region in regions]) if regions else np.zeros(0, bool)
    boxes = [(*region.origin_px, *region.mask.shape) for region in regions]
    header = {
        "version": VERSION,
        "settings": state.settings.model_dump(mode="json", include=set(TrackingSettings.model_fields)),
        "next_track": state.next_track,
        "frames": state.frames,
        "motion_px": state.motion_px,
        "size_noise": state.size_noise,
        "separated": [[region.separated, region.separated_by, region.visible_fraction] for region in regions],
    }
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        drift_px=state.drift_px,
        boxes=np.array(boxes, np.int64).reshape(-1, 4),
        pixels=np.packbits(pixels),
        **{name: getattr(state.tracks, name) for name in _columns(Tracks)},
    )
    return stream.getvalue()


def load(data: bytes) -> State:
    """The state that `dump` wrote.

    Raises
    ------
    ValueError
        The bytes are not a state, or one of another version.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        header = json.loads(file["header"].tobytes())
        if header["version"] != VERSION:
            raise ValueError(f"state of tracking: version {VERSION} is needed, found {header['version']}")
        boxes = file["boxes"]
        ends = np.cumsum(boxes[:, 2] * boxes[:, 3])
        pixels = np.unpackbits(file["pixels"]).astype(bool)
        regions = tuple(
            Region(
                origin_px=(row, column),
                mask=pixels[end - height * width : end].reshape(height, width),
                separated=separated,
                separated_by=by,
                visible_fraction=visible,
            )
            for (row, column, height, width), end, (separated, by, visible) in zip(
                boxes.tolist(), ends.tolist(), header["separated"], strict=True
            )
        )
        return State(
            settings=TrackingSettings(**header["settings"]),
            tracks=Tracks(**{name: file[name] for name in _columns(Tracks)}, regions=regions),
            drift_px=file["drift_px"],
            next_track=header["next_track"],
            frames=header["frames"],
            motion_px=header["motion_px"],
            size_noise=header["size_noise"],
        )
