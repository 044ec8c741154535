"""Frames of a small drifting sequence as files: Gatan's tree, numbered files, stacks."""

from datetime import UTC, datetime

import numpy as np
import tifffile

from temwatch.domain import Metadata
from temwatch.simulator.dm_writer import write_dm

PIXEL_SIZE_NM = 0.5
ACQUIRED_AT = datetime(2026, 5, 4, tzinfo=UTC)


def frame(index, *, side_px=128, blank=()):
    """Nine dark discs that drift by a pixel a frame, with noise; blank frames have none."""
    random = np.random.default_rng(index)
    image = random.normal(1000, 15, (side_px, side_px))
    if index not in blank:
        y, x = np.mgrid[:side_px, :side_px]
        for number in range(9):
            row, column = (
                22 + 32 * (number // 3) + 0.6 * (index % 20),
                22 + 32 * (number % 3) + 0.3 * (index % 20),
            )
            image[np.hypot(y - row, x - column) < 6 + number % 3] -= 400
    return image.astype(np.uint16)


def write(path, index, **options):
    """One frame as dm3 or dm4, under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{path.suffix}")
    write_dm(
        temporary,
        frame(index, **options),
        pixel_size_nm=PIXEL_SIZE_NM,
        acquired_at=ACQUIRED_AT,
        metadata=Metadata(),
    )
    temporary.replace(path)


def tree(root, rates, name="X"):
    """Path of every frame of an acquisition with so many frames in each second, in order."""
    paths = []
    for second, rate in enumerate(rates):
        folder = root / name / "Hour_00" / "Minute_00" / f"Second_{second:02d}"
        stem = f"{name}_Hour_00_Minute_00_Second_{second:02d}_Frame_"
        paths += [folder / f"{stem}{index:04d}.dm4" for index in range(rate)]
    return paths


def write_tiff(path, count, **options):
    """A multi-page TIFF without a pixel size."""
    tifffile.imwrite(
        path, np.stack([frame(index, **options) for index in range(count)]), photometric="minisblack"
    )
