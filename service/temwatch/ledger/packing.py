"""Masks and regions as compact bytes: eight pixels a byte, then zlib."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from temwatch.domain import Level, Mask, Region

BOX_COLUMNS = "bbox_x_px, bbox_y_px, bbox_width_px, bbox_height_px"
"""Of every table that keeps regions, in the order in which `unpack_regions` takes a box."""

_LEVEL = 1  # higher levels take ten times as long and save a tenth of the size


def pack_mask(mask: Mask) -> bytes:
    """Bits of a mask, row by row without padding between rows, compressed."""
    return zlib.compress(np.packbits(mask, axis=None).tobytes(), _LEVEL)


def unpack_mask(packed: bytes, shape: tuple[int, int]) -> Mask:
    """The mask of `pack_mask`; `shape` is (height, width) in px."""
    return _bits(zlib.decompress(packed), 0, shape)


def pack_level(level: Level) -> bytes:
    """A picture of levels, compressed; almost all of it is 0 or 255."""
    return zlib.compress(np.ascontiguousarray(level).tobytes(), _LEVEL)


def unpack_level(packed: bytes, shape: tuple[int, int]) -> Level:
    """The picture of `pack_level`; `shape` is (height, width) in px."""
    return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)


def pack_regions(regions: Iterable[Region]) -> bytes:
    """Masks of regions one after the other, each beginning with a new byte, compressed together."""
    return zlib.compress(
        b"".join(np.packbits(region.mask, axis=None).tobytes() for region in regions), _LEVEL
    )


def unpack_regions(packed: bytes, boxes: Sequence[tuple[int, int, int, int, bool]]) -> list[Region]:
    """The regions of `pack_regions`; a box is (x, y, width, height) in px and whether it was separated."""
    data, start, regions = zlib.decompress(packed), 0, []
    for x, y, width, height, separated in boxes:
        mask = _bits(data, start, (height, width))
        regions.append(Region(origin_px=(y, x), mask=mask, separated=bool(separated)))
        start += (height * width + 7) // 8
    return regions


def add_recorded(connection: sqlite3.Connection) -> None:
    """Which part of a picture was recorded; earlier segmentations took all of it."""
    connection.execute("ALTER TABLE segmentations ADD COLUMN recorded BLOB")


def _bits(data: bytes, start: int, shape: tuple[int, int]) -> Mask:
    count = shape[0] * shape[1]
    octets = np.frombuffer(data, np.uint8, count=(count + 7) // 8, offset=start)
    return np.unpackbits(octets, count=count).reshape(shape).view(np.bool_)
