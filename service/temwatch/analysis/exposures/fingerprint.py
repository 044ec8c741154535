"""What is kept of a micrograph to recognise its exposure and its area later: some kilobytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.exposures import area, noise
from temwatch.domain import Image

LEAST_SIDE_PX = area.COLUMNS
"""Shortest side of an image that has a fingerprint."""

COARSE_SHAPE = (area.COLUMNS // 2, area.COLUMNS // 2)
"""Of the coarse map, of one byte a cell."""

_HEAD = struct.Struct("<5H")


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
class Fingerprint:
    """`area` is the map of a micrograph, `full` are the signs of its noise, `half` those at half its size."""

    area: area.AreaMap
    full: noise.Signs
    half: noise.Signs

    @property
    def coarse(self) -> bytes:
        """What a first search compares, of COARSE_SHAPE."""
        return area.coarse_map(self.area).tobytes()

    def pack(self) -> bytes:
        """Everything in some kilobytes."""
        shapes = (len(self.area), *self.full.shape[:2], *self.half.shape[:2])
        signs = np.concatenate([self.full.ravel(), self.half.ravel()])
        bits = np.packbits([signs > 0, signs < 0], axis=1)
        return _HEAD.pack(*shapes) + zlib.compress(self.area.tobytes() + bits.tobytes())


def unpack(packed: bytes) -> Fingerprint:
    """The fingerprint of `Fingerprint.pack`."""
    rows, *shapes = _HEAD.unpack_from(packed)
    data = np.frombuffer(zlib.decompress(packed[_HEAD.size :]), np.uint8)
    end = rows * area.COLUMNS
    full, half = ((*shapes[place : place + 2], noise.DETAILS) for place in (0, 2))
    sizes = (int(np.prod(full)), int(np.prod(half)))
    positive, negative = np.unpackbits(data[end:].reshape(2, -1), axis=1, count=sum(sizes)).view(np.int8)
    signs = positive - negative
    return Fingerprint(
        area=data[:end].view(np.int8).reshape(rows, area.COLUMNS),
        full=signs[: sizes[0]].reshape(full),
        half=signs[sizes[0] :].reshape(half),
    )


def take_fingerprint(image: Image) -> Fingerprint | None:
    """The fingerprint of a micrograph; None where it is too small to have one."""
    if min(image.shape) < LEAST_SIDE_PX:
        return None
    image = np.asarray(image)  # a large one may be a mapped file
    step = noise.grey_step(image)
    return Fingerprint(
        area=area.area_map(image),
        full=noise.noise_signs(image, step),
        half=noise.noise_signs(image, step, halved=True),
    )


def is_copy(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two micrographs are copies of one exposure, of the same size or one of half the other's."""
    return (
        noise.is_same_noise([(one.full, other.full), (one.half, other.half)])
        or noise.is_same_noise([(one.half, other.full)])
        or noise.is_same_noise([(one.full, other.half)])
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
