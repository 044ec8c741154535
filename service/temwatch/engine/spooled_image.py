"""Large pictures wait in the spool: processes map them instead of sending each other their pixels."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch import operating_system
from temwatch.domain import Image, Micrograph

_BLOCK_ROWS = 256


def put(image: Image, path: Path) -> Image:
    """Write an image to the spool and map it; OSError where the disk is full."""
    with path.open("wb") as stream:  # written, not mapped: a full disk is an error here and no signal
        for top in range(0, image.shape[0], _BLOCK_ROWS):
            stream.write(np.ascontiguousarray(image[top : top + _BLOCK_ROWS]).data)
    return _mapped(str(path), image.shape)


def remove(micrographs: tuple[Micrograph, ...]) -> None:
    """Remove those that lie in the spool; who has them mapped keeps them."""
    for micrograph in micrographs:
        if isinstance(micrograph.image, np.memmap) and micrograph.image.filename is not None:
            operating_system.remove_mapped(Path(micrograph.image.filename))


def _mapped(path: str, shape: tuple[int, ...]) -> Image:
    try:
        return np.memmap(path, np.float32, "r", shape=shape)
    except FileNotFoundError:  # its job has ended meanwhile: nobody looks at it any more
        return np.zeros((0, 0), np.float32)


def _reduce(image: np.memmap[Any, Any]) -> tuple[Callable[..., NDArray[Any]], tuple[Any, ...]]:
    """What another process is sent: the name of a whole image, the pixels of a part."""
    path = image.filename
    if path is not None and image.dtype == np.float32 and Path(path).stat().st_size == image.nbytes:
        return _mapped, (str(path), image.shape)
    return np.array, (np.asarray(image),)


ForkingPickler.register(np.memmap, _reduce)
