"""Prometheus metrics.

Totals are read from the ledger at scrape time, so that they survive restarts and cannot disagree with the
data; timings are observed by the engine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from temwatch.domain import Reason, Stage
from temwatch.errors import FAILURE_CODES, REFUSAL_CODES, SKIP_CODES
from temwatch.health import Vitals
from temwatch.ledger import Reader, counters, exclusions

_STAGE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 90, 180)
_ARRIVAL_BUCKETS = (0.25, 0.5, 1, 2, 3, 5, 10, 15, 30, 60, 90, 180, 300, 600, 1800, 3600)
_DIAMETER_BUCKETS_NM = (
    0.5,
    1,
    1.5,
    2,
    2.5,
    3,
    4,
    5,
    6,
    8,
    10,
    12.5,
    15,
    20,
    25,
    30,
    40,
    50,
    75,
    100,
    200,
    500,
)

SOURCES = ("event", "rescan", "startup")
OUTCOMES = ("done", "failed", "refused", "duplicate")
HOOK_OUTCOMES = ("done", "failed")
RETRIES = ("requested", *FAILURE_CODES)


class ServiceCollector(Collector):
    """Reads the ledger and the service's vitals each time Prometheus asks."""

    def __init__(
        self,
        reader: Callable[[], Reader],
        vitals: Callable[[], Vitals],
        spool: Path,
        build: Mapping[str, str],
    ) -> None:
        self._reader = reader
        self._vitals = vitals
        self._spool = spool
        self._build = build

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the ledger."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Every metric that is not a timing."""
        vitals = self._vitals()
        with self._reader() as reader, reader.snapshot():
            totals = counters.totals(reader)
            pending, oldest = reader.queue_length(), reader.oldest_pending_at(datetime.now(UTC))
            last_success = reader.last_success_at()
            excluded = exclusions.count(reader)

        def by(name: str, *expected: str) -> dict[str, int]:
            """A total by label; a known label starts at 0, or Prometheus would miss its first increase."""
            found = {label: value for (key, label), value in totals.items() if key == name}
            return dict.fromkeys(expected, 0) | found

        def total(name: str) -> int:
            return totals.get((name, ""), 0)

        yield _gauge(
            "build_info",
            "Version and analysis method of the running service",
            {tuple(self._build.values()): 1},
            *self._build,
        )
        yield _gauge(
            "ready",
            "1 while weights are loaded, folder visible, ledger and results writable, and no worker hangs",
            vitals.ready,
        )
        yield _gauge("watch_folder_up", "1 while the watched folder can be listed", vitals.watch_folder_up)
        yield _gauge("output_writable", "1 while results can be written", vitals.output_writable)
        yield _gauge(
            "workers_hung",
            "Busy workers that do not advance, and killed ones that do not end",
            vitals.workers_hung,
        )
        yield _gauge("gpu_healthy", "1 while the device that runs the network works", vitals.gpu_healthy)
        yield _counter("files_detected", "Files found, by source", by("files_detected", *SOURCES), "source")
        yield _counter(
            "micrographs_processed",
            "Files finished, by outcome",
            by("micrographs_processed", *OUTCOMES),
            "outcome",
        )
        yield _counter(
            "micrographs_failed",
            "Files that failed or were refused, by reason",
            by("micrographs_failed", *REFUSAL_CODES, *FAILURE_CODES),
            "reason",
        )
        yield _counter("retries", "Files returned to the queue, by reason", by("retries", *RETRIES), "reason")
        yield _counter(
            "hook_runs", "Runs of the hook command, by outcome", by("hook_runs", *HOOK_OUTCOMES), "outcome"
        )
        yield _counter("particles_measured", "Particles measured", total("particles_measured"))
        yield _counter(
            "particles_rejected",
            "Regions not counted as particles, by reason",
            by("particles_rejected", *Reason),
            "reason",
        )
        yield _counter("frames_processed", "Frames of sequences analysed", total("frames_processed"))
        yield _counter("out_of_memory", "Times the device ran out of memory", total("out_of_memory"))
        yield _counter(
            "event_overflows", "Times the kernel dropped file system events", vitals.event_overflows
        )
        yield _counter(
            "intake_entries_skipped",
            "Entries of the watched folder that were not examined, by reason",
            dict.fromkeys(SKIP_CODES, 0) | dict(vitals.entries_skipped),
            "reason",
        )
        yield _gauge("queue_micrographs", "Files pending, including those being analysed", pending)
        yield _gauge("micrographs_excluded", "Micrographs and frames that somebody has excluded", excluded)
        yield _moment("oldest_pending", "Time when the oldest pending file was found", oldest)
        yield _moment("last_success", "Time when the last micrograph was analysed", last_success)
        yield _moment("last_scan", "Time when the watched folder was last scanned", vitals.last_scan_at)
        yield _space("spool", "Free space on the file system of the spool", _free_bytes(self._spool))
        yield _space("output", "Free space on the file system of the results", vitals.output_free_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """The histograms that the engine observes."""

    stage: Histogram
    arrival_to_result: Histogram
    equivalent_diameter: Histogram

    def observe(
        self, stages: Mapping[str, float], arrival_to_result_s: float | None, diameters_nm: Iterable[float]
    ) -> None:
        """Count one finished file; `arrival_to_result_s` is None where it gave no result."""
        for stage, seconds in stages.items():
            self.stage.labels(stage).observe(seconds)
        if arrival_to_result_s is not None:
            self.arrival_to_result.observe(arrival_to_result_s)
        for diameter in diameters_nm:
            self.equivalent_diameter.observe(diameter * 1e-9)


def timings(registry: CollectorRegistry) -> Timings:
    """Register the histograms; every stage is there from the start."""
    found = Timings(
        Histogram(
            "temwatch_stage_duration_seconds",
            "Time that a file spent in a stage",
            ("stage",),
            buckets=_STAGE_BUCKETS,
            registry=registry,
        ),
        Histogram(
            "temwatch_arrival_to_result_seconds",
            "Time from finding a complete file to recording its rows",
            buckets=_ARRIVAL_BUCKETS,
            registry=registry,
        ),
        Histogram(
            "temwatch_equivalent_diameter_meters",
            "Equivalent diameter of the measured particles",
            buckets=[round(edge * 1e-9, 12) for edge in _DIAMETER_BUCKETS_NM],
            registry=registry,
        ),
    )
    for stage in Stage:
        found.stage.labels(stage)
    return found


def _counter(name: str, text: str, values: Mapping[str, int] | int, label: str | None = None) -> Metric:
    family = CounterMetricFamily(f"temwatch_{name}", text, labels=[label] if label else None)
    for key, value in values.items() if isinstance(values, Mapping) else [("", values)]:
        family.add_metric([key] if label else [], value)
    return family


def _gauge(name: str, text: str, values: Mapping[tuple[str, ...], float] | float, *labels: str) -> Metric:
    family = GaugeMetricFamily(f"temwatch_{name}", text, labels=labels or None)
    for key, value in values.items() if isinstance(values, Mapping) else [((), float(values))]:
        family.add_metric(list(key), value)
    return family


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _space(name: str, text: str, free_bytes: int | None) -> Metric:
    """Free space; no sample where the file system does not say, since 0 would read as a full disk."""
    family = GaugeMetricFamily(f"temwatch_{name}_free_bytes", text)
    if free_bytes is not None:
        family.add_metric([], free_bytes)
    return family


def _moment(name: str, text: str, moment: datetime | None) -> Metric:
    """A point in time; no sample before the first one, since 0 would read as 1970."""
    family = GaugeMetricFamily(f"temwatch_{name}_timestamp_seconds", text)
    if moment is not None:
        family.add_metric([], moment.timestamp())
    return family
