"""What temwatch is to reach beside a GPU, measured in a few minutes."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from temwatch import simulator
from temwatch.benchmark.end_to_end import end_to_end
from temwatch.benchmark.frame_rate import sequence
from temwatch.benchmark.suite import field_settings
from temwatch.choices import Device
from temwatch.config import SegmentationSettings
from temwatch.domain import Image

_FRAMES_A_MICROGRAPH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A figure, what it is to reach, if anything, and whether it is at least or at most that."""

    what: str
    measured: float
    to_reach: float | None = None
    at_least: bool = False

    @property
    def is_reached(self) -> bool | None:
        """None where nothing is to be reached."""
        if self.to_reach is None:
            return None
        return self.measured >= self.to_reach if self.at_least else self.measured <= self.to_reach


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """Medians of the seconds of a segmentation, and bytes of the GPU: at most used, and free at the start."""

    network: float
    feeding: float
    used_bytes: int
    free_bytes: int


def gpu_bars(
    *,
    device: Device,
    size_px: int = 2048,
    particles: int = 500,
    repeat: int = 40,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Bar]:
    """Measure all of them; what is to be reached is meant for an H100, 16 cores and the sizes of the default.

    Parameters
    ----------
    device
        Where the network runs; a CPU shows that the measurement works.
    size_px, particles
        Of the micrograph; the large one has twice the side, a frame half of it.
    repeat
        Micrographs that arrive together.
    tell
        Called with a text before each part.
    """
    tell("simulating")
    field, large, frame = (
        simulator.simulate_micrograph(field_settings(side, count), 0)
        for side, count in (
            (size_px, particles),
            (2 * size_px, particles),
            (size_px // 2, max(1, particles // 4)),
        )
    )
    tell("timing the network and what feeds it")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        cost = pool.submit(_cost, field.image.astype(np.float32), device, max(3, repeat // 4)).result()
    tell(f"timing {repeat} micrographs of {size_px} px")
    many = end_to_end("deeplab", field, repeat, device)
    tell(f"timing a micrograph of {2 * size_px} px")
    alone = end_to_end("deeplab", large, 1, device)
    frames = _FRAMES_A_MICROGRAPH * repeat
    tell(f"timing a stack of {frames} frames")
    stack = sequence(frame, frames, "deeplab", device)
    on_cpu = cost.network if many.device == "cpu" else 0.0
    bars = [
        Bar(what=f"network, {size_px} px, s", measured=cost.network),
        Bar(
            what="thread that feeds it, without the network, s a micrograph",
            measured=cost.feeding,
            to_reach=0.010,
        ),
        Bar(
            what="CPU of all cores, without the network, s a micrograph",
            measured=many.cpu_seconds_per_micrograph - on_cpu,
            to_reach=0.35,
        ),
        Bar(
            what=f"{size_px} px, file to row, micrographs/s",
            measured=many.micrographs_per_minute / 60,
            to_reach=30,
            at_least=True,
        ),
        Bar(
            what=f"{2 * size_px} px, file to row, one alone, s",
            measured=alone.alone_seconds,
            to_reach=0.3,
        ),
        Bar(
            what=f"stack of {size_px // 2} px, file to tracks, frames/s",
            measured=stack.frames_per_second,
            to_reach=60,
            at_least=True,
        ),
    ]
    if cost.free_bytes:
        gigabytes = cost.free_bytes / 1e9
        bars.append(Bar(what="GPU memory, GB", measured=cost.used_bytes / 1e9, to_reach=gigabytes))
    return bars


def _cost(image: Image, device: Device, repeat: int) -> _Cost:
    """In a process of its own."""
    from temwatch.analysis.segmentation.network_cost import MeasuredSegmenter  # torch: seconds to import

    segmenter = MeasuredSegmenter(SegmentationSettings(method="deeplab", device=device))
    costs = []
    for _ in range(repeat + 1):
        segmenter.segment([image])
        costs.append(segmenter.cost)
    used, free = segmenter.memory_bytes()
    return _Cost(
        network=statistics.median(cost.network for cost in costs[1:]),
        feeding=statistics.median(cost.feeding for cost in costs[1:]),
        used_bytes=used,
        free_bytes=free,
    )
