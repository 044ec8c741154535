"""Processes forked from a clean server: to fork the daemon, with its threads and torch, is unsafe.

Where there is no such server, each is started anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import connection
from typing import TYPE_CHECKING

from temwatch import operating_system

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext

if sys.platform != "win32":
    from multiprocessing import forkserver, resource_tracker
    from multiprocessing.context import ForkServerContext


def context() -> ForkServerContext | SpawnContext:
    """What starts processes; their server, if there is one, runs then and has loaded what tasks need."""
    if sys.platform == "win32" or operating_system.PROCESS_START == "spawn":
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["temwatch.engine.tasks"])
    _start_server()
    return found


def _start_server() -> None:
    """Start the server process where there is none; Ctrl-C, which the terminal sends to it too, is blocked.

    By itself it ignores Ctrl-C only once it has loaded what its workers need, and would die before.
    """
    if sys.platform == "win32":
        return
    resource_tracker.ensure_running()  # unblocks SIGINT when it starts, so it comes first
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()  # inherits what this thread blocks
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def depend_on_parent() -> None:
    """First in a new process: leave signals to the daemon, and die with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
