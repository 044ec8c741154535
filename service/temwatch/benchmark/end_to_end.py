"""Time from files on disk to tables and pictures, with the engine of the service."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from temwatch import operating_system, simulator
from temwatch.benchmark.arriving_file import arrival
from temwatch.benchmark.cpu_usage import cpu_seconds, idle_seconds
from temwatch.benchmark.running_engine import running_engine
from temwatch.choices import Device, SegmentationMethod
from temwatch.config import Config
from temwatch.domain import Status
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Finished
from temwatch.errors import StartError
from temwatch.ledger import open_ledger, queue
from temwatch.simulator import Simulated

_SAMPLE = "benchmark"
_TAKEN = datetime(2024, 1, 15, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd:
    """Wall-clock times from file to result with one segmenter.

    `alone_seconds` is the time from the arrival of one micrograph to its result, `stages` divides it up.
    The rates are for `micrographs` that arrive together. `share` is the CPU time of all processes over the
    CPU time that the cores have, `cores_idle` the share of the cores that nothing on the machine used.
    """

    segmentation: str
    device: str
    separation: str
    particles: int
    alone_seconds: float
    stages: dict[str, float]
    micrographs: int
    micrographs_per_minute: float
    cpu_seconds_per_micrograph: float
    share: float
    cores_idle: float
    megabytes_per_second: float


def end_to_end(
    method: SegmentationMethod, field: Simulated, micrographs: int, device: Device = "auto"
) -> EndToEnd:
    """Analyse the field as dm3 files in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="temwatch-benchmark-") as scratch:
        folder = Path(scratch, "acquisition")
        folder.mkdir()
        # one that is not counted, one that arrives alone, and those that arrive together
        paths = [write(folder, field, number) for number in range(micrographs + 2)]
        config = Config.model_validate(
            {
                "watch": {"folder": folder},
                "samples": {"count_copies": True},  # one picture, many times
                "output": {"folder": Path(scratch, "results")},
                "segmentation": {"method": method, "device": device},
            }
        )
        results, spent = _analyse_groups(config, [paths[:1], paths[1:2], paths[2:]])
        size_bytes = sum(path.stat().st_size for path in paths[2:])
    alone = results[1]
    return EndToEnd(
        segmentation=method,
        device=_device(config),
        separation=config.separation.method,
        particles=alone.particles,
        alone_seconds=alone.arrival_to_result_s,
        stages=alone.stages,
        micrographs=micrographs,
        micrographs_per_minute=60 * micrographs / spent.seconds,
        cpu_seconds_per_micrograph=spent.cpu_seconds / micrographs,
        share=spent.cpu_seconds / (spent.seconds * operating_system.usable_cores()),
        cores_idle=spent.idle_seconds / (spent.seconds * operating_system.usable_cores()),
        megabytes_per_second=size_bytes / 1e6 / spent.seconds,
    )


def write(folder: Path, field: Simulated, number: int) -> Path:
    """A dm3 file of the field; its date depends on the number, so that no file duplicates another."""
    path = folder / f"{_SAMPLE}_{number:03d}.dm3"
    simulator.write_dm(
        path,
        field.image,
        pixel_size_nm=field.pixel_size_nm,
        acquired_at=_TAKEN + timedelta(minutes=number),
        metadata=field.metadata,
    )
    return path


def _device(config: Config) -> str:
    if config.segmentation.method != "deeplab":
        return "cpu"
    from temwatch.analysis.segmentation import devices  # torch: seconds to import

    return str(devices.find(config.segmentation.device))


class _Usage(NamedTuple):
    seconds: float
    cpu_seconds: float
    idle_seconds: float


def _usage() -> _Usage:
    return _Usage(time.perf_counter(), cpu_seconds(), idle_seconds())


def _analyse_groups(config: Config, groups: Sequence[Sequence[Path]]) -> tuple[list[Finished], _Usage]:
    """Give the engine one group after the other: all results, and the time of the last group."""
    config.output.state.mkdir(parents=True)
    done: SimpleQueue[Finished] = SimpleQueue()
    results: list[Finished] = []
    began = ended = _usage()
    with (
        open_ledger(config.output.state) as ledger,
        running_engine(config, ledger, EngineHooks(on_finished=done.put)) as (engine, conductor),
    ):
        for group in groups:
            began = _usage()
            queue.add_all(ledger, (arrival(path, _SAMPLE) for path in group))
            engine.wake()
            results += [_next(done, conductor) for _ in group]
            ended = _usage()
    return results, _Usage(*(after - before for before, after in zip(began, ended, strict=True)))


def _next(done: SimpleQueue[Finished], conductor: threading.Thread) -> Finished:
    while conductor.is_alive():
        try:
            finished = done.get(timeout=1)
        except Empty:
            continue
        if finished.status is not Status.DONE:
            raise StartError(f"{finished.file.name}: {finished.status}: {finished.reason}")
        return finished
    raise StartError("the engine ended before every micrograph was analysed")
