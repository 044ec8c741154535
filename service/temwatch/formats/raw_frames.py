"""Frames that lie uncompressed in a file, read one at a time.

Nothing is memory-mapped: a file that shrinks under a map kills the process.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.errors import Unreadable
from temwatch.formats import read_errors


def read(
    path: Path, format_name: str, offset: int, dtype: np.dtype[Any], shape: tuple[int, int]
) -> NDArray[Any]:
    """The pixels that lie at `offset`, shape (y, x), as they are in the file.

    Raises
    ------
    InputError
        `changed` where they are no longer all there.
    """
    length = dtype.itemsize * math.prod(shape)
    with read_errors.opened(path, format_name) as (stream, size):
        if size < offset + length:
            raise changed()
        pixels = np.empty(shape, dtype)
        stream.seek(offset)
        if stream.readinto(pixels.data.cast("B")) < length:
            raise changed()
    return pixels


def changed() -> Unreadable:
    """The failure of a file that is no longer what it was when it was opened."""
    return Unreadable("changed", "changed while it was read; it is analysed again once it is complete")
