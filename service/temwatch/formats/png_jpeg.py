"""PNG and JPEG pictures, which state no pixel size: they are read where one is given.

The resolution that a PNG may have is for printing. JPEG loses detail at the outlines of particles.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from temwatch.domain import Image, Metadata
from temwatch.errors import Refused
from temwatch.formats import calibration, read_errors
from temwatch.formats.calibration import Axis
from temwatch.formats.source import Source, check_index, check_side, micrograph_image

FORMAT = "PNG or JPEG"
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PNG_END, _JPEG_END = b"IEND\xaeB`\x82", b"\xff\xd9"
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3}  # markers that begin a picture: baseline, extended, progressive, lossless
_SCAN = 0xDA
_PIECE_END = re.compile(
    rb"(?<!\xff)(?=\xff+[^\x00\xff])"
)  # in front of a marker; 0xFF 0x00 stands for a byte
_FILLING = bytes((37 * number + 11) % 251 for number in range(64))  # any bytes but 0xFF
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_END_BYTES = 64 * 1024  # programs add some bytes behind the end of a picture
_BESIDES_BYTES = 256 * 1024**2  # metadata, and a picture that does not compress
_MOST_COMPRESSION = 1100  # deflate reaches 1032 : 1, and a JPEG of one grey less


@dataclass(frozen=True, slots=True)
class _PictureHeader:
    """What a file says of its picture; `shape` is (y, x)."""

    is_png: bool
    shape: tuple[int, int]
    bits: int
    channels: int

    @property
    def raw_bytes(self) -> int:
        """What the pixels take without compression."""
        return self.shape[0] * self.shape[1] * self.channels * max(1, self.bits // 8)


def open_source(path: Path, *, pixel_size_nm: float | None = None) -> Source:
    """Open a PNG or JPEG without loading its pixels.

    Raises
    ------
    InputError
        Refused or Unreadable; no_pixel_size without `pixel_size_nm`.
    """
    with read_errors.opened(path, FORMAT) as (stream, size):
        header = _header(stream, size)
        _check_end(stream, size, header)
    if header.bits == 1:
        raise Refused("not_grey", "holds a 1-bit mask; save the micrograph itself as greyscale")
    axis = Axis(None, "", "a png or jpg never states one")
    nm, _ = calibration.pixel_size_nm(axis, axis, given_nm=pixel_size_nm)
    check_side(header.shape)

    def load(index: int) -> Image:
        check_index(index, None)
        return micrograph_image(_pixels(path, header), single=True)

    return Source(
        path=path,
        shape=header.shape,
        frames=None,
        pixel_size_nm=nm,
        stated_pixel_size_nm=None,
        acquired_at=None,
        metadata=Metadata(),
        interval_s=None,
        load=load,
    )


def complete(path: Path) -> bool | None:  # noqa: ARG001 - part of the protocol
    """None: neither declares its length."""
    return None


def _header(stream: io.BufferedReader, size: int) -> _PictureHeader:
    head = stream.read(26)
    if head.startswith(_PNG):
        if len(head) < 26:
            raise read_errors.truncated(size, 57)
        width, height, bits, kind = struct.unpack_from(">IIBB", head, 16)
        channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(kind, 0)
        header = _PictureHeader(True, (height, width), bits, channels)
    elif head.startswith(_JPEG):
        header = _jpeg_header(stream, size)
    else:
        raise read_errors.not_of_format(FORMAT, head)
    area = header.shape[0] * header.shape[1]
    if not area or not header.channels:
        raise read_errors.damaged(FORMAT, f"it declares {header.shape[1]} x {header.shape[0]} px")
    if area * header.bits // 8 > _MOST_COMPRESSION * size:
        by = f"{header.shape[1]} x {header.shape[0]} px"
        raise Refused("not_a_micrograph", f"is damaged: {by} cannot be in {size} bytes; copy it again")
    return header


def _jpeg_header(stream: io.BufferedReader, size: int) -> _PictureHeader:
    """The first marker that begins a picture; every segment before it says how long it is."""
    place = 2
    while True:
        stream.seek(place)
        segment = stream.read(10)
        if len(segment) < 10:
            raise read_errors.truncated(size, place + 10)
        if segment[0] != 0xFF:
            raise read_errors.damaged(FORMAT, f"no marker at byte {place}")
        if segment[1] in _FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", segment, 4)
            return _PictureHeader(False, (height, width), bits, channels)
        if segment[1] == 0xFF:
            place += 1
        elif segment[1] in _WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + max(2, struct.unpack_from(">H", segment, 2)[0])


def _is_whole(content: bytes, pixels: NDArray[Any]) -> bool:
    """Whether a JPEG holds all of its picture; decoders fill what is missing with grey, and say nothing.

    With something put behind each piece of compressed data it gives the same picture only if the decoder
    needed no more than was there.
    """
    start = _first_scan(content)
    longer = content[:start] + _PIECE_END.sub(_FILLING, content[start:]) + _FILLING + _JPEG_END
    return np.array_equal(pixels, imagecodecs.jpeg_decode(longer))


def _first_scan(content: bytes) -> int:
    """Where compressed data begin, behind the segments; one of those may hold a picture of its own."""
    place = 2
    while True:
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + max(2, int.from_bytes(content[place + 2 : place + 4]))
            if marker == _SCAN:
                return place


def _check_end(stream: io.BufferedReader, size: int, header: _PictureHeader) -> None:
    """Refuse a picture whose end is not there, before it is decoded."""
    stream.seek(max(0, size - _END_BYTES))
    end = stream.read()
    if (_PNG_END if header.is_png else _JPEG_END) not in end:
        if not any(end):
            raise Refused(
                "zero_filled", "ends in zeros: reserved by the writer, never written; copy it again"
            )
        raise Refused("truncated", f"is truncated: its end is not within {size} bytes; copy it again")


def _pixels(path: Path, header: _PictureHeader) -> NDArray[Any]:
    """The picture as grey values, shape (y, x)."""
    with read_errors.opened(path, FORMAT) as (stream, size):
        most = _BESIDES_BYTES + 2 * header.raw_bytes
        if size > most:
            raise Refused(
                "not_a_micrograph", f"has {size / 1e6:.0f} MB, too much for its picture; save it again"
            )
        content = stream.read(most)
        pixels: NDArray[Any] = (imagecodecs.png_decode if header.is_png else imagecodecs.jpeg_decode)(content)
        if not header.is_png and not _is_whole(content, pixels):
            raise Refused(
                "truncated", f"is truncated: a part of its picture is not in its {size} bytes; copy it again"
            )
    if pixels.shape[:2] != header.shape:
        raise read_errors.damaged(FORMAT, f"its picture has {pixels.shape[1]} x {pixels.shape[0]} px")
    if pixels.ndim == 2:
        return pixels
    colours = pixels[..., :1] if pixels.shape[2] == 2 else pixels[..., :3]
    opacity = pixels[..., colours.shape[2] :]
    if not (colours == colours[..., :1]).all() or (opacity.size and opacity.min() != opacity.max()):
        raise Refused(
            "not_grey",
            "holds colour, or an opacity that varies; save it as greyscale (ImageJ: Image > Type)",
        )
    return np.ascontiguousarray(colours[..., 0])
