"""What every reader returns: a file whose frames are loaded one by one, as float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from temwatch.domain import Image, Metadata
from temwatch.errors import Refused

MIN_SIDE_PX = 4
"""Shortest side of a micrograph: the smallest region with an inside, 2 px, and a free pixel around it.

Deliberately low: a cropped or scanned line of particles is for the analysis to judge, not for the reader.
"""

# Where less than this share of the pixels written is exactly zero, a tail of zeros is no part of the picture.
_ZEROS_IN_A_PICTURE = 0.001
# A black border of up to a quarter of the rows (drift correction, a burned-in bar) is left alone.
_BORDER = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that can be read; it is not kept open, `load` reads one frame at a time.

    Attributes
    ----------
    path : Path
    shape : (int, int)
        Rows and columns of a frame, px.
    frames : int or None
        Number of frames of a stack; None for a single micrograph.
    pixel_size_nm : float
        Edge of a pixel, nm.
    stated_pixel_size_nm : float or None
        What the file states of it; None where it states nothing and the caller's size is used.
    acquired_at : datetime or None
        UTC; of a stack, its start.
    metadata : Metadata
    interval_s : float or None
        Time between frames, s.
    load : callable
        `load(index)` reads frame `index` (0 for a single micrograph) as float32, shape (y, x). It raises
        InputError, and for a single micrograph also Refused zero_filled and no_contrast; frames of a
        stack may be blank.
    """

    path: Path
    shape: tuple[int, int]
    frames: int | None
    pixel_size_nm: float
    stated_pixel_size_nm: float | None
    acquired_at: datetime | None
    metadata: Metadata
    interval_s: float | None
    load: Callable[[int], Image]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBeside:
    """What a microscope's text beside a micrograph says of it.

    Attributes
    ----------
    pixel_size_nm : float or None
        None where it says nothing of it.
    width_px : int or None
        The width of the picture to which the size belongs; None where it does not say.
    acquired_at : datetime or None
        UTC.
    metadata : Metadata
    """

    pixel_size_nm: float | None = None
    width_px: int | None = None
    acquired_at: datetime | None = None
    metadata: Metadata


class FormatReader(Protocol):
    """What a module must have to be in READERS."""

    def open_source(self, path: Path, *, pixel_size_nm: float | None = None) -> Source:
        """Understand the file without loading its pixels; raises InputError."""

    def complete(self, path: Path) -> bool | None:
        """Whether all that the file declares is there; None where the format cannot tell."""


def check_side(shape: tuple[int, int]) -> None:
    """Refuse what is too small to hold a particle."""
    if min(shape) < MIN_SIDE_PX:
        raise Refused(
            "too_small", f"has {shape[1]} x {shape[0]} px; a side of {MIN_SIDE_PX} px is the least to measure"
        )


def check_index(index: int, frames: int | None) -> None:
    """Raise IndexError where there is no such frame; a micrograph has frame 0 alone."""
    if not 0 <= index < (frames or 1):
        raise IndexError(f"frame {index} of {frames or 1}")


def micrograph_image(pixels: NDArray[Any], *, single: bool) -> Image:
    """Pixels of any real type as a new float32 image without NaN or infinity.

    What is not finite (dead pixels of a corrected camera) takes the median of the rest.

    Raises
    ------
    Refused
        zero_filled or no_contrast, where `single`; frames of a stack may be blank.
    """
    if single and (rows := unwritten_rows(pixels)):
        raise Refused(
            "zero_filled",
            f"ends in zeros: the last {rows} of {len(pixels)} rows were never written or scanned;"
            " copy it again or crop it",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        image: Image = pixels.astype(np.float32)
    if pixels.dtype.kind == "f":
        finite = np.isfinite(image)
        if not finite.all():
            image[~finite] = np.median(image[finite]) if finite.any() else 0.0
            if single and not finite.any():
                raise Refused("no_contrast", "has no finite pixel; export it again")
    if single and image.min() == image.max():
        raise Refused("no_contrast", f"has no contrast: every pixel is {image.flat[0]:g}")
    return image


def unwritten_rows(pixels: NDArray[Any]) -> int:
    """Number of zero rows at the end that the writer never wrote; 0 where the zeros belong to the picture.

    Zeros count as unwritten where a detector's picture, in which they are all but absent, stops within a
    row or is zero from there on for more than a quarter of its rows.
    """
    if pixels[-1].any():
        return 0
    rows = np.flatnonzero(pixels.any(axis=1))
    if rows.size == 0:
        return len(pixels)
    last, width = int(rows[-1]), pixels.shape[1]
    written = int(np.flatnonzero(pixels[last])[-1]) + 1
    zeros = int(np.count_nonzero(pixels[: last + 1] == 0)) - (width - written)
    if zeros > _ZEROS_IN_A_PICTURE * (last * width + written):
        return 0
    tail = len(pixels) - 1 - last
    return tail if written < width or tail > _BORDER * len(pixels) else 0
