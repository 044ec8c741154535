"""What reaches behind the public interface of a library: each hook does its work in the version installed."""

import asyncio
import importlib.metadata
import inspect
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import uvicorn
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from system import wait_until
from temwatch import library_internals

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("library", sorted(library_internals.VERSIONS))
def test_the_bounds_are_those_of_the_project_and_hold_here(library):
    """A version beyond them is not installed before somebody has looked at the module."""
    stated = SpecifierSet(library_internals.VERSIONS[library])
    requirements = [Requirement(text) for text in PROJECT["dependencies"]]
    assert [stated] == [one.specifier for one in requirements if one.name == library]
    assert importlib.metadata.version(library) in stated


NETWORK = """
import temwatch.analysis.segmentation.network, sys, torch
assert "torch._dynamo" not in sys.modules
assert 2 == torch.compiler.disable(lambda: 2)()
assert "torch._dynamo" in sys.modules
"""
MORE = """
from temwatch.library_internals import without_compiler
with without_compiler():
    from torch._dynamo.utils import counters
import sys, torch._dynamo
assert counters is sys.modules["torch._dynamo.utils"].counters
assert not torch._dynamo.is_compiling()
"""


@pytest.mark.parametrize("code", [NETWORK, MORE], ids=["compiled later", "asked for more"])
def test_the_compiler_of_torch_is_loaded_when_it_is_needed(code):
    """Networks are built without it, which is more than half of what they load."""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pool_with_a_dead_worker_is_told_from_a_sound_one():
    """concurrent.futures has no public question for it."""
    with ProcessPoolExecutor(1) as pool:
        assert os.getpid() != pool.submit(os.getpid).result(timeout=60)
        assert not library_internals.has_dead_worker(pool)
        with pytest.raises(BrokenProcessPool):
            pool.submit(os.kill, pool.submit(os.getpid).result(timeout=60), signal.SIGKILL).result(timeout=60)
        assert library_internals.has_dead_worker(pool)


def send_much(_):
    """A result that takes a while to send."""
    return bytes(200_000_000)


@pytest.mark.parametrize("delay_s", [0.1, 0.15, 0.2, 0.25])
def test_a_worker_that_is_killed_while_it_sends_holds_nobody_up(delay_s):
    """The pool's thread, for which Python waits at its end, does not wait for the rest of the result."""
    pool = ProcessPoolExecutor(1)
    pool.submit(os.getpid).result(timeout=60)
    thread = pool._executor_manager_thread
    future = pool.submit(send_much, None)
    time.sleep(delay_s)
    library_internals.kill_workers(pool)
    thread.join(30)
    assert not thread.is_alive()
    assert future.done()


def test_killed_workers_leave_nothing_running_and_nothing_waiting():
    """What a worker does ends with it; what has not begun is cancelled."""
    pool = ProcessPoolExecutor(1)
    worker = pool.submit(os.getpid).result(timeout=60)
    begun = pool.submit(time.sleep, 600)
    others = [pool.submit(time.sleep, 600) for _ in range(4)]
    wait_until(begun.running, what="the task to begin")
    library_internals.kill_workers(pool)
    with pytest.raises(BrokenProcessPool):
        begun.result(timeout=60)
    assert others[-1].cancelled()
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), what="the end of the worker")


def test_watchdog_tells_of_lost_events_in_the_log_that_is_listened_to():
    """Its own code, fed with the kernel's record of an overflow."""
    import watchdog.observers.inotify_c as inotify

    assert library_internals.INOTIFY_LOGGER == inotify.logger.name
    handled = inspect.getsource(inotify).partition("is_queue_overflow:")[2]
    (written,) = re.findall(r'logger\.\w+\("([^"]+)', handled)[:1]
    lost, other = (
        logging.LogRecord(library_internals.INOTIFY_LOGGER, logging.WARNING, "", 0, text, (), None)
        for text in (written, "something else")
    )
    assert [True, False] == [library_internals.tells_of_lost_events(one) for one in (lost, other)]


class _Server(library_internals.WaitingLoop, uvicorn.Server):
    """As the page's server, counting its turns."""

    turns = 0

    async def on_tick(self, counter):
        self.turns += 1
        return await super().on_tick(counter)


async def _empty(_scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_uvicorn_answers_and_ends_at_once_without_polling():
    """Its loop turns about once a second instead of ten times, and is woken to end."""
    channel = socket.socket()
    channel.bind(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(_empty, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [channel]}, daemon=True)
    thread.start()

    async def ask():
        reader, writer = await asyncio.open_connection(*channel.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    wait_until(lambda: server.started, what="the server")
    assert asyncio.run(ask()).startswith(b"HTTP/1.1 204")
    before, began = server.turns, time.monotonic()
    time.sleep(2.5)
    assert server.turns - before <= 1 + (time.monotonic() - began)
    server.end()
    thread.join(timeout=60)
    assert not thread.is_alive()
