"""Frame rate of a stack, from the file to the tracks, and the CPU time it takes."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from temwatch.benchmark.arriving_file import arrival
from temwatch.benchmark.cpu_usage import cpu_seconds
from temwatch.benchmark.running_engine import running_engine
from temwatch.choices import Device, SegmentationMethod
from temwatch.config import Config
from temwatch.errors import StartError
from temwatch.ledger import Ledger, open_ledger, queue
from temwatch.ledger.sequences import progress
from temwatch.operating_system import usable_cores
from temwatch.simulator import Simulated
from temwatch.simulator.dm_writer import write_dm_stack

_DRIFT_PX = 12  # the field is shifted cyclically


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRate:
    """A stack analysed by the engine, every frame tracked.

    `cpu_seconds_per_frame` counts all processes; `share` is their CPU time over the CPU time that the cores
    have.
    """

    frames: int
    size_px: int
    particles: float
    cores: int
    seconds: float
    frames_per_second: float
    cpu_seconds_per_frame: float
    share: float


def sequence(
    field: Simulated, frames: int, method: SegmentationMethod = "threshold", device: Device = "auto"
) -> FrameRate:
    """Let the field drift for this number of frames, and track its particles."""
    with tempfile.TemporaryDirectory(prefix="temwatch-benchmark-") as scratch:
        path = Path(scratch, "drift.dm4")
        write_dm_stack(
            path,
            (
                np.roll(field.image, (index % _DRIFT_PX, (index // 2) % _DRIFT_PX), (0, 1))
                for index in range(frames)
            ),
            count=frames,
            interval_s=0.04,
            pixel_size_nm=field.pixel_size_nm,
            acquired_at=datetime(2024, 1, 15, tzinfo=UTC),
            metadata=field.metadata,
        )
        config = Config.model_validate(
            {
                "watch": {"folder": scratch},
                "samples": {"count_copies": True},  # one picture, many times
                "output": {"folder": Path(scratch, "results"), "pictures": False},
                "segmentation": {"method": method, "device": device},
            }
        )
        config.output.state.mkdir(parents=True)
        with open_ledger(config.output.state) as ledger:
            seconds, spent_seconds = _run(config, ledger, path, frames)
            with ledger.reader() as reader:
                particles = reader.samples()[0].particles / frames
    cores = usable_cores()
    return FrameRate(
        frames=frames,
        size_px=field.image.shape[0],
        particles=particles,
        cores=cores,
        seconds=seconds,
        frames_per_second=frames / seconds,
        cpu_seconds_per_frame=spent_seconds / frames,
        share=spent_seconds / (cores * seconds),
    )


def _run(config: Config, ledger: Ledger, path: Path, frames: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds from the arrival of the stack to the last tracked frame."""
    with running_engine(config, ledger) as (engine, conductor):
        before, started = cpu_seconds(), time.perf_counter()
        queue.add(ledger, arrival(path, "drift"))
        engine.wake()
        while not _is_tracked(ledger, frames):
            if not conductor.is_alive():
                raise StartError("the engine ended before every frame was tracked")
            time.sleep(0.05)
        return time.perf_counter() - started, cpu_seconds() - before


def _is_tracked(ledger: Ledger, frames: int) -> bool:
    with ledger.reader() as reader:
        found = progress.sequences(reader)
    return bool(found) and found[0].through == frames - 1
