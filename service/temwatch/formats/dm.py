"""DigitalMicrograph files, dm3 and dm4: tags are parsed without the pixels, frames are read one by one."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.domain import Image
from temwatch.errors import InputError, Refused
from temwatch.formats import calibration, dm_acquisition, dm_tags, raw_frames, read_errors
from temwatch.formats.calibration import Axis
from temwatch.formats.dm_tags import FORMAT, Tags
from temwatch.formats.source import Source, check_index, check_side, micrograph_image

# Data types of images (Gatan's SDK; 39 and 40 since GMS 3), little-endian as written on a PC.
_PIXEL_TYPES = {
    1: "<i2",
    2: "<f4",
    6: "<u1",
    7: "<i4",
    9: "<i1",
    10: "<u2",
    11: "<u4",
    12: "<f8",
    39: "<i8",
    40: "<u8",
}
_NOT_GREY = {
    3: "complex numbers",
    5: "packed complex numbers (a Fourier transform)",
    8: "colour (RGB)",
    13: "complex numbers",
    14: "a 1-bit mask",
    23: "colour (RGB)",
    27: "packed complex numbers (a Fourier transform)",
    28: "packed complex numbers (a Fourier transform)",
}

# Bytes in front of and behind what the declared length counts, at the least: every complete file seen
# exceeds its declared length by 16 or 20 bytes (dm3), 20 or 24 (dm4).
_BEYOND_DECLARED = {3: 16, 4: 20}
# DigitalMicrograph ends every file with eight zero bytes behind the last tag.
_END_BYTES = 8
# A longer run of zeros at the end of a file that does not parse was reserved and never written; whole files
# were seen to end in 8 to 40 zero bytes.
_UNWRITTEN_BYTES = 256


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the pixels lie: `shape` is (frames, y, x)."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, int, int]

    @property
    def frame_bytes(self) -> int:
        return self.dtype.itemsize * self.shape[1] * self.shape[2]


def open_source(path: Path, *, pixel_size_nm: float | None = None) -> Source:
    """Open a dm3 or dm4 file without loading its pixels.

    `pixel_size_nm` fills a missing pixel size; it never overrides one that the file states.

    Raises
    ------
    InputError
        Refused or Unreadable, with a code of `errors` and one line that says what would help.
    """
    with read_errors.opened(path, FORMAT) as (stream, size):
        tags = _parse(stream, size)
    image = dm_acquisition.micrograph(tags)
    if image is None:
        raise Refused("not_a_micrograph", "holds tags but no image; save the image itself")
    axes = _axes(image)
    if found := dm_acquisition.spectroscopy(image):
        raise Refused("spectroscopy", f"is spectroscopy data ({found}); only micrographs are measured")
    dimensions = _dimensions(image, axes)
    dtype = _dtype(image)
    if len(dimensions) > 3:
        raise Refused(
            "not_real_space", f"has {len(dimensions)} axes (4D-STEM?); only micrographs are measured"
        )
    calibration.refuse_unless_spatial((axes[0], axes[1]))
    if dm_acquisition.is_diffraction(image):
        calibration.refuse_diffraction(axes[:2])
    x, y, frames = dimensions[0], dimensions[1], dimensions[2] if len(dimensions) == 3 else None
    if pixel_size_nm is not None:
        check_side((y, x))  # no size that is given helps it
    nm, stated_nm = calibration.pixel_size_nm(axes[0], axes[1], given_nm=pixel_size_nm)
    calibration.refuse_unless_spatial(
        tuple(axis for axis in axes[2:] if calibration.interval_s(axis) is None)
    )
    check_side((y, x))
    data = image.array("ImageData.Data")
    layout = _Layout(data.offset if data else 0, dtype, (frames or 1, y, x))
    _check_extent(layout, data.nbytes if data else 0, size)

    def load(index: int) -> Image:
        check_index(index, frames)
        return micrograph_image(_pixels(path, layout, index), single=frames is None)

    return Source(
        path=path,
        shape=(y, x),
        frames=frames,
        pixel_size_nm=nm,
        stated_pixel_size_nm=stated_nm,
        acquired_at=dm_acquisition.acquired_at(tags, image),
        metadata=dm_acquisition.metadata(image),
        interval_s=calibration.interval_s(axes[2]) if frames and len(axes) > 2 else None,
        load=load,
    )


def complete(path: Path) -> bool | None:
    """Whether all that the header declares is there and the pixels do not end in zeros.

    False while bytes are missing; None where the file cannot tell (its last row is zero, as in a file that
    is reserved first and filled later, or it cannot be read): then only time can.
    """
    try:
        with read_errors.opened(path, FORMAT) as (stream, size):
            tags = _parse(stream, size)
            image = dm_acquisition.micrograph(tags)
            if image is None:
                return None
            data = image.array("ImageData.Data")
            length, end = (data.nbytes, data.offset + data.nbytes) if data else (0, 0)
            row = max(1, length // max(1, math.prod(_sizes(image)[1:])))
            stream.seek(max(0, end - row))
            return True if any(stream.read(row)) else None
    except Refused as refusal:
        return False if refusal.code == "truncated" else None
    except InputError:
        return None


def _parse(stream: io.BufferedReader, size: int) -> Tags:
    """All tags of a file that is complete."""
    head = stream.read(20)
    version = int.from_bytes(head[:4], "big")
    if version not in _BEYOND_DECLARED:
        raise read_errors.not_of_format(FORMAT, head)
    if len(head) < 20:
        raise read_errors.truncated(size, 20)
    declared, byte_order = struct.unpack_from(">II" if version == 3 else ">QI", head, 4)
    if byte_order != 1:
        raise Refused(
            "not_a_micrograph",
            "is in the byte order of a Macintosh, or damaged; save it again with a recent DigitalMicrograph",
        )
    if size < (expected := declared + _BEYOND_DECLARED[version]):
        raise read_errors.truncated(size, expected)
    stream.seek(max(0, size - _UNWRITTEN_BYTES))
    reserved = not any(stream.read())
    unwritten = Refused("zero_filled", "ends in zeros: reserved by the writer, never written; copy it again")
    try:
        tags = dm_tags.parse(stream, size)
    except Refused as damaged:
        raise (unwritten if reserved else damaged) from None
    if size < (expected := stream.tell() + _END_BYTES):
        raise read_errors.truncated(size, expected)
    if reserved and size > expected:
        raise unwritten
    return tags


def _sizes(image: Tags) -> list[int]:
    sizes: list[int] = []
    while (size := image.count(f"ImageData.Dimensions.{len(sizes) + 1}")) is not None:
        sizes.append(size)
    return sizes


def _axes(image: Tags) -> list[Axis]:
    """Calibrations, x first; stacks of some plug-ins have fewer of them than axes."""
    groups = [image.below(f"ImageData.Calibrations.Dimension.{n + 1}") for n in range(len(_sizes(image)))]
    axes = [calibration.unflipped(Axis(group.number("Scale"), group.text("Units") or "")) for group in groups]
    return axes + [Axis(None, "")] * (2 - len(axes))


def _dimensions(image: Tags, axes: list[Axis]) -> list[int]:
    """Sizes along x, y and the frames; refuses what has one axis only."""
    sizes = _sizes(image)
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    if any(size < 1 for size in sizes):
        raise Refused("not_a_micrograph", f"is damaged: it declares an image of {_by(sizes)} px")
    if len(sizes) < 2 or 1 in sizes[:2]:
        unit = axes[sizes.index(max(sizes))].unit
        raise Refused(
            "spectroscopy",
            f"has one axis only ({_by(sizes)}{f', in {unit}' if unit else ''}): a spectrum or a line profile;"
            " only micrographs are measured",
        )
    return sizes


def _dtype(image: Tags) -> np.dtype[Any]:
    code = image.count("ImageData.DataType")
    if code in _PIXEL_TYPES:
        return np.dtype(_PIXEL_TYPES[code])
    found = _NOT_GREY.get(code or 0, f"data of type {code}")
    raise Refused("not_grey", f"holds {found}; save the micrograph itself as real numbers or integers")


def _check_extent(layout: _Layout, held: int, size: int) -> None:
    """Compare what the dimensions need with what the file has, before anything is allocated."""
    needed = layout.shape[0] * layout.frame_bytes
    if held != needed:
        raise Refused(
            "not_a_micrograph",
            f"is damaged: {_by(layout.shape[::-1])} px need {needed} bytes, its data have {held};"
            " copy it again",
        )
    if layout.offset + needed > size:
        raise read_errors.truncated(size, layout.offset + needed)


def _pixels(path: Path, layout: _Layout, index: int) -> NDArray[Any]:
    """One frame as it is in the file, shape (y, x)."""
    offset = layout.offset + index * layout.frame_bytes
    return raw_frames.read(path, FORMAT, offset, layout.dtype, layout.shape[1:])


def _by(sizes: list[int] | tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes)
