"""Files of a hundred gigabytes, nearly all of them holes that take no space on a disk."""

import os
import struct

import numpy as np
import tifffile

SIZE_BYTES = 100 * 2**30
_SCALE = {"resolution": (1e8, 1e8), "resolutionunit": "CENTIMETER"}


def _grown(path):
    os.truncate(path, SIZE_BYTES)
    return path


def longer_tiff(folder, _=None):
    """A picture of 256 px, and nothing behind it."""
    image = np.random.default_rng(1).normal(1000, 30, (256, 256)).astype(np.float32)
    tifffile.imwrite(folder / "longer.tif", image, **_SCALE)
    return _grown(folder / "longer.tif")


def longer_stack(folder, _=None):
    """The same of three frames."""
    frames = np.random.default_rng(1).normal(1000, 30, (3, 256, 256)).astype(np.float32)
    tifffile.imwrite(
        folder / "longer_stack.tif", frames, photometric="minisblack", metadata={"axes": "TYX"}, **_SCALE
    )
    return _grown(folder / "longer_stack.tif")


def zeros(folder, _=None):
    """Reserved and never written."""
    (folder / "zeros.tif").touch()
    return _grown(folder / "zeros.tif")


def zeros_dm(folder, _=None):
    """The same with the name of another format."""
    (folder / "zeros.dm4").touch()
    return _grown(folder / "zeros.dm4")


def wide(folder, _=None):
    """A BigTIFF whose one page takes all of it: 320,000 px a side, never written."""
    side = 320_000
    tags = (
        (256, 4, side),  # ImageWidth, ImageLength, BitsPerSample, Compression, Photometric
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 16, 4096),  # StripOffsets, SamplesPerPixel, RowsPerStrip, StripByteCounts
        (277, 3, 1),
        (278, 4, side),
        (279, 16, side * side),
    )
    entries = b"".join(struct.pack("<HHQQ", code, kind, 1, value) for code, kind, value in tags)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", len(tags)) + entries + bytes(8)
    (folder / "wide.tif").write_bytes(head)
    os.truncate(folder / "wide.tif", max(SIZE_BYTES, 4096 + side * side))
    return folder / "wide.tif"


KINDS = {one.__name__: one for one in (longer_tiff, longer_stack, zeros, zeros_dm, wide)}
