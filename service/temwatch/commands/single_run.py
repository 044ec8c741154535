"""Runs the service's engine once over files, with a progress bar: the part of `analyse` that loads numba."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from temwatch import signals
from temwatch.analysis import pipeline, segmentation
from temwatch.commands import terminal
from temwatch.config import Config
from temwatch.domain import Status
from temwatch.engine.engine import Engine
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Finished
from temwatch.engine.methods import Methods
from temwatch.engine.run_mode import RunMode
from temwatch.errors import StartError, UsageError
from temwatch.ledger import Arrival, File, Reader, open_ledger, queue, run_settings, sample_settings
from temwatch.names import as_text, printable


def analyse(config: Config, arrivals: list[Arrival], pixel_size_nm: float | None) -> bool:
    """Analyse what is new or has no result by this method yet; False where something failed or was refused.

    Raises
    ------
    UsageError
        The Dask scheduler does not answer.
    """
    # on a cluster its workers hold the network
    build = segmentation.build_lazily if config.engine.dask else segmentation.build
    segmenter = build(config.segmentation)
    method = pipeline.describe(segmenter, config.separation)
    trouble: list[Finished] = []
    with (
        open_ledger(config.output.state) as ledger,
        Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=terminal.console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        run_settings.keep(ledger, config)
        queue.add_all(ledger, arrivals)
        with ledger.reader() as reader:
            again = _without_result(reader, arrivals, Methods(config, segmenter, method))
        if again:
            queue.retry(ledger, again, pixel_size_nm)
        with ledger.reader() as reader:
            task = bar.add_task("analysing", total=reader.queue_length())

        def on_finished(finished: Finished) -> None:
            bar.advance(task)
            if finished.status in (Status.FAILED, Status.REFUSED):
                trouble.append(finished)
                name = printable(str(finished.file.location))
                bar.console.print(f"{name}: {finished.status}: {finished.reason}", soft_wrap=True)

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
            bar.console.print(f"cluster: {engine.dashboard}", soft_wrap=True)

        def interrupt(_: int) -> None:
            stop.set()
            engine.wake()

        previous = signals.call_on((signal.SIGINT,), interrupt)
        try:
            engine.run(stop)
        finally:
            # pressed again, it would break into the end
            signal.signal(signal.SIGINT, signal.SIG_IGN if stop.is_set() else previous[signal.SIGINT])
        if stop.is_set():
            raise KeyboardInterrupt
    return not trouble


def _without_result(reader: Reader, arrivals: list[Arrival], methods: Methods) -> list[str]:
    """Files of an earlier run that had no result then, or one by another method or pixel size."""
    asked = {as_text(str(Path(item.root, item.path))) for item in arrivals}
    again = []
    for name in {item.sample for item in arrivals}:
        sample = reader.sample_named(name) or name
        method = methods.method(sample_settings.decisive(reader.connection, sample)).digest
        for row in reader.micrographs(sample):
            path = str(Path(row.root, row.micrograph))
            if path in asked and (
                row.status in (Status.FAILED, Status.REFUSED) or (row.has_result and row.method != method)
            ):
                again.append(path)
    return list(dict.fromkeys(again))
