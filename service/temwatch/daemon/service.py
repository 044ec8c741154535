"""The composition root: builds every part from the configuration, wires them, and ends them in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

import temwatch
from temwatch import formats
from temwatch.analysis import pipeline, segmentation
from temwatch.config import Config
from temwatch.daemon import intake, logs, systemd
from temwatch.daemon.scan import Found
from temwatch.domain import Status
from temwatch.engine import naming
from temwatch.engine.engine import Engine, Finished
from temwatch.errors import Refused, StartError
from temwatch.ledger import Arrival, Ledger, open_ledger
from temwatch.metrics import ServiceCollector, Vitals, timings
from temwatch.web import app, server
from temwatch.web.events import Hub

log = structlog.get_logger(__name__)

_STALLED_SECONDS = 30.0  # a loop that has not turned for so long is stuck, and the systemd watchdog may bark


def run(config: Config) -> None:
    """Watch until SIGTERM or SIGINT; returns after everything in hand is finished or back in the ledger.

    Raises
    ------
    StartError
        Weights, port or ledger cannot be used.
    """
    logs.set_up(config.logging)
    _make_folders(config)
    channel = server.bind(config.http)
    segmenter = segmentation.build(config.segmentation)
    method = pipeline.describe(segmenter, config.separation)
    hub, registry = Hub(), CollectorRegistry()
    observed = timings(registry)
    with open_ledger(config.output.state) as ledger:

        def listen(finished: Finished) -> None:
            done = finished.status is Status.DONE
            observed.observe(
                finished.stages, finished.arrival_to_result_s if done else None, finished.diameters_nm
            )
            hub.send("micrograph", _message(finished))

        engine = Engine(config=config, ledger=ledger, segmenter=segmenter, method=method, listen=listen)
        pulse = intake.Pulse()

        def vitals() -> Vitals:
            return Vitals(
                ready=bool(pulse.folder_up and pulse.scanned and engine.pulse.beat_s),
                watch_folder_up=bool(pulse.folder_up),
                gpu_healthy=True,
                last_scan_at=pulse.last_scan_at,
                event_overflows=0,
            )

        build = {"version": temwatch.__version__, "method": method.digest, "segmentation": segmenter.name}
        registry.register(ServiceCollector(ledger.reader, vitals, config.output.state, build))
        PlatformCollector(registry=registry)
        ProcessCollector(registry=registry)
        page = server.Server(
            app.build(config=config, reader=ledger.reader, registry=registry, hub=hub, vitals=vitals), channel
        )
        _supervise(config, ledger, engine, pulse, page, server.address(channel))


def _supervise(
    config: Config, ledger: Ledger, engine: Engine, pulse: intake.Pulse, page: server.Server, address: str
) -> None:
    """Run the loops until a signal, or until one of them ends by itself, which is a defect."""
    stop, wake = threading.Event(), threading.Event()
    broken: list[BaseException] = []

    def guarded(loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:
            broken.append(error)
            raise
        finally:
            stop.set()

    watched = _intake(config, ledger, engine)
    loops = [
        threading.Thread(
            target=guarded,
            args=(lambda: intake.run(watched, stop=stop, wake=wake, pulse=pulse),),
            name="intake",
        ),
        threading.Thread(target=guarded, args=(lambda: engine.run(stop),), name="engine"),
    ]

    def end(number: int, _: object) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()
        wake.set()
        engine.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    page.start()
    for loop in loops:
        loop.start()
    log.info("watching", folder=str(config.watch.folder), output=str(config.output.folder), page=address)
    _report(stop, engine, pulse)
    systemd.notify(STOPPING="1", STATUS="finishing what is in hand")
    wake.set()
    engine.wake()
    for loop in loops:
        loop.join()
    page.stop()
    if broken:
        raise StartError(f"stopped by a defect or a full disk: {type(broken[0]).__name__}: {broken[0]}")
    log.info("stopped")


def _report(stop: threading.Event, engine: Engine, pulse: intake.Pulse) -> None:
    """Tell systemd that we are ready, alive, and what we do."""
    ready, said = False, ""
    beat_s = min(1.0, systemd.watchdog_seconds() or 1.0)
    while not stop.wait(beat_s if ready else 0.05):
        now_s = time.monotonic()
        if not ready and engine.pulse.beat_s and pulse.folder_up is not None:
            ready = True
            systemd.notify(READY="1")
        status = f"{engine.pulse.in_flight} in hand"
        status += f", last {engine.pulse.last}" if engine.pulse.last else ""
        status = status if pulse.folder_up else "the watched folder is not there"
        fields = {"STATUS": status} if status != said else {}
        said = status
        if ready and now_s - min(pulse.beat_s, engine.pulse.beat_s) < _STALLED_SECONDS:
            fields["WATCHDOG"] = "1"
        if fields:
            systemd.notify(**fields)


def _intake(config: Config, ledger: Ledger, engine: Engine) -> intake.Intake:
    root = config.watch.folder

    def add(found: list[Found], source: str) -> None:
        ledger.add_all(arrival(config, root, item, source) for item in found)
        engine.wake()

    def complete(path: Path) -> bool | None:
        try:
            return formats.complete(path)
        except (Refused, OSError):
            return None

    return intake.Intake(
        settings=config.watch,
        skip=(config.output.folder, config.output.state),
        known=lambda: ledger.known(str(root)),
        add=add,
        complete=complete,
    )


def arrival(config: Config, root: Path, found: Found, source: str) -> Arrival:
    """What the ledger is told of a file that was found."""
    place = naming.place(found.path, root_name=root.name, samples=config.samples, sequences=config.sequences)
    return Arrival(
        root=str(root),
        path=found.path,
        sample=place.sample,
        sequence=place.sequence,
        frame=place.frame,
        size_bytes=found.size_bytes,
        mtime_ns=found.mtime_ns,
        source=source,
        detected_at=datetime.now(UTC),
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
