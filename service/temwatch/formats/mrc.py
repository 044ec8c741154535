"""MRC files, as SerialEM, EPU, IMOD and cameras for electron microscopy write them.

The header follows the public description of MRC2014 (A. Cheng et al., J. Struct. Biol. 192 (2015) 146) and
of IMOD's additions to it; the extended headers FEI1 and FEI2 are Thermo Fisher's.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temwatch.domain import Image, Metadata
from temwatch.errors import Refused
from temwatch.formats import calibration, raw_frames, read_errors
from temwatch.formats.calibration import Axes, Axis
from temwatch.formats.source import Source, check_index, check_side, micrograph_image

FORMAT = "MRC"
_HEADER_BYTES = 1024
_RECORD_BYTES = 768  # of a record of an extended header, however long it is

_PIXEL_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_NOT_GREY = {
    3: "complex numbers (a Fourier transform)",
    4: "complex numbers (a Fourier transform)",
    16: "colour (RGB)",
    101: "packed pixels of 4 bit",
}
_BYTE_ORDERS = {b"\x44": "<", b"\x11": ">"}
_VERSIONS = range(20140, 20142)  # MRC2014 and its revision; older files have other things in this place
_IMOD_STAMP, _IMOD_SIGNED = 1146047817, 1
_VOLUMES = range(1, 231)  # space groups; 0 is a stack of micrographs, 401 and above are stacks of volumes
_TILT_LIMIT_DEG = 0.5  # frames in time are of one tilt, but for the reading of the goniometer


@dataclass(frozen=True, slots=True)
class _Header:
    """The header of 1024 bytes as far as it is used; sizes are x, y, z."""

    order: str
    sizes: tuple[int, int, int]
    mode: int
    grid: tuple[int, int, int]
    cell_A: tuple[float, float, float]  # noqa: N815 - the unit's own spelling
    least: float
    most: float
    space_group: int
    extended_bytes: int
    extended_type: bytes
    version: int
    imod: tuple[int, int]
    has_stamp: bool


@dataclass(frozen=True, slots=True)
class _Acquisition:
    """What Thermo Fisher's extended header says of a frame."""

    pixel_size: Axes
    metadata: Metadata
    is_diffraction: bool
    tilt_deg: float


def open_source(path: Path, *, pixel_size_nm: float | None = None) -> Source:
    """Open an MRC file without loading its pixels; sections are frames.

    `pixel_size_nm` fills a missing pixel size; it never overrides one that the file states.

    Raises
    ------
    InputError
        Refused or Unreadable, with a code of `errors` and one line that says what would help.
    """
    with read_errors.opened(path, FORMAT) as (stream, size):
        header = _header(stream, size)
        dtype = _dtype(header)
        start = _extent(header, dtype, size)
        said = [_acquisition(stream, header, section) for section in (0, header.sizes[2] - 1)]
    _refuse_volumes(header, said)
    first = said[0]
    axes = _axes(header) if first is None or first.pixel_size[0].scale is None else first.pixel_size
    if first is not None and first.is_diffraction:
        calibration.refuse_diffraction(axes)
    nm, stated_nm = calibration.pixel_size_nm(*axes, given_nm=pixel_size_nm)
    width, height, sections = header.sizes
    check_side((height, width))
    frames = sections if sections > 1 else None

    def load(index: int) -> Image:
        check_index(index, frames)
        offset = start + index * dtype.itemsize * height * width
        pixels = raw_frames.read(path, FORMAT, offset, dtype, (height, width))
        return micrograph_image(pixels, single=frames is None)

    return Source(
        path=path,
        shape=(height, width),
        frames=frames,
        pixel_size_nm=nm,
        stated_pixel_size_nm=stated_nm,
        acquired_at=None,
        metadata=Metadata() if first is None else first.metadata,
        interval_s=None,
        load=load,
    )


def complete(path: Path) -> bool | None:  # noqa: ARG001 - part of the protocol
    """None: the number of sections is written before they are, or after."""
    return None


def _header(stream: io.BufferedReader, size: int) -> _Header:
    block = stream.read(_HEADER_BYTES)
    if len(block) < _HEADER_BYTES:
        if not block.isascii() and any(block):
            raise read_errors.truncated(size, _HEADER_BYTES)
        raise read_errors.not_of_format(FORMAT, block)
    has_stamp = block[208:212] == b"MAP "
    orders = [_BYTE_ORDERS[block[212:213]]] if block[212:213] in _BYTE_ORDERS else ["<", ">"]
    for order in orders:
        header = _parsed(block, order, has_stamp=has_stamp)
        if header.mode in (*_PIXEL_TYPES, *_NOT_GREY) and min(header.sizes) > 0:
            return header
    if not has_stamp:
        raise read_errors.not_of_format(FORMAT, block)
    header = _parsed(block, orders[0], has_stamp=True)
    if min(header.sizes) > 0:
        raise Refused("not_grey", f"holds data of mode {header.mode}, which is not known; save it as mode 2")
    raise read_errors.damaged(FORMAT, f"it declares {' x '.join(map(str, header.sizes))} px")


def _parsed(block: bytes, order: str, *, has_stamp: bool) -> _Header:
    integers = struct.unpack_from(f"{order}10i", block)
    space_group, extended_bytes = struct.unpack_from(f"{order}2i", block, 88)
    least, most = struct.unpack_from(f"{order}2f", block, 76)
    return _Header(
        order=order,
        sizes=integers[:3],
        mode=integers[3],
        grid=integers[7:10],
        cell_A=struct.unpack_from(f"{order}3f", block, 40),
        least=least,
        most=most,
        space_group=space_group,
        extended_bytes=extended_bytes,
        extended_type=block[104:108],
        version=struct.unpack_from(f"{order}i", block, 108)[0],
        imod=struct.unpack_from(f"{order}2i", block, 152),
        has_stamp=has_stamp,
    )


def _dtype(header: _Header) -> np.dtype[Any]:
    if header.mode in _NOT_GREY:
        raise Refused("not_grey", f"holds {_NOT_GREY[header.mode]}; save the micrograph itself as mode 2")
    if header.has_stamp and 20000 < header.version < 21000 and header.version not in _VERSIONS:
        raise Refused(
            "not_a_micrograph",
            f"is of the version {header.version} of MRC, which is not known; save it as MRC2014 or TIFF",
        )
    name = _PIXEL_TYPES[header.mode]
    if header.mode == 0 and not _is_signed(header):
        name = "u1"
    return np.dtype(header.order + name)


def _is_signed(header: _Header) -> bool:
    """Whether bytes have a sign: MRC2014 says so, older programs wrote them without one."""
    stamp, flags = header.imod
    if stamp == _IMOD_STAMP:
        return bool(flags & _IMOD_SIGNED)
    if header.least < 0 or header.most > 127:
        return header.least < 0
    return header.version in _VERSIONS


def _extent(header: _Header, dtype: np.dtype[Any], size: int) -> int:
    """Where the pixels begin; compares what they need with what the file has before anything is allocated."""
    if header.extended_bytes < 0:
        raise read_errors.damaged(FORMAT, f"its extended header has {header.extended_bytes} bytes")
    start = _HEADER_BYTES + header.extended_bytes
    width, height, sections = header.sizes
    end = start + dtype.itemsize * width * height * sections
    if size < end:
        raise read_errors.truncated(size, end)
    if not header.has_stamp and size != end:  # files before 2000 have no stamp, and nothing behind the pixels
        raise read_errors.damaged(FORMAT, f"{size} bytes are there, its pixels end at {end}")
    return start


def _acquisition(stream: io.BufferedReader, header: _Header, section: int) -> _Acquisition | None:
    """Thermo Fisher's record of a section; its first number is the length of a record."""
    if header.extended_type not in (b"FEI1", b"FEI2") or header.extended_bytes < 4:
        return None
    stream.seek(_HEADER_BYTES)
    (length,) = struct.unpack(f"{header.order}i", stream.read(4))
    if length < _RECORD_BYTES or (section + 1) * length > header.extended_bytes:
        return None
    stream.seek(_HEADER_BYTES + section * length)
    record = stream.read(_RECORD_BYTES)

    def number(offset: int) -> float:
        return float(struct.unpack_from(f"{header.order}d", record, offset)[0])

    def choice(offset: int) -> int:
        return int(struct.unpack_from(f"{header.order}i", record, offset)[0])

    name = record[20:36].split(b"\0")[0].decode("latin-1")
    sizes_m = (number(156), number(164))
    is_scan, is_diffraction = choice(244) == 2, choice(248) == 1
    return _Acquisition(
        pixel_size=(_axis(sizes_m[0]), _axis(sizes_m[1])),
        metadata=Metadata(
            voltage_kV=number(84) / 1e3 if 1e3 < number(84) < 1e7 else None,
            magnification=number(289) if 1 < number(289) < 1e9 else None,
            instrument="".join(letter for letter in name if letter.isprintable()).strip() or None,
            exposure_s=number(419) if 0 < number(419) < 1e5 else None,
        ),
        is_diffraction=is_diffraction and not is_scan,
        tilt_deg=number(100),
    )


def _axis(size_m: float) -> Axis:
    axis = Axis(size_m, "m")
    return axis if calibration.length_nm(axis) is not None else Axis(None, "")


def _axes(header: _Header) -> Axes:
    """Steps by the cell, whose lengths are in Å, and the grid."""
    steps = [
        cell / grid if grid > 0 and cell > 0 else None
        for cell, grid in zip(header.cell_A[:2], header.grid[:2], strict=True)
    ]
    if steps == [1.0, 1.0]:
        remark = "its spacing of exactly 1 Å is what programs write where they know none"
        return Axis(None, "", remark), Axis(None, "", remark)
    return Axis(steps[0], "Å"), Axis(steps[1], "Å")


def _refuse_volumes(header: _Header, said: list[_Acquisition | None]) -> None:
    """Refuse sections that are no frames in time."""
    sections = header.sizes[2]
    if sections == 1:
        return
    first, last = said
    is_new = header.version in _VERSIONS
    if is_new and (
        header.space_group > 400 or (header.space_group in _VOLUMES and header.grid[2] == sections)
    ):
        found = "a volume"
    elif first is not None and last is not None and abs(first.tilt_deg - last.tilt_deg) > _TILT_LIMIT_DEG:
        found = f"a tilt series ({first.tilt_deg:.1f} to {last.tilt_deg:.1f} degrees)"
    else:
        return
    raise Refused(
        "not_a_sequence",
        f"holds {found}, no sequence in time; save what is to be measured as single micrographs",
    )
