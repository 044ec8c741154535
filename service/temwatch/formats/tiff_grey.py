"""Grey pictures in TIFF files, also where they are stored as a palette or as colour with equal channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from temwatch.errors import Refused

_GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
_COLOUR = (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
_LEAST_OF_LARGEST = 0.5  # of the area: a grey page below is a thumbnail or a label of the coloured one
_LARGEST_EXAMINED_BYTES = 64 * 1024**2


def full_size(pages: Sequence[TiffPage]) -> list[TiffPage]:
    """Pages of the micrograph, in order: those of the largest size, or grey ones nearly as large.

    JEOL writes two pages: a coloured one with a scale bar burned into it, and a grey one of the camera.
    """
    largest = max(pages, key=_area)
    if not _is_stored_grey(largest):
        grey = [page for page in pages if _is_stored_grey(page)]
        largest = max(
            [page for page in grey if _area(page) >= _LEAST_OF_LARGEST * _area(largest)] or [largest],
            key=_area,
        )
    return [page for page in pages if (page.shape, page.dtype) == (largest.shape, largest.dtype)]


def refuse_colour(tif: TiffFile, page: TiffPage) -> None:
    """Refuse what cannot be grey, or in a picture of moderate size is not.

    A larger picture is examined when it is loaded, by `grey`.

    Raises
    ------
    Refused
        not_grey.
    """
    is_colour = page.photometric in _COLOUR and page.samplesperpixel >= 3
    if page.samplesperpixel != 1 and not is_colour:
        found = f"colour ({page.samplesperpixel} samples per pixel)"
    elif (tif.imagej_metadata or {}).get("mode") in ("composite", "color"):
        found = "several channels"
    elif page.dtype is None or page.dtype.kind not in "iuf":
        found = "complex numbers" if page.dtype is not None and page.dtype.kind == "c" else "no real numbers"
    elif page.bitspersample == 1:
        found = "a 1-bit mask"
    elif is_colour:
        if page.nbytes <= _LARGEST_EXAMINED_BYTES:
            grey(page, page.asarray(maxworkers=1))
        return
    elif page.photometric == PHOTOMETRIC.PALETTE and _grey_palette(page) is not None:
        return
    elif page.photometric not in _GREY:
        found = f"colour ({getattr(page.photometric, 'name', page.photometric)})"
    else:
        return
    raise _not_grey(found)


def grey(page: TiffPage, pixels: NDArray[Any]) -> NDArray[Any]:
    """The pixels of a page as grey values, shape (y, x), with 0 for black.

    Raises
    ------
    Refused
        not_grey: the colour channels differ, or another channel (opacity) varies.
    """
    if page.photometric == PHOTOMETRIC.PALETTE:
        palette = _grey_palette(page)
        if palette is None:
            raise _not_grey("colour (PALETTE)")
        values: NDArray[np.uint16] = palette[pixels]
        return values
    if page.samplesperpixel > 1:
        is_planar = page.planarconfig == 2
        channels = pixels if is_planar else np.moveaxis(pixels, -1, 0)
        if any(not np.array_equal(channels[0], other) for other in channels[1:3]):
            raise _not_grey("colour (channels that differ)")
        if any(other.min() != other.max() for other in channels[3:]):
            raise _not_grey("a channel of opacity that varies")
        return np.ascontiguousarray(channels[0])
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        whitest = (1 << page.bitspersample) - 1 if pixels.dtype.kind == "u" else pixels.max()
        inverted: NDArray[Any] = pixels.dtype.type(whitest) - pixels
        return inverted
    return pixels


def _area(page: TiffPage) -> int:
    return int(page.imagelength * page.imagewidth)


def _is_stored_grey(page: TiffPage) -> bool:
    if page.samplesperpixel != 1 or page.bitspersample == 1:
        return False
    return page.photometric in _GREY or (
        page.photometric == PHOTOMETRIC.PALETTE and _grey_palette(page) is not None
    )


def _grey_palette(page: TiffPage) -> NDArray[np.uint16] | None:
    """Grey value of each pixel value; None where the palette is coloured, or all of one colour."""
    palette = page.colormap
    if palette is None or palette.ndim != 2 or len(palette) != 3:
        return None
    first: NDArray[np.uint16] = palette[0]
    return first if (palette == first).all() and first.min() < first.max() else None


def _not_grey(found: str) -> Refused:
    return Refused(
        "not_grey", f"holds {found}; save it as greyscale of 8, 16 or 32 bit (ImageJ: Image > Type)"
    )
