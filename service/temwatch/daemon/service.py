"""The composition root: builds every part from the configuration, wires them, and ends them in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

import temwatch
from temwatch import formats
from temwatch.acquisition import intake
from temwatch.acquisition.arrival import arrival
from temwatch.acquisition.scan import FoundFile
from temwatch.analysis import pipeline, segmentation
from temwatch.config import Config, SegmentationSettings
from temwatch.daemon import device, logs, systemd
from temwatch.domain import Segmenter, Status
from temwatch.engine.engine import Engine
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Finished
from temwatch.engine.run_mode import RunMode
from temwatch.errors import Refused, StartError, TemwatchError
from temwatch.ledger import Ledger, counters, open_ledger, queue
from temwatch.metrics import ServiceCollector, Vitals, timings
from temwatch.web import app, server
from temwatch.web.events import Hub

log = structlog.get_logger(__name__)

_INTAKE_STALLED_SECONDS = 30.0  # a loop that has not turned for so long is stuck
_ENGINE_STALLED_SECONDS = 300.0  # rewriting the tables of a very large sample is one turn of its loop
_LEFT_BEHIND_SECONDS = 5.0  # a thread that waits for a share or a device which does not answer ends with us


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
        Builds the segmenter from its settings and from what is to be called when memory runs out.
    probe_every_s, probe_deadline_s : float
        How often the segmenter's device is probed, and the time it has to answer.

    Raises
    ------
    StartError
        Weights, port, device or ledger cannot be used, or could not be any longer.
    """
    logs.set_up(config.logging)
    _make_folders(config)
    channel = server.bind(config.http)
    hub, registry = Hub(), CollectorRegistry()
    observed = timings(registry)
    with open_ledger(config.output.state) as ledger:
        if config.engine.dask:  # the workers of the cluster hold the network
            segmenter = segmentation.build_lazily(config.segmentation)
        else:
            segmenter = build(config.segmentation, lambda: counters.count(ledger, "out_of_memory"))
        method = pipeline.describe(segmenter, config.separation)
        health = device.Device(segmenter.probe, every_s=probe_every_s, deadline_s=probe_deadline_s)
        health.check()

        def on_finished(finished: Finished) -> None:
            done = finished.status is Status.DONE
            observed.observe(
                finished.stages, finished.arrival_to_result_s if done else None, finished.diameters_nm
            )
            hub.send("micrograph", _message(finished))

        pulse = intake.Pulse()
        engine = Engine(
            config=config,
            ledger=ledger,
            segmenter=segmenter,
            method=method,
            mode=RunMode.service(),
            hooks=EngineHooks(
                on_finished=on_finished,
                is_source_up=lambda: pulse.folder_up(time.monotonic()) is not False,
                check_device=health.check,
            ),
        )

        def vitals() -> Vitals:
            up = bool(pulse.folder_up(time.monotonic()))
            return Vitals(
                ready=bool(up and health.healthy and pulse.scanned and engine.status.beat_s),
                watch_folder_up=up,
                gpu_healthy=health.healthy,
                last_scan_at=pulse.last_scan_at,
                event_overflows=pulse.event_overflows,
            )

        info = {"version": temwatch.__version__, "method": method.digest, "segmentation": segmenter.name}
        registry.register(
            ServiceCollector(ledger.reader, vitals, config.output.state, config.output.folder, info)
        )
        PlatformCollector(registry=registry)
        ProcessCollector(registry=registry)
        page = server.Server(
            app.build(config=config, reader=ledger.reader, registry=registry, hub=hub, vitals=vitals), channel
        )
        _supervise(config, ledger, engine, health, pulse, page, server.address(channel))


def _supervise(
    config: Config,
    ledger: Ledger,
    engine: Engine,
    health: device.Device,
    pulse: intake.Pulse,
    page: server.Server,
    address: str,
) -> None:
    """Run the loops until a signal, or until one ends by itself: a defect, a full disk, a sick device."""
    stop, wake = threading.Event(), threading.Event()
    broken: list[BaseException] = []

    def guarded(loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:
            broken.append(error)
            if not isinstance(error, TemwatchError):
                raise
        finally:
            stop.set()

    watched = _intake(config, ledger, engine)
    loops = {
        "intake": lambda: intake.run(watched, stop=stop, wake=wake, pulse=pulse),
        "engine": lambda: engine.run(stop),
        "device": lambda: health.run(stop),
    }
    threads = [
        threading.Thread(target=guarded, args=(loop,), name=name, daemon=True) for name, loop in loops.items()
    ]

    def end(number: int, _: object) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()
        wake.set()
        engine.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    page.start()
    for thread in threads:
        thread.start()
    log.info("watching", folder=str(config.watch.folder), output=str(config.output.folder), page=address)
    _report(stop, engine, pulse)
    systemd.notify(STOPPING="1", STATUS="finishing what is in hand")
    wake.set()
    engine.wake()
    for thread in threads:
        thread.join(None if thread.name == "engine" else _LEFT_BEHIND_SECONDS)
    page.stop()
    if broken and isinstance(broken[0], TemwatchError):
        raise broken[0]
    if broken:
        raise StartError(f"stopped by a defect or a full disk: {type(broken[0]).__name__}: {broken[0]}")
    log.info("stopped")


def _report(stop: threading.Event, engine: Engine, pulse: intake.Pulse) -> None:
    """Tell systemd that we are ready, alive, and what we do."""
    ready, said, hung = False, "", False
    beat_s = min(1.0, systemd.watchdog_seconds() or 1.0)
    while not stop.wait(beat_s if ready else 0.05):
        now_s = time.monotonic()
        up = pulse.folder_up(now_s)
        if hung != pulse.hangs(now_s):
            hung = not hung
            log.warning("the watched folder does not answer" if hung else "the watched folder answers again")
        if not ready and engine.status.beat_s and up is not None:
            ready = True
            systemd.notify(READY="1")
        status = f"{engine.status.in_hand} in hand"
        status += f", last {engine.status.last_finished}" if engine.status.last_finished else ""
        if not up:
            status = "the watched folder " + ("does not answer" if hung else "is not there")
        fields = {"STATUS": status} if status != said else {}
        said = status
        if ready and _advances(engine, pulse, now_s):
            fields["WATCHDOG"] = "1"
        if fields:
            systemd.notify(**fields)


def _advances(engine: Engine, pulse: intake.Pulse, now_s: float) -> bool:
    """Whether both loops turn; a share that does not answer is not mended by a restart."""
    waits = pulse.asked_s is not None
    intake_turns = waits or now_s - pulse.beat_s < _INTAKE_STALLED_SECONDS
    return intake_turns and now_s - engine.status.beat_s < _ENGINE_STALLED_SECONDS


def _intake(config: Config, ledger: Ledger, engine: Engine) -> intake.Intake:
    root = config.watch.folder

    def add(found: list[FoundFile], source: str) -> None:
        queue.add_all(ledger, (arrival(config, root, item, source) for item in found))
        engine.wake()

    def complete(path: Path) -> bool | None:
        try:
            return formats.complete(path)
        except (Refused, OSError):
            return None

    return intake.Intake(
        settings=config.watch,
        skip=(config.output.folder, config.output.state),
        known=lambda: queue.known(ledger, str(root)),
        add=add,
        complete=complete,
    )


def _message(finished: Finished) -> dict[str, object]:
    return {
        "id": finished.micrograph_id,
        "sample": finished.file.sample,
        "micrograph": finished.file.path,
        "status": str(finished.status),
        "reason": finished.reason,
        "particles": finished.particles,
        "seconds": round(sum(finished.stages.values()), 3),
    }


def _make_folders(config: Config) -> None:
    try:
        config.output.folder.mkdir(parents=True, exist_ok=True)
        config.output.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"cannot create {config.output.folder}: {error.strerror}; see [output] folder"
        ) from None
