"""Worker processes outlive what a terminal sends to all processes of a command."""

import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

from temwatch import operating_system
from temwatch.engine import worker_processes
from temwatch.library_internals import kill_workers

SCRIPT = """
import os, signal, threading

from temwatch import operating_system
from temwatch.engine import worker_processes
from temwatch.library_internals import kill_workers

signal.signal(signal.SIGINT, lambda *_: None)
is_started = threading.Event()

def interrupt():
    while not is_started.wait(0.01):
        os.killpg(0, signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    pool, first = worker_processes.start(1, None)
    first.result()
finally:
    is_started.set()
print(pool.submit(operating_system.usable_cores).result())
kill_workers(pool)
"""


def test_ctrl_c_while_workers_start_does_not_break_them():
    """The command ends in order, as it does later: nothing dies that it waits for."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        start_new_session=True,
    )
    assert 0 == done.returncode, done.stderr
    assert int(done.stdout) > 0


def test_a_task_for_workers_that_were_killed_meanwhile_ends_as_their_death():
    """A thread of the cluster's client may hand it over while the conductor replaces them."""
    pool, _ = worker_processes.start(1, None)
    kill_workers(pool)
    future = worker_processes.submit(pool, None, operating_system.usable_cores)
    assert isinstance(future.exception(timeout=60), BrokenProcessPool)


def test_one_worker_compiles_before_the_others_start():
    """At the first start on a machine two would compile the same code at once."""
    pool, first = worker_processes.start(8, None)
    first.result(timeout=60)
    assert 1 == len(pool._processes)
    kill_workers(pool)
