"""A simulated acquisition: micrographs grow on disk piece by piece, under their final or a temporary name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from temwatch.simulator.dm_writer import encode_dm
from temwatch.simulator.micrograph import Simulated, simulate_micrograph
from temwatch.simulator.settings import Settings


def acquire(
    folder: Path,
    count: int,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    sample: str = "Au",
    pieces: int = 8,
    piece_pause_s: float = 0.05,
    pause_s: float = 0.5,
    rename: bool = False,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Path]:
    """Write `count` dm3 micrographs of one sample the way a microscope does; yield each path when complete.

    Parameters
    ----------
    folder : Path
        Acquisition folder; made where missing.
    count : int
        Number of micrographs, named `<sample>_01.dm3` and so on.
    settings : Settings, optional
        What is simulated; by default gold on carbon with little overlap, a new specimen each time.
    seed : int
        The same seed gives the same micrographs.
    sample : str
        First part of the names.
    pieces, piece_pause_s : int, float
        A file is written in this number of pieces, with this pause in s between two.
    pause_s : float
        Pause in s between two micrographs.
    rename : bool
        Write to a temporary name first and rename when complete, as some acquisition programs do.
    sleep : callable
        Called with every pause in s.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, micrograph in enumerate(micrographs_of(settings or Settings(), count, seed), 1):
        if number > 1:
            sleep(pause_s)
        final = folder / f"{sample}_{number:0{digits(count)}d}.dm3"
        content = encode_dm(
            micrograph.image,
            version=3,
            pixel_size_nm=micrograph.pixel_size_nm,
            acquired_at=datetime.now(UTC),
            metadata=micrograph.metadata,
        )
        growing = final.with_suffix(".tmp") if rename else final
        step = -(-len(content) // pieces)
        with growing.open("wb") as file:
            for start in range(0, len(content), step):
                if start:
                    sleep(piece_pause_s)
                file.write(content[start : start + step])
                file.flush()
        if rename:
            growing.replace(final)
        yield final


def micrographs_of(settings: Settings, count: int, seed: int) -> Iterator[Simulated]:
    """Fields of one sample, each new; defocus, dose and coverage vary as they do between exposures."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        yield simulate_micrograph(
            replace(
                settings,
                particles=max(1, round(settings.particles * rng.uniform(0.8, 1.2))),
                defocus_nm=settings.defocus_nm * rng.uniform(0.7, 1.3),
                dose_e_per_px=settings.dose_e_per_px * rng.uniform(0.8, 1.2),
            ),
            rng,
        )


def digits(count: int) -> int:
    """Width of the counter in a name, two at least."""
    return max(2, len(str(count)))


SERIES_START = datetime(2024, 1, 15, 9, 0, tzinfo=UTC)
"""Acquisition time of a simulated series, fixed, so that files of one seed are always the same."""


def taken_at(number: int) -> datetime:
    """Acquisition time of the micrograph of this number, 40 s after the one before."""
    return SERIES_START + timedelta(seconds=40 * number)
