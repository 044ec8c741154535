"""Overlapping tiles that cover an image, and the weights that blend them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def spans(extent_px: int, *, tile_px: int, overlap_px: int, stride_px: int) -> list[tuple[int, int]]:
    """Where the tiles along one axis begin and end.

    Parameters
    ----------
    extent_px : int
        Length of the axis.
    tile_px, overlap_px : int
        Largest tile, and what neighbours share at least.
    stride_px : int
        Step of the network's coarsest features.

    Notes
    -----
    Every begin is a multiple of `stride_px`, so that the network samples each pixel in the same phase
    whatever the tiling. The tiles are as small as their number allows: little is computed twice.
    """
    if extent_px <= tile_px:
        return [(0, extent_px)]
    count = math.ceil((extent_px - overlap_px) / (tile_px - overlap_px))
    pitch = math.ceil((extent_px - overlap_px) / count / stride_px) * stride_px
    return [
        (start, min(start + pitch + overlap_px, extent_px))
        for start in range(0, extent_px - overlap_px, pitch)
    ]


def tiles(
    shape: tuple[int, int], *, tile_px: int, overlap_px: int, stride_px: int
) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the tiles of an image of `shape` (y, x), row by row; see `spans`."""
    rows, columns = (
        spans(extent, tile_px=tile_px, overlap_px=overlap_px, stride_px=stride_px) for extent in shape
    )
    return ((slice(*row), slice(*column)) for row in rows for column in columns)


def blending_weights(shape: tuple[int, int], overlap_px: int) -> NDArray[np.float32]:
    """Weight of a tile's pixels: 1 inside, falling towards its edges over the overlap, never 0."""
    rows, columns = (
        np.minimum(np.minimum(np.arange(1, extent + 1), np.arange(extent, 0, -1)) / (overlap_px + 1), 1)
        for extent in shape
    )
    return np.outer(rows, columns).astype(np.float32)
