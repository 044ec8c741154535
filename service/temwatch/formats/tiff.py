"""TIFF files through tifffile: single micrographs and stacks, compressed or not, of any real number type."""

from __future__ import annotations

import io
import logging
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from temwatch.domain import Image
from temwatch.errors import Refused, Unreadable
from temwatch.formats import calibration, read_errors, tiff_calibration, tiff_grey, tiff_stack
from temwatch.formats.source import Source, check_index, check_side, micrograph_image

FORMAT = "TIFF"

# tifffile would log remarks on a damaged file to standard error; the refusal says it instead.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
logging.getLogger("tifffile").propagate = False

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Deflate, the best of the lossless methods, reaches at most 1032 : 1; a header that claims more is damaged.
_MOST_COMPRESSION = 1100
# Each page takes some kilobytes of memory and a fraction of a millisecond before anything else is known.
_MOST_PAGES = 2**17
_REDUCED_OR_MASK = 1 | 4  # bits of NewSubfileType: a sub-level of a pyramid, a transparency mask


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where a frame is: the offset of its directory, and its place in an ImageJ stack with one directory."""

    directory: int
    contiguous: int = 0


def open_source(path: Path, *, pixel_size_nm: float | None = None) -> Source:
    """Open a TIFF file without loading its pixels.

    The pages of one size are the frames of a stack; sub-levels of pyramids and pages of another size
    (thumbnails, labels) are left out.

    `pixel_size_nm` fills a missing pixel size; it never overrides one that the file states.

    Raises
    ------
    InputError
        Refused or Unreadable, with a code of `errors` and one line that says what would help.
    """
    with read_errors.opened(path, FORMAT) as (stream, size):
        directories = _directories(stream, size)
        stream.seek(0)
        with TiffFile(stream) as tif:
            pages = _full_size(tif, directories)
            page = pages[0]
            axes = tiff_calibration.axes_of_pages(tif, pages)
            is_diffraction = tiff_calibration.is_diffraction(tif, page)
            acquired_at = tiff_calibration.acquired_at(tif, page)
            metadata = tiff_calibration.metadata(page)
            contiguous = max(1, _imagej_images(tif)) if len(pages) == 1 else 1
            for each in pages:
                _check_extent(each, size, contiguous)
            tiff_grey.refuse_colour(tif, page)
            directories = [page.offset for page in pages]
            count = contiguous * len(directories)
            shape = (int(page.imagelength), int(page.imagewidth))
            interval_s = tiff_stack.interval_s(tif, page) if count > 1 else None
    nm, stated_nm = _pixel_size_nm(axes, is_diffraction=is_diffraction, given_nm=pixel_size_nm)
    check_side(shape)
    frames = count if count > 1 else None

    def load(index: int) -> Image:
        check_index(index, frames)
        stored = _Stored(directories[index // contiguous], index % contiguous)
        return micrograph_image(_pixels(path, stored, shape), single=frames is None)

    return Source(
        path=path,
        shape=shape,
        frames=frames,
        pixel_size_nm=nm,
        stated_pixel_size_nm=stated_nm,
        acquired_at=acquired_at,
        metadata=metadata,
        interval_s=interval_s,
        load=load,
    )


def complete(path: Path) -> bool | None:  # noqa: ARG001 - part of the protocol
    """None: a TIFF declares no length, and its directories may be written first or last."""
    return None


def _directories(stream: io.BufferedReader, size: int) -> list[int]:
    """Offsets of all directories, in order.

    tifffile's own list ends silently where the chain is broken, so that a stack would lose its end.
    """
    head = stream.read(16)
    if head[:4] not in _SIGNATURES:
        raise read_errors.not_of_format(FORMAT, head)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]
    count_format, entry_bytes, offset_format = ("Q", 20, "Q") if big else ("H", 12, "I")
    offsets: dict[int, None] = {}

    def number(place: int, form: str) -> int:
        width = struct.calcsize(order + form)
        stream.seek(place)
        block = stream.read(width)
        if len(block) < width:
            raise read_errors.truncated(size, place + width)
        return int(struct.unpack(order + form, block)[0])

    following = number(8 if big else 4, offset_format)
    while following:
        if following in offsets:
            raise Refused("not_a_micrograph", "is damaged: its pages form a circle; copy or save it again")
        if len(offsets) == _MOST_PAGES:
            raise Refused("not_a_sequence", f"has more than {_MOST_PAGES:,} pages; save it in parts")
        offsets[following] = None
        entries = following + struct.calcsize(order + count_format)
        following = number(entries + entry_bytes * number(following, count_format), offset_format)
    return list(offsets)


def _page(tif: TiffFile, offset: int) -> TiffPage:
    tif.filehandle.seek(offset)
    page = TiffPage(tif, index=0)
    # a damaged count makes a tuple of a number, and a width times a tuple is a very long one
    sizes: tuple[Any, ...] = (page.imagewidth, page.imagelength, page.samplesperpixel)
    if page.imagedepth != 1 or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError("its size in pixels is no number")
    return page


def _full_size(tif: TiffFile, offsets: list[int]) -> list[TiffPage]:
    """Pages of the micrograph, in order."""
    pages = [
        page for page in (_page(tif, offset) for offset in offsets) if not page.subfiletype & _REDUCED_OR_MASK
    ]
    if not pages:
        raise Refused("not_a_micrograph", "holds no full-size picture; save it again")
    return tiff_grey.full_size(pages)


def _pixel_size_nm(
    of_pages: list[calibration.Axes], *, is_diffraction: bool, given_nm: float | None
) -> tuple[float, float | None]:
    """The pixel size that all pages share, and what they state of it."""
    if is_diffraction:
        calibration.refuse_diffraction(of_pages[0])
    sizes = [calibration.pixel_size_nm(*axes, given_nm=given_nm) for axes in of_pages]
    if not calibration.agree([nm for nm, _ in sizes]):
        found = ", ".join(f"{nm:.6g}" for nm, _ in sizes[:4])
        raise Refused(
            "not_a_sequence",
            f"has pages of different pixel size ({found} nm); save them as single micrographs",
        )
    return sizes[0]


def _imagej_images(tif: TiffFile) -> int:
    """Number of images that an ImageJ stack of more than 4 GB keeps behind its only directory."""
    return int((tif.imagej_metadata or {}).get("images", 1)) if tif.pages.first.is_contiguous else 1


def _check_extent(page: TiffPage, size: int, frames: int) -> None:
    """Compare what a page needs with what the file has, before anything is allocated."""
    if len(page.dataoffsets) != math.prod(page.chunked) or not page.dataoffsets:
        raise Refused(
            "not_a_micrograph", "is damaged: its list of strips does not fit its size; copy it again"
        )
    if 0 in page.dataoffsets or 0 in page.databytecounts:
        raise Refused("zero_filled", "has strips that were never written; save it again")
    end = max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
    end += (frames - 1) * page.nbytes
    if end > size:
        raise read_errors.truncated(size, end)
    most = 1 if page.compression == 1 else _MOST_COMPRESSION
    area = page.imagewidth * page.imagelength * page.samplesperpixel
    areas = [(area, sum(page.databytecounts))]
    if page.is_tiled:
        areas.append((math.prod(page.chunks), max(page.databytecounts)))
    if any(area * page.bitspersample // 8 > most * held for area, held in areas):
        by = f"{page.imagewidth} x {page.imagelength} px"
        raise Refused("not_a_micrograph", f"is damaged: {by} cannot be in {size} bytes; copy it again")


def _pixels(path: Path, stored: _Stored, shape: tuple[int, int]) -> NDArray[Any]:
    """One frame, shape (y, x), with 0 for black."""
    with read_errors.opened(path, FORMAT) as (stream, _), TiffFile(stream) as tif:
        page = _page(tif, stored.directory)
        pixels: NDArray[Any]
        if stored.contiguous:
            # an ImageJ stack of more than 4 GB: the frames lie behind each other, without directories
            stream.seek(page.dataoffsets[0] + stored.contiguous * page.nbytes)
            dtype = np.dtype(page.dtype).newbyteorder(tif.byteorder)
            pixels = np.frombuffer(stream.read(page.nbytes), dtype).reshape(page.shape)
        else:
            pixels = page.asarray(maxworkers=1)
        pixels = tiff_grey.grey(page, pixels)
        if pixels.shape != shape:
            raise Unreadable("changed", "changed while it was read; it is analysed again once it is complete")
    return pixels
