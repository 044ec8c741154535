"""The engine of a service in a thread of the benchmark."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from temwatch.analysis import pipeline, segmentation
from temwatch.config import Config
from temwatch.engine.engine import Engine
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.run_mode import RunMode
from temwatch.ledger import Ledger


@contextmanager
def running_engine(
    config: Config, ledger: Ledger, hooks: EngineHooks | None = None
) -> Iterator[tuple[Engine, threading.Thread]]:
    """An engine that is ready, and its thread, which has ended where the engine failed."""
    segmenter = segmentation.build(config.segmentation)
    engine = Engine(
        config=config,
        ledger=ledger,
        segmenter=segmenter,
        method=pipeline.describe(segmenter, config.separation),
        mode=RunMode.service(),
        hooks=hooks,
    )
    stop = threading.Event()
    conductor = threading.Thread(target=engine.run, args=(stop,), name="engine")
    conductor.start()
    try:
        # the first turn comes when the workers are ready, their code compiled
        while not engine.status.turned_s and conductor.is_alive():
            time.sleep(0.01)
        yield engine, conductor
    finally:
        stop.set()
        engine.wake()
        conductor.join()
