"""`temwatch analyse`: the service's engine, once over files and folders."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import structlog
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from temwatch import config as configuration
from temwatch.acquisition.arrival import arrival
from temwatch.acquisition.scan import Found, scan
from temwatch.analysis import pipeline, segmentation
from temwatch.commands import terminal
from temwatch.config import Config
from temwatch.domain import Status
from temwatch.engine.engine import Engine
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Finished
from temwatch.engine.run_mode import RunMode
from temwatch.errors import StartError, UsageError
from temwatch.formats import READERS
from temwatch.ledger import Arrival, File, Reader, folder_name, open_ledger, queue

_PATTERNS = tuple(f"*{extension}" for extension in READERS)


def run(arguments: argparse.Namespace) -> int:
    """Analyse every micrograph that is named; 1 where some were refused or failed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    config = _settings(arguments)
    found = _arrivals(arguments, config)
    try:
        config.output.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {arguments.output}: {error.strerror}") from None
    # on a cluster its workers hold the network
    build = segmentation.build_lazily if config.engine.dask else segmentation.build
    segmenter = build(config.segmentation)
    method = pipeline.describe(segmenter, config.separation)
    trouble: list[Finished] = []
    with (
        open_ledger(config.output.state) as ledger,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        queue.add_all(ledger, found)
        with ledger.reader() as reader:
            again = _again(reader, found, method.digest)
        if again:
            queue.retry(ledger, again, arguments.pixel_size)
        with ledger.reader() as reader:
            task = bar.add_task("analysing", total=reader.queue_length())

        def on_finished(finished: Finished) -> None:
            bar.advance(task)
            if finished.status in (Status.FAILED, Status.REFUSED):
                trouble.append(finished)
                name = finished.file.location
                bar.console.print(
                    f"{name}: {finished.status}: {finished.reason}", highlight=False, soft_wrap=True
                )

        def on_frames(file: File, done: int, total: int) -> None:
            bar.update(task, description=f"{file.name}: frame {done} of {total}")

        stop = threading.Event()
        try:
            engine = Engine(
                config=config,
                ledger=ledger,
                segmenter=segmenter,
                method=method,
                mode=RunMode.one_shot(),
                hooks=EngineHooks(on_finished=on_finished, on_frames=on_frames),
            )
        except StartError as error:
            raise UsageError(f"--dask: {error}") from None
        if engine.dashboard:
            bar.console.print(f"cluster: {engine.dashboard}", highlight=False, soft_wrap=True)

        def interrupt(*_: object) -> None:
            stop.set()
            engine.wake()

        previous = signal.signal(signal.SIGINT, interrupt)
        try:
            engine.run(stop)
        finally:
            signal.signal(signal.SIGINT, previous)
        if stop.is_set():
            raise KeyboardInterrupt
    samples = sorted({folder_name(item.sample) for item in found})
    with Reader(config.output.state) as reader:
        terminal.results(reader, config.output.folder, samples)
    return 1 if trouble else 0


def _again(reader: Reader, found: list[Arrival], method: str) -> list[str]:
    """Files of an earlier run that had no result then, or one by another method or pixel size."""
    asked = {str(Path(item.root, item.path)): item for item in found}
    again = []
    for sample in {folder_name(item.sample) for item in found}:
        for row in reader.micrographs(sample):
            path = str(Path(row.root, row.micrograph))
            if path in asked and (
                row.status in (Status.FAILED, Status.REFUSED)
                or (row.status is Status.DONE and row.method != method)
            ):
                again.append(path)
    return list(dict.fromkeys(again))


def _settings(arguments: argparse.Namespace) -> Config:
    """The service's settings, or the defaults, changed by the options."""
    output = arguments.output.absolute()
    base: dict[str, dict[str, object]] = {"watch": {"folder": str(output)}, "output": {"folder": str(output)}}
    if arguments.config is not None:
        base = configuration.load(arguments.config).model_dump(exclude_unset=True)
    if arguments.dask:
        base["engine"] = base.get("engine", {}) | {"dask": arguments.dask}
    size = arguments.pixel_size
    if size is not None and not (math.isfinite(size) and size > 0):
        raise UsageError(f"--pixel-size {size:g}: must be more than 0 nm")
    base["output"] = base["output"] | {"folder": output, "state_folder": None}
    if arguments.formats:
        names = tuple(name.strip() for name in arguments.formats.split(",") if name.strip())
        base["output"]["formats"] = names
    if arguments.separate:
        base["separation"] = base.get("separation", {}) | {"method": arguments.separate}
    if arguments.device:
        base["segmentation"] = base.get("segmentation", {}) | {"device": arguments.device}
    if arguments.sequence:
        base["sequences"] = base.get("sequences", {}) | {"folders": ("*", ".")}
    try:
        return Config.model_validate(base)
    except ValidationError as error:
        problem = error.errors()[0]
        option = {"separation": "--separate", "output": "--formats"}.get(str(problem["loc"][0]), "--config")
        raise UsageError(f"{option}: {problem['msg']} (found {problem['input']!r})") from None


def _arrivals(arguments: argparse.Namespace, config: Config) -> list[Arrival]:
    """Everything that the paths name; a folder is a watched root of its own, a file's root is its parent."""
    found: list[Arrival] = []
    for path in arguments.paths:
        absolute = Path(path).absolute()
        if not absolute.exists() and not absolute.is_symlink():
            raise UsageError(f"{path}: there is no such file or folder")
        patterns = config.watch.patterns if arguments.config is not None else _PATTERNS
        if absolute.is_dir() and absolute.suffix.lower() not in READERS:
            try:
                items = list(scan(absolute, patterns, skip=(config.output.folder,)))
            except OSError as error:
                raise UsageError(f"{path}: cannot be listed: {error.strerror}") from None
            if not items:
                print(f"temwatch: {path}: no micrographs in it", file=sys.stderr)  # noqa: T201
            root = absolute
        else:
            status = absolute.stat() if absolute.exists() else absolute.lstat()
            folder = absolute.is_dir()
            size, changed = (0, 0) if folder else (status.st_size, status.st_mtime_ns)
            items, root = [Found(absolute.name, size, changed)], absolute.parent
        found += (arrival(config, root, item, "startup") for item in items)
    size, sample = arguments.pixel_size, arguments.sample
    return [replace(item, pixel_size_nm=size, sample=sample or item.sample) for item in found]
