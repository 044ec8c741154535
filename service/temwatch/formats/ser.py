"""SER files, the data of TIA (Emispec's ES Vision) on FEI's microscopes; the .emi beside them only describes.

The layout follows the public description by C. Boothroyd ("The TIA series data file format").
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from temwatch.domain import Image, Metadata
from temwatch.errors import Refused
from temwatch.formats import calibration, clock, raw_frames, read_errors
from temwatch.formats.calibration import Axes, Axis
from temwatch.formats.source import Source, check_index, check_side, micrograph_image

FORMAT = "SER"
_SIGNATURE = b"II\x97\x01"
_OFFSET_FORMATS = {0x210: "i", 0x220: "q"}  # by version: before and since TIA 4.7.3
_SPECTRA, _PICTURES = 0x4120, 0x4122
_PIXEL_TYPES = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}
_ELEMENT = struct.Struct("<ddiddihii")  # offset, step and index of x and of y, type, width, height
_MOST_ELEMENTS = 2**17
_MOST_DIMENSIONS = 8
_LONGEST_TEXT_BYTES = 64 * 1024
# Steps are in m for micrographs, and in 1/m for diffraction patterns; nothing in the file says which.
_LARGEST_LENGTH_M = 1e-5
_SMALLEST_RECIPROCAL = 1e3


@dataclass(frozen=True, slots=True)
class _SeriesPicture:
    """One picture: where it begins, the type of its pixels, their shape (y, x), and its axes."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    axes: Axes

    def is_like(self, other: _SeriesPicture) -> bool:
        """Whether it is of the same picture type, size and scale."""
        return (self.dtype, self.shape, self.axes) == (other.dtype, other.shape, other.axes)


@dataclass(frozen=True, slots=True)
class _Series:
    """Where the elements begin, the time between them where it is stated, and when the first was taken."""

    offsets: tuple[int, ...]
    interval_s: float | None
    acquired_at: datetime | None


def open_source(path: Path, *, pixel_size_nm: float | None = None) -> Source:
    """Open a SER file without loading its pixels; a series of pictures is a stack.

    `pixel_size_nm` fills a missing pixel size; it never overrides one that the file states.

    Raises
    ------
    InputError
        Refused or Unreadable, with a code of `errors` and one line that says what would help.
    """
    with read_errors.opened(path, FORMAT) as (stream, size):
        series = _series(stream, size)
        first = _element(stream, size, series.offsets[0])
        if not all(first.is_like(_element(stream, size, offset)) for offset in series.offsets[1:]):
            raise Refused(
                "not_a_sequence", "holds pictures of different size or scale; save them as single micrographs"
            )
    nm, stated_nm = calibration.pixel_size_nm(*first.axes, given_nm=pixel_size_nm)
    check_side(first.shape)
    frames = len(series.offsets) if len(series.offsets) > 1 else None

    def load(index: int) -> Image:
        check_index(index, frames)
        offset = series.offsets[index] + _ELEMENT.size
        pixels = raw_frames.read(path, FORMAT, offset, first.dtype, first.shape)
        return micrograph_image(pixels[::-1], single=frames is None)  # the first row is the lowest

    return Source(
        path=path,
        shape=first.shape,
        frames=frames,
        pixel_size_nm=nm,
        stated_pixel_size_nm=stated_nm,
        acquired_at=series.acquired_at,
        metadata=Metadata(),
        interval_s=series.interval_s if frames else None,
        load=load,
    )


def complete(path: Path) -> bool | None:  # noqa: ARG001 - part of the protocol
    """None: TIA writes the number of elements first and fills them in."""
    return None


def _series(stream: io.BufferedReader, size: int) -> _Series:
    head = stream.read(22)
    if head[:4] != _SIGNATURE:
        raise read_errors.not_of_format(FORMAT, head)
    if len(head) < 22:
        raise read_errors.truncated(size, 22)
    version, kind, tag_kind, total, valid = struct.unpack_from("<Hiiii", head, 4)
    form = _OFFSET_FORMATS.get(version)
    if form is None:
        raise Refused(
            "not_a_micrograph",
            f"is of the version {version:#06x} of SER, which is not known; export it as TIFF from TIA",
        )
    if kind == _SPECTRA:
        raise Refused("spectroscopy", "holds spectra; only micrographs are measured")
    if kind != _PICTURES:
        raise Refused("not_a_micrograph", f"holds data of the unknown kind {kind:#06x}; export it as TIFF")
    width = struct.calcsize(form)
    array_offset, dimensions = struct.unpack(f"<{form}i", _take(stream, width + 4, size))
    interval_s = _dimensions(stream, size, dimensions)
    if valid < 1:
        raise Refused("not_a_micrograph", "holds no picture: the acquisition was ended before the first")
    if valid > min(total, _MOST_ELEMENTS):
        raise read_errors.damaged(FORMAT, f"it declares {valid} pictures")
    stream.seek(max(0, array_offset))
    offsets = struct.unpack(f"<{valid}{form}", _take(stream, valid * width, size))
    stream.seek(max(0, array_offset) + total * width)
    tag = stream.read(width)
    acquired_at = None
    if tag_kind in (0x4152, 0x4142) and len(tag) == width:
        stream.seek(min(size, max(0, struct.unpack(f"<{form}", tag)[0])))
        record = stream.read(8)
        if len(record) == 8 and struct.unpack_from("<H", record)[0] == tag_kind:
            acquired_at = clock.from_epoch_ms(struct.unpack_from("<i", record, 4)[0] * 1e3)
    return _Series(offsets, interval_s, acquired_at)


def _dimensions(stream: io.BufferedReader, size: int, number: int) -> float | None:
    """The time between the elements, s, where the axis along which they lie is time.

    Raises
    ------
    Refused
        not_real_space: they lie in a plane, one pattern for each point of a scan.
    """
    if not 0 <= number <= _MOST_DIMENSIONS:
        raise read_errors.damaged(FORMAT, f"it declares {number} axes")
    found: list[tuple[int, Axis]] = []
    for _ in range(number):
        length, _, step, _ = struct.unpack("<iddi", _take(stream, 24, size))
        _text(stream, size)  # its name
        found.append((length, Axis(step, _text(stream, size))))
    long = [axis for length, axis in found if length > 1]
    if len(long) > 1:
        raise Refused("not_real_space", f"has {2 + len(long)} axes (4D-STEM?); only micrographs are measured")
    return calibration.interval_s(long[0]) if long else None


def _text(stream: io.BufferedReader, size: int) -> str:
    (length,) = struct.unpack("<i", _take(stream, 4, size))
    if not 0 <= length <= _LONGEST_TEXT_BYTES:
        raise read_errors.damaged(FORMAT, f"a text has {length} bytes")
    return _take(stream, length, size).decode("latin-1")


def _element(stream: io.BufferedReader, size: int, offset: int) -> _SeriesPicture:
    if offset < 0:
        raise read_errors.damaged(FORMAT, f"a picture begins at byte {offset}")
    stream.seek(min(offset, size))
    _, step_x, _, _, step_y, _, kind, width, height = _ELEMENT.unpack(_take(stream, _ELEMENT.size, size))
    if kind not in _PIXEL_TYPES:
        found = "complex numbers" if kind in (9, 10) else f"data of type {kind}"
        raise Refused("not_grey", f"holds {found}; save the micrograph itself as real numbers or integers")
    if min(width, height) < 1:
        raise read_errors.damaged(FORMAT, f"it declares {width} x {height} px")
    dtype = np.dtype(_PIXEL_TYPES[kind])
    end = offset + _ELEMENT.size + dtype.itemsize * width * height
    if end > size:
        raise read_errors.truncated(size, end)
    return _SeriesPicture(offset, dtype, (height, width), (_axis(abs(step_x)), _axis(abs(step_y))))


def _axis(step: float) -> Axis:
    if 0 < step <= _LARGEST_LENGTH_M:
        return Axis(step, "m")
    if step >= _SMALLEST_RECIPROCAL:
        return Axis(step, "1/m")
    return Axis(None, "", f"its step of {step:g} is neither a length of a micrograph in m nor one in 1/m")


def _take(stream: io.BufferedReader, length: int, size: int) -> bytes:
    place = stream.tell()
    block = stream.read(length)
    if len(block) < length:
        raise read_errors.truncated(size, place + length)
    return block
