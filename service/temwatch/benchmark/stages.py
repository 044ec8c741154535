"""Time of each stage from mask to table, compared with scikit-image on the same mask.

scikit-image labels the mask without separation and measures fewer descriptors of fewer regions. It runs in
turn with the stages, so that a slow moment of the machine affects all of them. Ratios are of CPU seconds:
they are valid on a busy machine, and a second thread would show.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from skimage.measure import label, regionprops_table

from temwatch.analysis.measurement.units import measure, smallest_area_px
from temwatch.analysis.pipeline import resolve
from temwatch.analysis.separation import SEPARATORS
from temwatch.analysis.separation.cleaning import close_small_holes, find_speckles
from temwatch.analysis.separation.clumps import filter_particles, separate_clumps
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Particle, Region

SCIKIT_IMAGE = "scikit-image"
PROPERTIES = ("area", "perimeter", "centroid", "bbox", "solidity", "feret_diameter_max")
"""What scikit-image measures; it has no minimum Feret diameter and no convexity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTiming:
    """Medians of the repeats; `found` counts regions or particles, `ratio` is to scikit-image's CPU time."""

    stage: str
    method: str
    found: int | None
    wall_seconds: float
    cpu_seconds: float
    ratio: float


def stages(mask: Mask, pixel_size_nm: float, repeat: int) -> list[StageTiming]:
    """Time every stage on the results of the stages before it; `resolve` is all of them together."""
    min_area_px = smallest_area_px(SeparationSettings(), pixel_size_nm)
    cleaned, gaps = _clean(mask, min_area_px)
    tasks: dict[tuple[str, str], Callable[[], object]] = {
        (SCIKIT_IMAGE, ""): partial(_scikit_image, mask),
        ("clean", ""): partial(_clean, mask, min_area_px),
    }
    for method in SEPARATORS:
        settings = SeparationSettings.model_validate({"method": method})
        separate = partial(_separate, cleaned, gaps, min_area_px, settings)
        tasks["separate", method] = separate
        tasks["measure", method] = partial(_measure, separate(), pixel_size_nm, settings)
        tasks["resolve", method] = partial(_resolve, mask, pixel_size_nm, settings)
    return _timed(tasks, repeat)


def _scikit_image(mask: Mask) -> list[float]:
    labels = label(mask)  # type: ignore[no-untyped-call]
    return list(regionprops_table(labels, properties=PROPERTIES)["area"])  # type: ignore[no-untyped-call]


def _clean(mask: Mask, min_area_px: int) -> tuple[Mask, Mask]:
    return close_small_holes(mask & ~find_speckles(mask, min_area_px), min_area_px)


def _separate(cleaned: Mask, gaps: Mask, min_area_px: int, settings: SeparationSettings) -> list[Region]:
    separated = separate_clumps(cleaned, gaps=gaps, contacts=None, min_area_px=min_area_px, settings=settings)
    whole, _ = filter_particles(separated.regions, cleaned.shape, min_area_px)
    return whole


def _measure(regions: list[Region], pixel_size_nm: float, settings: SeparationSettings) -> list[Particle]:
    return [measure(region, pixel_size_nm=pixel_size_nm, settings=settings) for region in regions]


def _resolve(mask: Mask, pixel_size_nm: float, settings: SeparationSettings) -> list[Particle]:
    return list(resolve(mask, pixel_size_nm=pixel_size_nm, settings=settings).particles)


def _timed(tasks: dict[tuple[str, str], Callable[[], object]], repeat: int) -> list[StageTiming]:
    results = {name: task() for name, task in tasks.items()}  # a first run that is not counted
    wall: dict[tuple[str, str], list[float]] = {name: [] for name in tasks}
    cpu: dict[tuple[str, str], list[float]] = {name: [] for name in tasks}
    for _ in range(repeat):
        for name, task in tasks.items():
            started, started_cpu = time.perf_counter(), time.process_time()
            task()
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - started_cpu)
    reference = cpu[SCIKIT_IMAGE, ""]
    return [
        StageTiming(
            stage=name[0],
            method=name[1],
            found=len(result) if isinstance(result, list) else None,
            wall_seconds=statistics.median(wall[name]),
            cpu_seconds=statistics.median(cpu[name]),
            ratio=statistics.median(own / other for own, other in zip(cpu[name], reference, strict=True)),
        )
        for name, result in results.items()
    ]
