"""Masks and regions as compact bytes: eight pixels a byte, then zlib."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from temwatch.domain import Level, Mask, Region, Segmentation
from temwatch.kept_picture import KeptPicture
from temwatch.lone_particles import LoneParticles
from temwatch.notes import join_notes, split_notes

BOX_COLUMNS = "bbox_x_px, bbox_y_px, bbox_width_px, bbox_height_px"
"""Of every table that keeps regions, in the order in which `unpack_regions` takes a box."""

_SCALE = struct.Struct("<dd")
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


def pack_picture(picture: KeptPicture) -> bytes:
    """Offset and step, then the codes as differences along the rows, compressed."""
    differences = np.diff(picture.codes, axis=1, prepend=np.uint8(0))
    return _SCALE.pack(picture.offset, picture.step) + zlib.compress(differences.tobytes(), _LEVEL)


def unpack_picture(packed: bytes, shape: tuple[int, int]) -> KeptPicture:
    """The picture of `pack_picture`; `shape` is (height, width) in px."""
    offset, step = _SCALE.unpack_from(packed)
    differences = np.frombuffer(zlib.decompress(packed[_SCALE.size :]), np.uint8).reshape(shape)
    return KeptPicture(codes=np.cumsum(differences, axis=1, dtype=np.uint8), offset=offset, step=step)


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


SEGMENTATION_COLUMNS = (
    *("mask", "contacts", "notes", "level", "recorded", "picture", "probability", "sample_prior"),
    "(SELECT domain_distance FROM micrographs WHERE id = micrograph_id)",
)
"""Of the table of segmentations, what a segmenter found: all that is read when it is resolved again."""


def pack_segmentation(segmentation: Segmentation) -> dict[str, bytes | str | None]:
    """The columns of a segmentation by name."""
    contacts, level = segmentation.contacts, segmentation.level
    recorded, picture = segmentation.recorded, segmentation.picture
    prior = segmentation.sample_prior
    return {
        "mask": pack_mask(segmentation.mask),
        "contacts": None if contacts is None else pack_mask(contacts),
        "notes": join_notes(segmentation.notes),
        "level": None if level is None else pack_level(level),
        "recorded": None if recorded is None else pack_mask(recorded),
        "picture": None if picture is None else pack_picture(picture),
        "probability": None if segmentation.probability is None else pack_level(segmentation.probability),
        "sample_prior": None if prior is None else prior.to_json(),
    }


def unpack_segmentation(stored: Sequence[Any], shape: tuple[int, int]) -> Segmentation:
    """The segmentation in `SEGMENTATION_COLUMNS`; `shape` is (height, width) in px."""
    mask, contacts, notes, level, recorded, picture, probability, prior, distance = stored
    return Segmentation(
        mask=unpack_mask(mask, shape),
        contacts=None if contacts is None else unpack_mask(contacts, shape),
        notes=split_notes(notes),
        level=None if level is None else unpack_level(level, shape),
        recorded=None if recorded is None else unpack_mask(recorded, shape),
        picture=None if picture is None else unpack_picture(picture, shape),
        probability=None if probability is None else unpack_level(probability, shape),
        domain_distance=distance,
        sample_prior=None if prior is None else LoneParticles.from_json(prior),
    )


def add_recorded(connection: sqlite3.Connection) -> None:
    """Which part of a picture was recorded; earlier segmentations took all of it."""
    connection.execute("ALTER TABLE segmentations ADD COLUMN recorded BLOB")


def add_picture(connection: sqlite3.Connection) -> None:
    """What is kept of the picture; earlier segmentations have none, and their particles no contrast."""
    connection.execute("ALTER TABLE segmentations ADD COLUMN picture BLOB")


def add_probability(connection: sqlite3.Connection) -> None:
    """What a network gave each pixel, and how many particles were rejected because it doubted them."""
    connection.execute("ALTER TABLE segmentations ADD COLUMN probability BLOB")
    connection.execute(
        "ALTER TABLE micrographs ADD COLUMN rejected_low_confidence INTEGER NOT NULL DEFAULT 0"
    )
    connection.execute("UPDATE samples SET generation = generation + 1")


def add_domain_distance(connection: sqlite3.Connection) -> None:
    """How unlike the network's micrographs one is; not known of earlier ones."""
    connection.execute("ALTER TABLE micrographs ADD COLUMN domain_distance REAL")
    connection.execute("UPDATE samples SET generation = generation + 1")


def _bits(data: bytes, start: int, shape: tuple[int, int]) -> Mask:
    count = shape[0] * shape[1]
    octets = np.frombuffer(data, np.uint8, count=(count + 7) // 8, offset=start)
    return np.unpackbits(octets, count=count).reshape(shape).view(np.bool_)
