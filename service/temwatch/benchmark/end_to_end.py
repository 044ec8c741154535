"""From files on disk to tables and pictures, by the engine of `temwatch analyse` and of the service."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temwatch import simulator
from temwatch.analysis import pipeline, segmentation
from temwatch.config import Config, SegmentationMethod
from temwatch.domain import Status
from temwatch.engine import pool
from temwatch.engine.engine import Engine
from temwatch.engine.job import Finished
from temwatch.errors import StartError
from temwatch.ledger import Arrival, open_ledger
from temwatch.simulator import Simulated

_SAMPLE = "benchmark"
_TAKEN = datetime(2024, 1, 15, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd:
    """One segmenter's way from file to result, wall clock.

    `alone_seconds` is from the arrival of one micrograph to its result, `stages` says where that time goes.
    The rates are of `micrographs` that arrive together; `cores_idle` is the share of the cores that nothing,
    nor anything else on the machine, made use of meanwhile.
    """

    segmentation: str
    device: str
    separation: str
    particles: int
    alone_seconds: float
    stages: dict[str, float]
    micrographs: int
    micrographs_per_minute: float
    cores_idle: float
    megabytes_per_second: float


def end_to_end(method: SegmentationMethod, field: Simulated, micrographs: int) -> EndToEnd:
    """Analyse the field as dm3 files in a scratch folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="temwatch-benchmark-") as scratch:
        folder = Path(scratch, "acquisition")
        folder.mkdir()
        # one that does not count, one that arrives alone, and those that arrive together
        paths = [write(folder, field, number) for number in range(micrographs + 2)]
        config = Config.model_validate(
            {
                "watch": {"folder": folder},
                "output": {"folder": Path(scratch, "results")},
                "segmentation": {"method": method},
            }
        )
        results, seconds, idle_seconds = _analysed(config, [paths[:1], paths[1:2], paths[2:]])
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
        micrographs_per_minute=60 * micrographs / seconds,
        cores_idle=idle_seconds / (seconds * pool.usable_cores()),
        megabytes_per_second=size_bytes / 1e6 / seconds,
    )


def write(folder: Path, field: Simulated, number: int) -> Path:
    """A dm3 file; the same field under another date, so that none is a duplicate of another."""
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
    from temwatch.analysis.segmentation import deeplab  # torch: seconds to import

    return str(deeplab.find_device(config.segmentation.device))


def _analysed(config: Config, groups: Sequence[Sequence[Path]]) -> tuple[list[Finished], float, float]:
    """Hand the engine one group after the other: all results, seconds that the last group took, and idle."""
    segmenter = segmentation.build(config.segmentation)
    config.output.state.mkdir(parents=True)
    done: queue.SimpleQueue[Finished] = queue.SimpleQueue()
    stop = threading.Event()
    results: list[Finished] = []
    seconds = idle_seconds = 0.0
    with open_ledger(config.output.state) as ledger:
        engine = Engine(
            config=config,
            ledger=ledger,
            segmenter=segmenter,
            method=pipeline.describe(segmenter, config.separation),
            listen=done.put,
        )
        conductor = threading.Thread(target=engine.run, args=(stop,), name="engine")
        conductor.start()
        try:
            # its workers are compiled and wait before it turns for the first time
            while not engine.pulse.beat_s and conductor.is_alive():
                time.sleep(0.01)
            for group in groups:
                started, idle = time.perf_counter(), _idle_seconds()
                ledger.add_all(_arrival(path) for path in group)
                engine.wake()
                results += [_next(done, conductor) for _ in group]
                seconds, idle_seconds = time.perf_counter() - started, _idle_seconds() - idle
        finally:
            stop.set()
            engine.wake()
            conductor.join()
    return results, seconds, idle_seconds


def _idle_seconds() -> float:
    """Seconds that the machine's cores have been idle, all together."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=6)
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def _arrival(path: Path) -> Arrival:
    status = path.stat()
    return Arrival(
        root=str(path.parent),
        path=path.name,
        sample=_SAMPLE,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        source="startup",
        detected_at=datetime.now(UTC),
    )


def _next(done: queue.SimpleQueue[Finished], conductor: threading.Thread) -> Finished:
    while conductor.is_alive():
        try:
            finished = done.get(timeout=1)
        except queue.Empty:
            continue
        if finished.status is not Status.DONE:
            raise StartError(f"{finished.file.name}: {finished.status}: {finished.reason}")
        return finished
    raise StartError("the engine ended before every micrograph was analysed")
