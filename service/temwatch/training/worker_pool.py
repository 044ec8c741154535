"""Simulations in processes of their own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Made = TypeVar("Made")


def made_by_workers(
    make: Callable[[Job], Made], jobs: Iterable[Job], workers: int, chunk: int = 1
) -> Generator[Made, None, None]:
    """The results of `make` for all jobs, in their order, from `workers` processes; 0 uses this one.

    When the iteration ends early, jobs that no worker has begun are dropped.
    """
    if not workers:
        yield from map(make, jobs)
        return
    # this process has torch's threads, so forking it is unsafe; only this process reacts to Ctrl-C
    executor = ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield from executor.map(make, jobs, chunksize=chunk)
    finally:
        executor.shutdown(cancel_futures=True)
