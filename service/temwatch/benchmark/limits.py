"""Limits of this machine: memory copy, disk, arithmetic."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_BYTES = 256 * 1024**2
_REPEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineLimits:
    """Bytes and operations per second; operations are None where there are no weights."""

    memory_copy_bytes_per_second: float
    disk_write_bytes_per_second: float
    disk_read_bytes_per_second: float
    network_operations_per_second: float | None


def limits(*, network: bool) -> MachineLimits:
    """Measure the limits; the disk is that of the temporary folder, and reading is from the page cache."""
    source, target = np.ones(_BYTES, np.uint8), np.zeros(_BYTES, np.uint8)
    copied = min(_cpu_seconds(lambda: np.copyto(target, source)) for _ in range(_REPEATS))
    with tempfile.TemporaryDirectory(prefix="temwatch-benchmark-") as scratch:
        path = Path(scratch, "block")

        def write() -> None:
            with path.open("wb", buffering=0) as stream:
                stream.write(source.data)
                os.fsync(stream.fileno())

        written, read = (min(_seconds(task) for _ in range(_REPEATS)) for task in (write, path.read_bytes))
    rate = None
    if network:
        from temwatch.analysis.segmentation import operation_count  # torch: seconds to import

        rate = operation_count.operations_per_second()
    return MachineLimits(
        memory_copy_bytes_per_second=_BYTES / copied,
        disk_write_bytes_per_second=_BYTES / written,
        disk_read_bytes_per_second=_BYTES / read,
        network_operations_per_second=rate,
    )


def _seconds(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def _cpu_seconds(task: Callable[[], object]) -> float:
    started = time.thread_time()
    task()
    return time.thread_time() - started
