"""Large pictures piece by piece: a stitched mosaic is segmented as the micrographs it was made of.

A whole mosaic would take as much more memory than a micrograph as it is larger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.segmentation import tile_grid
from temwatch.domain import Image, Segmentation, Segmenter
from temwatch.memory import is_large
from temwatch.notes import Note

PIECE_PX = 4096
"""px; edge of a piece, that of a usual camera."""

OVERLAP_PX = 512
"""px that neighbours share; each decides up to the middle, so one sees particles of half of that whole."""

_STRIDE_PX = 16  # of the network: every piece begins in the same phase

_PLANES = {"mask": 0, "contacts": 0, "level": 0, "recorded": 1, "probability": 0}
"""What a segmentation says of each pixel, and its value where a piece does not say it; the picture is kept of
the whole."""


def in_pieces(segmenter: Segmenter) -> Segmenter:
    """The same segmenter, which takes large pictures piece by piece."""

    def segment(images: Sequence[Image]) -> list[Segmentation]:
        if not any(is_large(image.shape) for image in images):
            return segmenter.segment(images)
        return [
            _stitched(segmenter.segment, image) if is_large(image.shape) else segmenter.segment([image])[0]
            for image in images
        ]

    opposite = None if segmenter.opposite is None else in_pieces(segmenter.opposite)
    return replace(segmenter, segment=segment, opposite=opposite)


def _stitched(segment: Callable[[Sequence[Image]], list[Segmentation]], image: Image) -> Segmentation:
    planes: dict[str, NDArray[Any]] = {}
    notes: list[tuple[str, ...]] = []
    distances: list[float] = []  # of a mosaic that of its strangest piece
    for rows, own_rows in _spans(image.shape[0]):
        for columns, own_columns in _spans(image.shape[1]):
            piece = np.ascontiguousarray(image[slice(*rows), slice(*columns)])
            found = segment([piece])[0]
            notes.append(found.notes)
            distances += [] if found.domain_distance is None else [found.domain_distance]
            inside = (
                slice(own_rows[0] - rows[0], own_rows[1] - rows[0]),
                slice(own_columns[0] - columns[0], own_columns[1] - columns[0]),
            )
            for name, elsewhere in _PLANES.items():
                plane = getattr(found, name)
                if plane is None:
                    continue
                if name not in planes:
                    planes[name] = np.full(image.shape, elsewhere, plane.dtype)
                planes[name][slice(*own_rows), slice(*own_columns)] = plane[inside]
    return Segmentation(
        mask=planes["mask"],
        contacts=planes.get("contacts"),
        level=planes.get("level"),
        recorded=planes.get("recorded"),
        probability=planes.get("probability"),
        notes=_together(notes),
        domain_distance=max(distances, default=None),
    )


def _spans(extent_px: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Begin and end of each piece along an axis, and of the part of it that it decides."""
    found = tile_grid.spans(extent_px, tile_px=PIECE_PX, overlap_px=OVERLAP_PX, stride_px=_STRIDE_PX)
    middles = [(after[0] + before[1]) // 2 for before, after in pairwise(found)]
    return list(zip(found, pairwise([0, *middles, extent_px]), strict=True))


def _together(notes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The notes of all pieces; a field is blank only where every piece is."""
    every = dict.fromkeys(note for each in notes for note in each)
    return tuple(note for note in every if note != Note.BLANK_FIELD or all(note in each for each in notes))
