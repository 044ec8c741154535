"""What is kept of a micrograph to recognise its exposure and its area later: some kilobytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.exposures import area, blocks, jpeg, noise, order
from temwatch.domain import Image

LEAST_SIDE_PX = area.COLUMNS
"""Shortest side of an image that has a fingerprint."""

COARSE_SHAPE = (area.COLUMNS // 2, area.COLUMNS // 2)
"""Of the coarse map, of one byte a cell."""

_HEAD = struct.Struct("<5H?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParameters:
    """How many of the earlier micrographs are compared in full.

    The `likely` that are most alike by their noise, and the first `likeliest` of them by their area; none
    that is less alike than `least_similarity`.
    """

    likely: int = 32
    likeliest: int = 6
    least_similarity: float = 0.1


PARAMETERS = SearchParameters()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Details:
    """What blocks of an image say: signs of noise, the order of pixels by brightness, and means."""

    signs: noise.Signs
    order: order.Order
    brightness: jpeg.Brightness


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fingerprint:
    """`area` is the map of a micrograph, `full` its details, `half` those at half its size."""

    area: area.AreaMap
    full: Details
    half: Details
    was_jpeg: bool

    @property
    def coarse(self) -> bytes:
        """What a first search compares, of COARSE_SHAPE."""
        return area.coarse_map(self.area).tobytes()

    def pack(self) -> bytes:
        """Everything in some kilobytes."""
        sizes = (self.full, self.half)
        shapes = (len(self.area), *(side for one in sizes for side in one.brightness.shape))
        signs = np.concatenate([one.signs.ravel() for one in sizes])
        bits = np.packbits([signs > 0, signs < 0], axis=1)
        numbers = np.concatenate([part.ravel() for one in sizes for part in (one.order, one.brightness)])
        data = self.area.tobytes() + numbers.astype("<u2").tobytes() + bits.tobytes()
        return _HEAD.pack(*shapes, self.was_jpeg) + zlib.compress(data)


def unpack(packed: bytes) -> Fingerprint:
    """The fingerprint of `Fingerprint.pack`."""
    rows, *sides, was_jpeg = _HEAD.unpack_from(packed)
    data = np.frombuffer(zlib.decompress(packed[_HEAD.size :]), np.uint8)
    end = rows * area.COLUMNS
    shapes = [tuple(sides[:2]), tuple(sides[2:])]
    counts = [int(np.prod(shape)) for shape in shapes]
    bits = end + 4 * sum(counts)
    signs = np.unpackbits(data[bits:].reshape(2, -1), axis=1, count=sum(counts) * noise.DETAILS).view(np.int8)
    parts = zip(
        shapes,
        np.split(data[end:bits].view("<u2"), [2 * counts[0]]),
        np.split(signs[0] - signs[1], [counts[0] * noise.DETAILS]),
        strict=True,
    )
    full, half = (
        Details(
            signs=own_signs.reshape(*shape, noise.DETAILS),
            order=numbers[: len(numbers) // 2].reshape(shape),
            brightness=numbers[len(numbers) // 2 :].reshape(shape),
        )
        for shape, numbers, own_signs in parts
    )
    return Fingerprint(
        area=data[:end].view(np.int8).reshape(rows, area.COLUMNS),
        full=full,
        half=half,
        was_jpeg=was_jpeg,
    )


def take_fingerprint(image: Image) -> Fingerprint | None:
    """The fingerprint of a micrograph; None where it is too small to have one."""
    if min(image.shape) < LEAST_SIDE_PX:
        return None
    image = np.asarray(image)  # a large one may be a mapped file
    step = noise.grey_step(image)
    full, half = blocks.spread_blocks(image), blocks.spread_blocks(image, halved=True)
    return Fingerprint(
        area=area.area_map(image),
        full=_details(full, step),
        half=_details(half, step / 2),
        was_jpeg=jpeg.bears_traces(full),
    )


def _details(some: Image, step: float) -> Details:
    return Details(
        signs=noise.noise_signs(some, step),
        order=order.pixel_order(some),
        brightness=jpeg.brightness(some),
    )


def is_copy(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two micrographs are copies of one exposure, of the same size or one of half the other's."""
    return (
        order.is_same_order(one.full.order, other.full.order)
        or order.is_same_order(one.half.order, other.full.order, halved=True)
        or order.is_same_order(other.half.order, one.full.order, halved=True)
        or _is_jpeg_of(one, other)
        or _is_jpeg_of(other, one)
    )


def _is_jpeg_of(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether the other micrograph is a JPEG of the exposure, of the same size or half."""
    return other.was_jpeg and any(
        noise.is_same_noise([(mine.signs, theirs.signs) for mine, theirs in pairs])
        and jpeg.is_same_brightness(pairs[0][0].brightness, other.full.brightness, halved=len(pairs) == 1)
        for pairs in ([(one.full, other.full), (one.half, other.half)], [(one.half, other.full)])
    )


def find_kin(
    fingerprint: Fingerprint, coarse: NDArray[np.int8], load: Callable[[int], Fingerprint]
) -> tuple[int | None, int | None]:
    """Look for a micrograph's kin among earlier ones.

    Parameters
    ----------
    fingerprint : Fingerprint
        Of the micrograph.
    coarse : int8, (N, *COARSE_SHAPE)
        Coarse maps of the earlier ones.
    load : callable
        `load(place)` gives the whole fingerprint of an earlier one.

    Returns
    -------
    copy, repeat
        Place of a copy of the exposure; where there is none, of another exposure of its area.
    """
    alike = area.similarity(np.frombuffer(fingerprint.coarse, np.int8).reshape(COARSE_SHAPE), coarse)
    likely = np.argsort(-alike, kind="stable")[: PARAMETERS.likely]
    candidates = [
        (int(place), load(int(place))) for place in likely if alike[place] >= PARAMETERS.least_similarity
    ]
    copy = next((place for place, other in candidates if is_copy(fingerprint, other)), None)
    if copy is not None:
        return copy, None
    likeliest = candidates[: PARAMETERS.likeliest]
    repeat = (place for place, other in likeliest if area.is_same_area(fingerprint.area, other.area))
    return None, next(repeat, None)
