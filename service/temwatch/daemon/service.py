"""The composition root: builds every part from the configuration, wires them, and ends them in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

import temwatch
from temwatch import formats, health
from temwatch.acquisition import intake, rules
from temwatch.acquisition.arrival import add_found
from temwatch.acquisition.scan import FoundFile, Skipped
from temwatch.analysis import pipeline, segmentation
from temwatch.config import Config, SegmentationSettings
from temwatch.daemon import device, logs, news, supervision
from temwatch.daemon.holder_logs import HolderLogs
from temwatch.daemon.hook import Hook
from temwatch.daemon.outbox import Outbox, read_targets
from temwatch.daemon.output_probe import OutputProbe
from temwatch.domain import Segmenter, Status
from temwatch.engine import decisions, requests
from temwatch.engine.engine import Engine
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Finished
from temwatch.engine.run_mode import RunMode
from temwatch.errors import Refused, StartError
from temwatch.ledger import Ledger, counters, open_ledger, presence, run_settings
from temwatch.metrics import ServiceCollector, timings
from temwatch.names import as_text
from temwatch.token_file import make_token
from temwatch.web import app, server
from temwatch.web.events import Hub

log = structlog.get_logger(__name__)


def run(
    config: Config,
    *,
    build: Callable[[SegmentationSettings, Callable[[], None]], Segmenter] = segmentation.build,
    probe_every_s: float = device.EVERY_SECONDS,
    probe_deadline_s: float = device.DEADLINE_SECONDS,
) -> None:
    """Watch until SIGTERM or SIGINT; returns after everything in hand is finished or back in the ledger.

    Parameters
    ----------
    config : Config
        All settings.
    build : callable
        Builds the segmenter from its settings and a function that is called when memory runs out.
    probe_every_s, probe_deadline_s : float
        How often the segmenter's device is probed, and the time it has to answer.

    Raises
    ------
    StartError
        Weights, port, device or ledger cannot be used, or could not be any longer.
    """
    logs.set_up(config.logging)
    _make_folders(config)
    targets = read_targets(config.notify.targets_file) if config.notify.targets_file else []
    channel = server.bind(config.http)
    hub, registry = Hub(), CollectorRegistry()
    observed = timings(registry)
    with open_ledger(config.output.state) as ledger:
        run_settings.keep(ledger, config)
        if config.engine.dask:  # the workers of the cluster hold the network
            segmenter = segmentation.build_lazily(config.segmentation)
        else:
            segmenter = build(config.segmentation, lambda: counters.count(ledger, "out_of_memory"))
        method = pipeline.describe(segmenter, config.separation)
        segmenter_device = device.Device(segmenter.probe, every_s=probe_every_s, deadline_s=probe_deadline_s)
        segmenter_device.check()
        output_probe = OutputProbe(config.output.folder)
        output_probe.check()

        def on_finished(finished: Finished) -> None:
            done = finished.status is Status.DONE
            observed.observe(
                finished.stages, finished.arrival_to_result_s if done else None, finished.diameters_nm
            )
            hub.send("micrograph", _message(finished))

        def on_decided(sample: str) -> None:
            hub.send("decision", {"sample": sample})

        intake_status = intake.IntakeStatus()
        engine = Engine(
            config=config,
            ledger=ledger,
            segmenter=segmenter,
            method=method,
            mode=RunMode.service(),
            hooks=EngineHooks(
                on_finished=on_finished,
                on_decided=on_decided,
                is_source_up=lambda: health.is_folder_up(observe()) is not False,
                is_output_writable=lambda: output_probe.is_writable,
                check_output=output_probe.check,
                check_device=segmenter_device.check,
            ),
        )

        engine.status.on_picture = lambda: hub.send("picture", {})

        def observe() -> health.ServiceState:
            return health.ServiceState(
                now_s=time.monotonic(),
                intake_turned_s=intake_status.turned_s,
                engine_turned_s=engine.status.turned_s,
                is_listed=intake_status.is_listed,
                is_scanned=intake_status.is_scanned,
                pending_call_since_s=intake_status.pending_call_since_s,
                last_scan_at=intake_status.last_scan_at,
                event_overflows=intake_status.event_overflows,
                entries_skipped=dict(intake_status.entries_skipped),
                in_hand=engine.status.in_hand,
                last_finished=engine.status.last_finished,
                is_device_healthy=segmenter_device.healthy,
                is_output_writable=output_probe.is_writable,
                output_free_bytes=output_probe.free_bytes,
                workers_hung=engine.status.workers_hung,
                hanging_s=engine.status.hanging_s,
                files_in_hand=engine.status.files_in_hand,
                writing_workbook=engine.status.writing_workbook,
            )

        def vitals() -> health.Vitals:
            return health.vitals(observe())

        info = {"version": temwatch.__version__, "method": method.digest, "segmentation": segmenter.name}
        registry.register(ServiceCollector(ledger.reader, vitals, config.output.state, info))
        PlatformCollector(registry=registry)
        ProcessCollector(registry=registry)

        def decide(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
            """At once, whatever the engine is at, which publishes it afterwards."""
            decided = decisions.decide(ledger, kind, arguments, requests.ask_to_publish)
            for sample in decided.samples:
                on_decided(sample)
            engine.wake()
            return decided.answer

        try:
            make_token(config)
        except OSError as error:
            log.warning("no token, nothing can be changed over HTTP", reason=error.strerror)
        page = server.Server(
            app.build(
                config=config,
                reader=ledger.reader,
                registry=registry,
                hub=hub,
                vitals=vitals,
                decide=decide,
            ),
            channel,
        )
        rules.exclude_known(ledger, config)  # the engine publishes every sample when it starts
        watched = _intake(config, ledger, engine)
        loops: dict[str, Callable[[threading.Event, threading.Event], None]] = {
            "intake": lambda stop, wake: intake.run(watched, stop=stop, wake=wake, status=intake_status),
            "engine": lambda stop, _: engine.run(stop),
            "output": lambda stop, _: output_probe.run(stop),
            "device": lambda stop, _: segmenter_device.run(stop),
        }
        if config.sequences.log_gap_seconds:
            loops["logs"] = lambda stop, _: HolderLogs(config.sequences, ledger, engine.wake).run(stop)
        if config.hook.command:
            loops["hook"] = lambda stop, _: Hook(config.hook, ledger).run(stop)
        if targets:
            finder = news.NewsFinder(config.notify, ledger, vitals)
            messages = Outbox(targets, config.notify.pause_minutes * 60)
            loops["notify"] = lambda stop, _: news.run(finder, messages, stop)

        def on_start() -> None:
            page.start()
            log.info(
                "watching",
                folder=str(config.watch.folder),
                output=str(config.output.folder),
                page=server.address(channel),
            )

        try:
            supervision.run(loops, observe, on_start=on_start, wake_engine=engine.wake)
        finally:
            page.stop()
    log.info("stopped")


def _intake(config: Config, ledger: Ledger, engine: Engine) -> intake.Intake:
    root = config.watch.folder

    def add(found: list[FoundFile], source: str) -> list[Skipped]:
        skipped = add_found(ledger, config, root, found, source)
        engine.wake()
        return skipped

    def note_gone(paths: Collection[str]) -> Collection[str]:
        unknown = presence.note_gone(ledger, str(root), paths)
        engine.wake()
        return unknown

    def complete(path: Path) -> bool | None:
        try:
            return formats.complete(path)
        except (Refused, OSError):
            return None
        except Exception:  # a boundary, see docs/decisions/0012: such a file counts as complete when settled
            log.exception("internal error", path=str(path))
            return None

    return intake.Intake(
        settings=config.watch,
        skip=(config.output.folder, config.output.state),
        known=lambda: presence.known(ledger, str(root)),
        note_gone=note_gone,
        add=add,
        complete=complete,
    )


def _message(finished: Finished) -> dict[str, object]:
    return {
        "id": finished.micrograph_id,
        "sample": finished.file.sample,
        "micrograph": as_text(finished.file.path),
        "status": str(finished.status),
        "reason": finished.reason,
        "particles": finished.particles,
        "seconds": round(sum(finished.stages.values()), 3),
    }


def _make_folders(config: Config) -> None:
    """The folder of the ledger; results can wait where theirs is not there yet."""
    try:
        config.output.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"cannot create {config.output.state}: {error.strerror}; see [output] folder"
        ) from None
