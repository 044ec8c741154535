"""Worker processes: a file that crashes its worker takes nothing else with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, forkserver, resource_tracker
from typing import ParamSpec, TypeVar

from temwatch.choices import SeparationMethod

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


def start(workers: int, method: SeparationMethod | None) -> tuple[ProcessPoolExecutor, Future[int]]:
    """Up to `workers` processes, and the future of the first, which has then compiled the code of `method`.

    The others start when there is work for them and find the code compiled. All are forked from a clean
    server process: forking the daemon, with its threads and torch, is unsafe.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["temwatch.engine.tasks"])
    _start_server()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(method,))
    # processes start with the first task, which is not to be a micrograph
    return pool, pool.submit(usable_cores)


def _start_server() -> None:
    """Start the server process where there is none; Ctrl-C, which the terminal sends to it too, is blocked.

    By itself it ignores Ctrl-C only once it has loaded what its workers need, and would die before.
    """
    resource_tracker.ensure_running()  # unblocks SIGINT when it starts, so it comes first
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()  # inherits what this thread blocks
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def submit(
    pool: ProcessPoolExecutor,
    task: Callable[_Arguments, _Result],
    *arguments: _Arguments.args,
    **named: _Arguments.kwargs,
) -> Future[_Result]:
    """Have a worker do something; where the pool has lost its workers, the future carries that."""
    try:
        return pool.submit(task, *arguments, **named)
    except RuntimeError as error:  # one has died, or another thread has just killed them all
        failed: Future[_Result] = Future()
        failed.set_exception(BrokenProcessPool(str(error)))
        return failed


def usable_cores() -> int:
    """Cores that this process may use; a container or a systemd unit may allow fewer than there are."""
    return len(os.sched_getaffinity(0))


def _begin(method: SeparationMethod | None) -> None:
    """First in a worker: leave signals to the daemon, die with it, compile before the first micrograph."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if method is not None:
        from temwatch.engine.tasks import warm_up

        warm_up(method)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
