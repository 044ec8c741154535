"""DigitalMicrograph files as a microscope writes them, through nionswift-io: images and stacks.

The container is nionswift-io's; its own `save_image` is not used, because it dates a file in the manner of
the machine's country, puts the date where a microscope does not, and needs the whole stack in memory.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from nionswift_plugin.DM_IO import dm3_image_utils, parse_dm3
from numpy.typing import NDArray

from temwatch.domain import Metadata

Pixels = NDArray[Any]

_WINDOWS_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_RASTER_IMAGE = 20  # DigitalMicrograph's AnnotationType of an image display


def encode_dm(
    image: Pixels, *, version: int, pixel_size_nm: float, acquired_at: datetime, metadata: Metadata
) -> bytes:
    """Bytes of a dm3 (version 3) or dm4 (4) file of one image: (y, x), integers of 16 or 32 bit or floats."""
    file = io.BytesIO()
    _write(file, version, image, image.shape, [image], _tags(pixel_size_nm, acquired_at, metadata))
    return file.getvalue()


def write_dm(
    path: Path, image: Pixels, *, pixel_size_nm: float, acquired_at: datetime, metadata: Metadata
) -> None:
    """Write one image, see `encode_dm`; the suffix, .dm3 or .dm4, decides the version."""
    path.write_bytes(
        encode_dm(
            image,
            version=_version(path),
            pixel_size_nm=pixel_size_nm,
            acquired_at=acquired_at,
            metadata=metadata,
        )
    )


def write_dm_stack(
    path: Path,
    frames: Iterable[Pixels],
    *,
    count: int,
    interval_s: float,
    pixel_size_nm: float,
    acquired_at: datetime,
    metadata: Metadata,
) -> None:
    """Write `count` frames, each of the first one's shape and type, taking one at a time.

    Raises
    ------
    ValueError
        `frames` yields more or fewer than `count`, or a frame of another shape or type.
    """
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise ValueError("a stack needs at least one frame")
    tags = _tags(pixel_size_nm, acquired_at, metadata, interval_s=interval_s)
    with path.open("wb") as file:
        _write(file, _version(path), first, (count, *first.shape), chain([first], remaining), tags)


def _version(path: Path) -> int:
    return {".dm3": 3, ".dm4": 4}[path.suffix.lower()]


class _Frames(parse_dm3.DataChunkWriter):  # type: ignore[misc]  # untyped
    """Pixels that are written frame by frame; the file format needs their number first."""

    def __init__(self, like: Pixels, shape: tuple[int, ...], frames: Iterable[Pixels]) -> None:
        super().__init__(like)
        self.shape, self.frames = shape, frames

    def write(self, file: BinaryIO) -> int:
        size = "Q" if parse_dm3.version == 4 else "L"
        kind = parse_dm3.get_dmtype_for_structchar(self.data.dtype.char)
        if kind < 0:
            raise ValueError(f"no DigitalMicrograph type for pixels of {self.data.dtype}")
        file.write(struct.pack(f">{size}{size}", kind, int(np.prod(self.shape))))
        count = 0
        for frame in self.frames:
            if frame.shape != self.data.shape or frame.dtype != self.data.dtype:
                raise ValueError(f"frame {count} is {frame.shape} {frame.dtype}, the first is another")
            file.write(np.ascontiguousarray(frame).data)
            count += 1
        if count * self.data.size != np.prod(self.shape):
            raise ValueError(f"{count} frames came for a stack of {self.shape[0]}")
        return 2  # entries of the header: type and length


def _write(
    file: BinaryIO,
    version: int,
    like: Pixels,
    shape: tuple[int, ...],
    frames: Iterable[Pixels],
    tags: dict[str, Any],
) -> None:
    calibrations, image_tags = tags["calibrations"], tags["image"]
    image_data = dm3_image_utils.ndarray_to_imagedatadict(like) | {
        "Dimensions": list(shape[::-1]),
        "Data": _Frames(like, shape, frames),
        "Calibrations": calibrations,
    }
    parse_dm3.dm_write_header(
        file,
        version,
        {
            "ImageList": [{"ImageData": image_data, "ImageTags": image_tags, "Name": "Simulated"}],
            "ImageSourceList": [{"ClassName": "ImageSource:Simple", "Id": [0], "ImageRef": 0}],
            "DocumentObjectList": [{"ImageSource": 0, "AnnotationType": _RASTER_IMAGE}],
            "Image Behavior": {"ViewDisplayID": 8},
            "InImageMode": True,
        },
    )


def _tags(
    pixel_size_nm: float, acquired_at: datetime, metadata: Metadata, interval_s: float | None = None
) -> dict[str, Any]:
    """Calibrations and the groups of tags that GMS 2 and 3 write; the names are theirs."""
    moment = acquired_at.astimezone(UTC)
    half = "AM" if moment.hour < 12 else "PM"
    axis = {"Origin": 0.0, "Scale": float(pixel_size_nm), "Units": "nm"}
    axes = [axis, axis] + ([] if interval_s is None else [axis | {"Scale": float(interval_s), "Units": "s"}])
    microscope: dict[str, Any] = {
        "Illumination Mode": "TEM",
        "Imaging Mode": "MAG",
        "Operation Mode": "IMAGING",
    }
    if metadata.voltage_kV is not None:
        microscope |= {
            "Voltage": metadata.voltage_kV * 1e3,
            "Formatted Voltage": f"{metadata.voltage_kV:g}kV",
        }
    if metadata.magnification is not None:
        microscope |= {
            "Indicated Magnification": float(metadata.magnification),
            "Formatted Indicated Mag": f"{metadata.magnification / 1e3:g}kx",
        }
    if metadata.instrument is not None:
        microscope["Name"] = metadata.instrument
    bar: dict[str, Any] = {
        "Acquisition Date": f"{moment.month}/{moment.day}/{moment.year}",
        "Acquisition Time": f"{moment.hour % 12 or 12}:{moment:%M:%S} {half}",
        "Acquisition Time (OS)": (moment - _WINDOWS_EPOCH).total_seconds() * 1e7,
        "Device Name": "Simulated CCD",
    }
    if metadata.exposure_s is not None:
        bar["Exposure Time (s)"] = float(metadata.exposure_s)
    image: dict[str, Any] = {"Microscope Info": microscope, "DataBar": bar}
    if interval_s is not None:
        image["Meta Data"] = {"IsSequence": True}
    return {
        "calibrations": {
            "Brightness": {"Origin": 0.0, "Scale": 1.0, "Units": "Counts"},
            "Dimension": axes,
            "DisplayCalibratedUnits": True,
        },
        "image": image,
    }
