"""One run of the benchmark: machine, simulated field, the stages on its mask, and micrographs end to end."""

from __future__ import annotations

import math
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import temwatch
from temwatch import simulator
from temwatch.analysis import pipeline
from temwatch.analysis.segmentation.weights import default_weights
from temwatch.analysis.separation import SEPARATORS
from temwatch.benchmark.end_to_end import EndToEnd, end_to_end, write
from temwatch.benchmark.frame_rate import FrameRate, sequence
from temwatch.benchmark.limits import MachineLimits, limits
from temwatch.benchmark.scaling import MicrographCost, case
from temwatch.benchmark.stages import StageTiming, stages
from temwatch.choices import SegmentationMethod
from temwatch.operating_system import usable_cores
from temwatch.simulator import Settings, Simulated

CROWDING = 0.575
"""Mean diameter over the mean distance of particles, size_px / sqrt(particles): a quarter of the field."""

PIXEL_SIZE_NM = 0.12
FURTHER_FIELDS = tuple((size, count) for size in (1024, 2048, 4096) for count in (50, 500, 5000))
PUBLISHED_SECONDS = {"without separation": 10.0, "with separation": 15.0, "high overlap": 90.0}
"""A micrograph on a Quadro RTX 5000, at most: Gumbiowski et al., Nanoscale Adv. 2023, 5, 2318."""

FRAMES_A_REPEAT = 40
PACKAGES = ("numpy", "scipy", "numba", "scikit-image", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the figures were measured on."""

    processor: str
    cores: int
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkReport:
    """All results."""

    machine: Machine
    size_px: int
    particles: int
    repeat: int
    warm_up_seconds: float
    stages: tuple[StageTiming, ...]
    end_to_end: tuple[EndToEnd, ...]
    scaling: tuple[MicrographCost, ...]
    limits: MachineLimits
    network_limit_seconds: dict[str, float]
    published_seconds: dict[str, float]
    sequence: FrameRate


def run(
    *,
    size_px: int,
    particles: int,
    repeat: int,
    others: Sequence[tuple[int, int]] = (),
    tell: Callable[[str], object] = lambda _: None,
) -> BenchmarkReport:
    """Measure everything.

    Parameters
    ----------
    size_px
        Side of the simulated micrograph.
    particles
        Number of particles in it, with medium overlap; fewer if the field has no room for more.
    repeat
        Repeats of each stage, and micrographs that arrive together end to end.
    others
        Further sizes and numbers of particles for which the cost of each stage is measured.
    tell
        Called with a text before each part.
    """
    tell("compiling")
    started = time.perf_counter()
    pipeline.warm_up(SEPARATORS)
    warm_up_seconds = time.perf_counter() - started
    tell(f"simulating {particles} particles in {size_px} px")
    field = simulator.simulate_micrograph(field_settings(size_px, particles), 0)
    tell("timing each stage")
    timed = stages(field.mask, field.pixel_size_nm, repeat)
    ends = []
    for method in _methods():
        tell(f"timing end to end, segmented by {method}")
        ends.append(end_to_end(method, field, repeat))
    fields = {(size_px, particles): field}
    for other in others:
        tell(f"simulating {other[1]} particles in {other[0]} px")
        fields.setdefault(other, simulator.simulate_micrograph(field_settings(*other), 0))
    cases = tuple(_cases(fields, tell))
    tell("measuring the limits of the machine")
    best = limits(network=bool(default_weights()))
    network = _network_seconds((size for size, _ in fields), best.network_operations_per_second)
    tell("timing a sequence")
    frame = simulator.simulate_micrograph(field_settings(size_px // 4, max(1, particles // 16)), 1)
    return BenchmarkReport(
        machine=_machine(),
        size_px=size_px,
        particles=len(field.particles),
        repeat=repeat,
        warm_up_seconds=warm_up_seconds,
        stages=tuple(timed),
        end_to_end=tuple(ends),
        scaling=cases,
        limits=best,
        network_limit_seconds=network,
        published_seconds=PUBLISHED_SECONDS,
        sequence=sequence(frame, FRAMES_A_REPEAT * repeat),
    )


def _cases(
    fields: Mapping[tuple[int, int], Simulated], tell: Callable[[str], object]
) -> Iterator[MicrographCost]:
    with tempfile.TemporaryDirectory(prefix="temwatch-benchmark-") as scratch:
        for (size_px, particles), field in fields.items():
            path = write(Path(scratch), field, size_px + particles)
            for method in _methods():
                tell(f"timing {particles} particles in {size_px} px, cold and warm, {method}")
                yield case(path, size_px, particles, method)


def _methods() -> tuple[SegmentationMethod, ...]:
    return ("threshold", "deeplab") if default_weights() else ("threshold",)


def _network_seconds(sizes: Iterable[int], rate: float | None) -> dict[str, float]:
    """Least CPU seconds of the network for a micrograph, by its size."""
    if rate is None:
        return {}
    from temwatch.analysis.segmentation import operation_count  # torch: seconds to import

    return {str(size_px): operation_count.operations(size_px) / rate for size_px in sorted(set(sizes))}


def field_settings(size_px: int, particles: int) -> Settings:
    """The same crowding for any number of particles."""
    diameter_nm = CROWDING * size_px / math.sqrt(particles) * PIXEL_SIZE_NM
    return Settings(
        size_px=size_px,
        pixel_size_nm=PIXEL_SIZE_NM,
        particles=particles,
        families=("ellipses",),
        diameter_mean_nm=diameter_nm,
        diameter_sd_nm=0.22 * diameter_nm,
        overlap="medium",
    )


def _machine() -> Machine:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return Machine(
        processor=names[0] if names else platform.machine(),
        cores=usable_cores(),
        versions={"temwatch": temwatch.__version__, "Python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
    )
