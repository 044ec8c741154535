"""Series on disk with their truth beside them: what `temwatch simulate` writes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from temwatch.errors import UsageError
from temwatch.simulator.acquisition import SERIES_START, digits, micrographs_of, taken_at
from temwatch.simulator.dm_writer import write_dm, write_dm_stack
from temwatch.simulator.evolution import INTERVAL_S, SEQUENCE, FrameTruth, expose_frames, visible_frames
from temwatch.simulator.micrograph import metadata_of
from temwatch.simulator.settings import Overlap, Settings
from temwatch.simulator.truth import Truth, save_truth

_TRACKS = ("sequence", "track", "frame", "particle", "x_nm", "y_nm", "equivalent_diameter_nm")
_EVENTS = ("sequence", "frame", "event", "track", "others")
_FRAMES = ("sequence", "frame", "elapsed_s", "particles", "drift_x_nm", "drift_y_nm")


def write_series(
    output: Path,
    *,
    micrographs: int = 10,
    frames: int | None = None,
    overlap: Overlap = "low",
    seed: int = 0,
    size_px: int = 1024,
    drift_px: float = 0.0,
    flicker: float = 0.0,
) -> Iterator[Path]:
    """Write simulated micrographs, or one stack, with the truth beside each; yield each path when complete.

    Parameters
    ----------
    output : Path
        Folder; made where missing.
    micrographs : int
        Number of dm3 files, all different, which form one sample by their names. Beside `X_01.dm3` lie
        `X_01_truth.npz` (see `temwatch.simulator.truth`) and `X_01_truth.png` (contacts white).
    frames : int, optional
        Write one dm4 stack of this number of frames instead, with the true tracks, events and drift as csv.
        Its particles do not touch until they merge.
    overlap : str
        Degree of overlap of the particles of a micrograph: low, medium or high.
    seed : int
        The same seed gives the same files.
    size_px : int
        Side of a micrograph or frame.
    drift_px, flicker : float
        Of a stack: how far the field moves from frame to frame, and the share of particles that are missing
        in each frame; see `temwatch.simulator.evolution.visible_frames`. The truth holds what can be seen.
    """
    for name, value in (("micrographs", micrographs), ("frames", frames)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, found {value}")
    if seed < 0:
        raise UsageError(f"seed must not be negative, found {seed}")
    if not 0 <= drift_px <= size_px / 4:
        raise UsageError(f"drift must be from 0 to a quarter of the field, found {drift_px:g} px")
    if not 0 <= flicker < 1:
        raise UsageError(f"flicker must be from 0 to below 1, found {flicker:g}")
    if frames is not None:
        return _write_stack(output, frames, seed, size_px, drift_px, flicker)
    return _write_micrographs(output, micrographs, overlap, seed, size_px)


def _sized(settings: Settings, size_px: int) -> Settings:
    """The same density of particles on another field."""
    particles = max(1, round(settings.particles * (size_px / settings.size_px) ** 2))
    return replace(settings, size_px=size_px, particles=particles)


def _write_micrographs(
    output: Path, micrographs: int, overlap: Overlap, seed: int, size_px: int
) -> Iterator[Path]:
    output.mkdir(parents=True, exist_ok=True)
    settings = replace(_sized(Settings(), size_px), overlap=overlap)
    for number, micrograph in enumerate(micrographs_of(settings, micrographs, seed), 1):
        stem = f"Au_{overlap}_seed{seed}_{number:0{digits(micrographs)}d}"
        save_truth(output / f"{stem}_truth.npz", micrograph)
        _picture(micrograph).save(output / f"{stem}_truth.png")
        path = output / f"{stem}.dm3"
        write_dm(
            path,
            micrograph.image,
            pixel_size_nm=micrograph.pixel_size_nm,
            acquired_at=taken_at(number),
            metadata=micrograph.metadata,
        )
        yield path


def _picture(truth: Truth) -> Picture.Image:
    grey = np.where(truth.contacts, 255, np.where(truth.mask, 128, 0))
    return Picture.fromarray(grey.astype(np.uint8))


def _write_stack(
    output: Path, frames: int, seed: int, size_px: int, drift_px: float, flicker: float
) -> Iterator[Path]:
    output.mkdir(parents=True, exist_ok=True)
    settings = _sized(SEQUENCE, size_px)
    path = output / f"Au_seed{seed}_ripening.dm4"
    life, exposure = np.random.default_rng((seed, 0)), np.random.default_rng((seed, 1))
    lives = visible_frames(settings, frames, life, drift_px=drift_px, flicker=flicker)
    exposed = expose_frames(lives, settings, exposure)
    with ExitStack() as files:
        tables = {
            name: csv.writer(
                files.enter_context(
                    (output / f"{path.stem}_{name}.csv").open("w", encoding="utf-8", newline="")
                ),
                lineterminator="\n",
            )
            for name in ("tracks", "events", "frames")
        }
        for name, columns in (("tracks", _TRACKS), ("events", _EVENTS), ("frames", _FRAMES)):
            tables[name].writerow(columns)

        def recorded() -> Iterator[NDArray[np.uint16]]:
            for moment, image in exposed:
                _record(tables, path.stem, moment)
                yield image

        write_dm_stack(
            path,
            recorded(),
            count=frames,
            interval_s=INTERVAL_S,
            pixel_size_nm=settings.pixel_size_nm,
            acquired_at=SERIES_START,
            metadata=metadata_of(settings),
        )
    yield path


def _record(tables: dict[str, Any], sequence: str, moment: FrameTruth) -> None:
    for number, particle in enumerate(moment.particles, 1):
        place = (f"{particle.x_nm:.5f}", f"{particle.y_nm:.5f}", f"{particle.equivalent_diameter_nm:.5f}")
        tables["tracks"].writerow((sequence, particle.track, moment.index, number, *place))
    for event in moment.events:
        others = ";".join(map(str, event.others))
        tables["events"].writerow((sequence, event.frame, event.event, event.track, others))
    drift = (f"{moment.drift_x_nm:.5f}", f"{moment.drift_y_nm:.5f}")
    elapsed_s = f"{moment.index * INTERVAL_S:g}"
    tables["frames"].writerow((sequence, moment.index, elapsed_s, len(moment.particles), *drift))
