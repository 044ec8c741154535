"""The stages' functions on one micrograph in a new process: cold, then warm.

Seconds are CPU seconds of one core. They are valid on a busy machine, and their sum is the cost of one
micrograph: no engine can exceed the rate `cores / sum`.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temwatch.analysis import pipeline, segmentation
from temwatch.analysis.appearance.picture import keeping_pictures
from temwatch.benchmark.arriving_file import arrival
from temwatch.choices import SegmentationMethod
from temwatch.config import STATE_FOLDER, SegmentationSettings, SeparationSettings
from temwatch.domain import Image, PixelSizeSource, Segmentation, Segmenter, Stage
from temwatch.engine import orders, tasks
from temwatch.ledger import open_ledger, queue, recording
from temwatch.outputs import paths, sample_folder

_SAMPLE = "benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrographCost:
    """CPU seconds of one micrograph, by stage, and of the first one of a new process, imports included.

    Of the stage segment, `network_seconds` are the network's forward, and `feeding_seconds` the rest of what
    the thread does that feeds it; both are 0 for the threshold.
    """

    size_px: int
    particles: int
    segmentation: str
    found: int
    stages: dict[str, float]
    total_seconds: float
    network_seconds: float
    feeding_seconds: float
    cold_seconds: float
    peak_memory_bytes: int


def rate_with(cost: MicrographCost, network_seconds: float, cores: int) -> float:
    """Micrographs per second that all but the network allows, beside a network that takes so long on a GPU.

    Either the thread that feeds it is the limit, which waits for the network and works for it in turn, or all
    cores together are.
    """
    rest = cost.total_seconds - cost.network_seconds
    return min(1 / (cost.feeding_seconds + network_seconds), cores / rest)


def case(path: Path, size_px: int, particles: int, method: SegmentationMethod) -> MicrographCost:
    """Measure a micrograph in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_case, path, size_px, particles, method).result()


def _case(path: Path, size_px: int, particles: int, method: SegmentationMethod) -> MicrographCost:
    segment, parts = _measured(method)
    with tempfile.TemporaryDirectory(prefix="temwatch-benchmark-") as scratch:
        _once(path, Path(scratch, "cold"), segment, method)
        cold = time.process_time()  # since the process began
        stages, found = _once(path, Path(scratch, "warm"), segment, method)
        network, feeding = parts()
    return MicrographCost(
        size_px=size_px,
        particles=particles,
        segmentation=method,
        found=found,
        stages=stages,
        total_seconds=sum(stages.values()),
        network_seconds=network,
        feeding_seconds=feeding,
        cold_seconds=cold,
        peak_memory_bytes=_peak_memory_bytes(),
    )


def _measured(
    method: SegmentationMethod,
) -> tuple[Callable[[Sequence[Image]], list[Segmentation]], Callable[[], tuple[float, float]]]:
    """A segmenter, and the seconds that the network and what feeds it took in its last call."""
    settings = SegmentationSettings(method=method, device="cpu")
    if method != "deeplab":
        return segmentation.build(settings).segment, lambda: (0.0, 0.0)
    from temwatch.analysis.segmentation.network_cost import MeasuredSegmenter  # torch: seconds to import

    measured = MeasuredSegmenter(settings)
    whole = keeping_pictures(Segmenter(name=method, segment=measured.segment))
    return whole.segment, lambda: (measured.cost.network, measured.cost.feeding)


def _peak_memory_bytes() -> int:
    """Of this process alone; what getrusage says begins with the peak of the process that started it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


def _once(
    path: Path, output: Path, segment: Callable[..., list[Segmentation]], method: SegmentationMethod
) -> tuple[dict[str, float], int]:
    """The engine's tasks, one after the other."""
    stages: dict[str, float] = {}

    def timed(stage: str, task: Callable[[], Any]) -> Any:
        started = time.process_time()
        outcome = task()
        stages[stage] = stages.get(stage, 0.0) + time.process_time() - started
        return outcome

    settings = SeparationSettings()
    named = segmentation.build_lazily(SegmentationSettings(method=method))
    with open_ledger(output / STATE_FOLDER) as ledger:
        queue.add(ledger, arrival(path, _SAMPLE))
        (file,) = queue.claim(ledger, 1, datetime.now(UTC))
        spooled = output / "spooled.dm3"
        order = orders.ReadOrder(
            source=path,
            spooled=spooled,
            copy=True,
            size_bytes=path.stat().st_size,
            pixel_size_nm=None,
            pixel_size_source=PixelSizeSource.CONFIG,
            sequence=None,
            frame=None,
        )
        (micrograph,) = timed("read", lambda: tasks.read(order)).micrographs
        (found,) = timed("segment", lambda: segment([micrograph.image]))
        resolve = orders.ResolveOrder(
            pixel_size_nm=micrograph.pixel_size_nm,
            segmentation=found,
            separation=settings,
            method=pipeline.describe(named, settings),
        )
        task = orders.AnalyseOrder(resolve=resolve, origin=orders.origin(micrograph))
        resolved = timed("resolve", lambda: tasks.analyse(task))
        folder = paths.micrograph_folder(output, _SAMPLE, file.name)
        picture = orders.PictureOrder(
            path=spooled, image=None, pixel_size_nm=micrograph.pixel_size_nm, folder=folder, name=file.name
        )
        timed("publish", lambda: tasks.draw_micrograph(picture))
        timed("record", lambda: recording.record(ledger, file.id, [resolved.packed]))
        timed("publish", lambda: sample_folder.publish_tables(ledger, output, _SAMPLE))
        timed("publish", lambda: tasks.write_artifacts(ledger.state, output, _SAMPLE, file.name))
    return {str(stage): stages[stage] for stage in Stage}, len(resolved.diameters_nm)
