"""`temwatch benchmark`: measures how long each stage takes here, how true sizes are, or what is found."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from rich.console import Console
from rich.table import Table

from temwatch import compiled_code
from temwatch.analysis import segmentation
from temwatch.commands import terminal
from temwatch.config import SegmentationSettings
from temwatch.domain import Segmenter, Stage
from temwatch.errors import StartError, UsageError

if TYPE_CHECKING:
    from temwatch.benchmark import BenchmarkReport, MicrographCost

_PARTICLES, _REPEAT = 2000, 5


def run(arguments: argparse.Namespace) -> int:
    """Print tables, or JSON."""
    compiled_code.keep_in(compiled_code.user_folder())
    if arguments.accuracy and arguments.detection:
        raise UsageError("--accuracy, --detection: only one of them")
    if arguments.accuracy or arguments.detection:
        return _against_truth(arguments)
    if arguments.gpu:
        return _gpu(arguments)
    if arguments.picture:
        raise UsageError("--picture: needs --accuracy or --detection, too")
    from temwatch import benchmark  # loads numba

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with Console(stderr=True).status("") as status:
        report = benchmark.run(
            size_px=arguments.size or 2048,
            particles=arguments.particles or _PARTICLES,
            repeat=arguments.repeat or _REPEAT,
            others=() if arguments.size else benchmark.FURTHER_FIELDS,
            tell=status.update,
        )
    if arguments.json:
        json.dump(asdict(report), sys.stdout, indent=2)
        print()  # noqa: T201
        return 0
    console = Console(highlight=False)
    machine = report.machine
    console.print(f"{machine.processor}, {machine.cores} cores", soft_wrap=True)
    console.print(", ".join(f"{name} {number}" for name, number in machine.versions.items()), soft_wrap=True)
    console.print(f"warm-up (compiled kernels): {report.warm_up_seconds:.2f} s")
    console.print(_stages(report))
    console.print("ratio: CPU seconds / those of label and regionprops_table on the same mask\n")
    console.print(_end_to_end(report))
    one = report.sequence
    console.print(
        f"\nsequence: {one.frames} frames of {one.size_px} px, {one.particles:.0f} particles, threshold: "
        f"{one.frames_per_second:.1f} frames/s from file to track, {1000 * one.cpu_seconds_per_frame:.1f} ms "
        f"of CPU a frame, {100 * one.share:.0f} % of what {one.cores} cores allow",
        soft_wrap=True,
    )
    console.print(_scaling(report), width=max(140, console.width))
    console.print(
        "cold: the first micrograph of a new process, imports and weights included; least: the time of "
        "the network's arithmetic alone, at the speed of a large matrix product on one core\n"
    )
    network = [case for case in report.scaling if case.network_seconds]
    if network:
        console.print(_beside_network(network, report.machine.cores, arguments.network_ms))
        console.print(
            "feeds: preparation, tiles and thresholds by the thread that has the GPU, which would do most of "
            "it; outlines: connected parts, holes, outlines and remarks by other threads; workers: read, "
            "resolve and publish\n",
            soft_wrap=True,
        )
    console.print(_limits(report))
    return 0


def _gpu(arguments: argparse.Namespace) -> int:
    """What a GPU is to reach, as a table or JSON."""
    from temwatch import benchmark  # loads numba

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with Console(stderr=True).status("") as status:
        bars = benchmark.gpu_bars(
            device=arguments.device,
            size_px=arguments.size or 2048,
            particles=arguments.particles or 500,
            repeat=arguments.repeat or 40,
            tell=status.update,
        )
    if arguments.json:
        print(json.dumps([asdict(bar) for bar in bars], indent=1))  # noqa: T201
        return 0
    table = Table()
    table.add_column("what")
    for name in ("measured", "to reach", ""):
        table.add_column(name, justify="right")
    for bar in bars:
        limit = "" if bar.to_reach is None else f"{'≥' if bar.at_least else '≤'} {bar.to_reach:.3g}"
        table.add_row(
            bar.what, f"{bar.measured:.3g}", limit, {None: "", True: "yes", False: "no"}[bar.is_reached]
        )
    Console(highlight=False).print(table)
    return 0


def _against_truth(arguments: argparse.Namespace) -> int:
    """Compare diameters, or what is found, with simulated truth, with the service's own segmenter."""
    for option in ("size", "particles"):
        if getattr(arguments, option):
            raise UsageError(f"--{option}: the cells of --accuracy and --detection have their own")
    if arguments.picture is not None:
        terminal.check_png(arguments.picture)
    try:
        segmenter = segmentation.build(SegmentationSettings())
    except StartError as error:  # no service is started here
        raise UsageError(str(error)) from None
    report = (_detection if arguments.detection else _accuracy)(segmenter, arguments.repeat or 1)
    if arguments.json:
        head = {"segmentation": segmenter.name, "model_sha256": segmenter.model_sha256}
        figures = head | {"parameters": dict(segmenter.parameters)} | report.figures
        print(json.dumps(figures, indent=1, allow_nan=False))  # noqa: T201
    else:
        console = Console(highlight=False)
        console.print(f"{segmenter.name} {segmenter.model_sha256[:12]}".rstrip())
        for table in report.tables:
            console.print(table, width=max(140, console.width))
        console.print(report.legend, soft_wrap=True)
    if arguments.picture is not None:
        try:
            report.draw(arguments.picture)
        except OSError as error:
            raise UsageError(f"--picture {arguments.picture}: {error.strerror or error}") from None
    return 0


class _Report(NamedTuple):
    figures: dict[str, Any]
    tables: tuple[Table, ...]
    legend: str
    draw: Callable[[Path], None]


def _accuracy(segmenter: Segmenter, repeat: int) -> _Report:
    from temwatch.benchmark import accuracy, accuracy_report  # loads numba

    cells = terminal.progress(accuracy.CELLS, "measuring", len(accuracy.CELLS))
    results = [accuracy.measure_cell(cell, segmenter, repeat) for cell in cells]
    return _Report(
        accuracy_report.as_json(results),
        (accuracy_report.cells_table(results), accuracy_report.groups_table(results)),
        "bias: median error of the equivalent diameter of the matched particles; edge: how far outlines "
        "lie outside the steepest edge of the picture, median",
        partial(accuracy_report.draw, results),
    )


def _detection(segmenter: Segmenter, repeat: int) -> _Report:
    from temwatch.benchmark import detection, detection_report  # loads numba

    cells = terminal.progress(detection.CELLS, "measuring", len(detection.CELLS))
    results = [detection.measure_cell(cell, segmenter, repeat) for cell in cells]
    return _Report(
        detection_report.as_json(results),
        (detection_report.cells_table(results), detection_report.limits_table(results)),
        "contrast: what a particle takes from the beam at its thickest; signal/noise: contrast times the "
        f"square root of the electrons on its area, {detection.ROSE:g} by Rose",
        partial(detection_report.draw, results),
    )


def _stages(report: BenchmarkReport) -> Table:
    table = Table(
        title=f"mask of {report.size_px} px, {report.particles} particles; one core, {report.repeat} repeats",
        title_justify="left",
    )
    table.add_column("stage")
    table.add_column("method")
    for name in ("found", "seconds", "CPU seconds", "ratio"):
        table.add_column(name, justify="right")
    for row in report.stages:
        found = "" if row.found is None else str(row.found)
        figures = (f"{row.wall_seconds:.3f}", f"{row.cpu_seconds:.3f}", f"{row.ratio:.2f}")
        table.add_row(row.stage, row.method, found, *figures)
    return table


def _scaling(report: BenchmarkReport) -> Table:
    table = Table(title="CPU seconds of one core for one micrograph", title_justify="left")
    for name in ("px", "particles", "found"):
        table.add_column(name, justify="right")
    table.add_column("segmented by")
    for name in (*Stage, "all", "cold", "least", "peak, MB", "micrographs/min"):
        table.add_column(name, justify="right")
    for case in report.scaling:
        least = report.network_limit_seconds.get(str(case.size_px))
        table.add_row(
            str(case.size_px),
            str(case.particles),
            str(case.found),
            case.segmentation,
            *(f"{case.stages[stage]:.3f}" for stage in Stage),
            f"{case.total_seconds:.2f}",
            f"{case.cold_seconds:.1f}",
            "" if least is None or case.segmentation != "deeplab" else f"{least:.2f}",
            f"{case.peak_memory_bytes / 1e6:.0f}",
            f"{60 * report.machine.cores / case.total_seconds:.1f}",
        )
    return table


def _beside_network(cases: list[MicrographCost], cores: int, network_ms: float) -> Table:
    from temwatch.benchmark import rate_with

    table = Table(title="CPU seconds of all but the network, by stage and thread", title_justify="left")
    for name in ("px", "particles", "feeds", "outlines", "workers", "record", "all"):
        table.add_column(name, justify="right")
    table.add_column(f"micrographs/s, network {network_ms:g} ms for 2048 px, {cores} cores", justify="right")
    for case in cases:
        outlines = case.stages[Stage.SEGMENT] - case.network_seconds - case.feeding_seconds
        workers = sum(case.stages[stage] for stage in (Stage.READ, Stage.RESOLVE, Stage.PUBLISH))
        network_seconds = network_ms / 1000 * (case.size_px / 2048) ** 2
        seconds = (case.feeding_seconds, outlines, workers, case.stages[Stage.RECORD])
        table.add_row(
            str(case.size_px),
            str(case.particles),
            *(f"{value:.3f}" for value in (*seconds, sum(seconds))),
            f"{rate_with(case, network_seconds, cores):.1f}",
        )
    return table


def _limits(report: BenchmarkReport) -> Table:
    table = Table(title="for comparison", title_justify="left", show_header=False)
    limits = report.limits
    table.add_row("memory copy, GB/s", f"{limits.memory_copy_bytes_per_second / 1e9:.1f}")
    table.add_row("disk, written and synced, MB/s", f"{limits.disk_write_bytes_per_second / 1e6:.0f}")
    table.add_row("read from the page cache, MB/s", f"{limits.disk_read_bytes_per_second / 1e6:.0f}")
    if limits.network_operations_per_second is not None:
        rate = limits.network_operations_per_second / 1e9
        table.add_row("arithmetic of one core, 10⁹ operations/s", f"{rate:.0f}")
    for name, seconds in report.published_seconds.items():
        table.add_row(f"ANTEMA as published, {name}, s a micrograph, below", f"{seconds:g}")
    return table


def _end_to_end(report: BenchmarkReport) -> Table:
    first = report.end_to_end[0]
    table = Table(
        title=f"end to end: dm3 of {report.size_px} px, separated by {first.separation}", title_justify="left"
    )
    table.add_column("")
    for run in report.end_to_end:
        table.add_column(f"{run.segmentation}, {run.device}", justify="right")
    for stage in Stage:
        table.add_row(f"{stage}, s", *(f"{run.stages.get(stage, 0):.2f}" for run in report.end_to_end))
    table.add_row(
        "arrival to result of one alone, s", *(f"{run.alone_seconds:.2f}" for run in report.end_to_end)
    )
    table.add_row(
        f"micrographs/min, {first.micrographs} together",
        *(f"{run.micrographs_per_minute:.1f}" for run in report.end_to_end),
    )
    table.add_row(
        "CPU seconds a micrograph", *(f"{run.cpu_seconds_per_micrograph:.2f}" for run in report.end_to_end)
    )
    table.add_row("share of the cores, %", *(f"{100 * run.share:.0f}" for run in report.end_to_end))
    table.add_row("cores idle, %", *(f"{100 * run.cores_idle:.0f}" for run in report.end_to_end))
    table.add_row("MB/s", *(f"{run.megabytes_per_second:.1f}" for run in report.end_to_end))
    return table
