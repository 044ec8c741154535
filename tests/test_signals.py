"""Signals that ask the process to end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

PROGRAM = """
import signal, sys, threading, time
from temwatch import signals

stop = threading.Event()
signals.call_on((signal.SIGINT, signal.SIGTERM), lambda number: stop.set())
print("ready", flush=True)
ends = time.monotonic() + 3
while time.monotonic() < ends:
    stop.set()
    stop.clear()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
"""


def test_a_storm_of_signals_never_meets_a_lock_that_is_held():
    """A handler that takes the lock itself hangs; one written in Python ends in a stack that is full."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert "ready\n" == process.stdout.readline()
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.send_signal(signal.SIGTERM)
                time.sleep(0.0003)
            assert 0 == process.returncode
        finally:
            process.kill()
