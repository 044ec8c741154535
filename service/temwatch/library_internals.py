"""Everything here reaches behind the public interface of a library.

`VERSIONS` are the versions it was written for. pyproject.toml has the same bounds, and a test fails where a
version within them no longer works like this.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from uvicorn import Server as _UvicornServer
    from uvicorn.protocols.http.h11_impl import H11Protocol as _H11Protocol
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle
else:
    _UvicornServer = _H11Protocol = object  # only the web loads uvicorn

VERSIONS = {"uvicorn": ">=0.32,<1", "watchdog": ">=5.0,<8"}
"""Bounds of the libraries; concurrent.futures is that of Python 3.11 on."""

INOTIFY_LOGGER = "watchdog.observers.inotify_c"
"""watchdog reports a lost event only in this log."""

_COMPILER = "torch._dynamo"
_STAND_IN = "Stands in for a module that is loaded when it is needed."

_TICK_SECONDS = 1.0
_HEAD_SECONDS = 10.0  # for the first line and the headers of a request
_MOST_WAITING = (
    200  # connections without a request; each costs a file descriptor, of which a process has 1024
)


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """For the import of libraries of networks: leaves out the compiler of torch, three CPU seconds of five.

    torchvision and timm load it for a question that detectors ask and for a decorator. Asked for anything
    else it is loaded after all, as it is afterwards by whoever compiles or trains.
    """
    if _COMPILER in sys.modules:
        yield
        return
    _stand_in(_COMPILER, disable=lambda function=None, *_, **_options: function)
    _stand_in(f"{_COMPILER}.utils", is_compile_supported=lambda _device: False)
    try:
        yield
    finally:
        _remove_stand_ins()


def _stand_in(name: str, **attributes: object) -> None:
    """Put a module in the place of one that is loaded when it is asked for more than these attributes."""

    def load(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        _remove_stand_ins()
        return getattr(importlib.import_module(name), attribute)

    sys.modules[name] = module = ModuleType(name, _STAND_IN)
    vars(module).update(attributes, __path__=[], __getattr__=load)


def _remove_stand_ins() -> None:
    for name in (_COMPILER, f"{_COMPILER}.utils"):
        if name in sys.modules and sys.modules[name].__doc__ == _STAND_IN:
            del sys.modules[name]


def has_dead_worker(pool: ProcessPoolExecutor) -> bool:
    """Whether a worker of the pool has died; a submission would say so, but it might also succeed."""
    return bool(pool._broken)  # noqa: SLF001


def kill_workers(pool: ProcessPoolExecutor) -> None:
    """Kill the worker processes and cancel what has not begun; public from Python 3.14 on."""
    processes = list((pool._processes or {}).values())  # noqa: SLF001
    results = pool._result_queue  # noqa: SLF001
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    # of a worker that is killed while it sends, half a result is left: the pool's thread, for which Python
    # waits at its end, would wait for the rest as long as any writer is open, and this process has one
    if results is not None:
        results._writer.close()  # type: ignore[attr-defined]  # noqa: SLF001


def worker_pids(pool: ProcessPoolExecutor) -> list[int]:
    """Processes of the pool that were started."""
    return list(pool._processes or {})  # noqa: SLF001


def unfinished_tasks(pool: ProcessPoolExecutor) -> int:
    """Tasks that were handed over and have not ended."""
    return len(pool._pending_work_items)  # noqa: SLF001


def tells_of_lost_events(record: logging.LogRecord) -> bool:
    """Whether a record of `INOTIFY_LOGGER` says that the kernel's event queue overflowed."""
    return "events were lost" in record.getMessage()


def cut_off(send: Callable[..., object]) -> None:
    """End the connection that an ASGI `send` of uvicorn belongs to, whatever it has not sent yet."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]


class HeadDeadline(_H11Protocol):
    """For a subclass of uvicorn's protocol, which waits for the head of a request for ever; this does not.

    A subclass has its own `waiting`: connections without a request, the oldest first, each with its timer.
    """

    waiting: ClassVar[dict[HeadDeadline, asyncio.TimerHandle]]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait; where too many wait, the oldest has to go."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """The wait ends with a whole head, and begins again with the first byte of the next one."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._end_wait()
        elif self not in self.waiting:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._end_wait()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self.waiting[self] = self.loop.call_later(_HEAD_SECONDS, self._cut_off)
        if len(self.waiting) > _MOST_WAITING:
            next(iter(self.waiting))._cut_off()  # noqa: SLF001 - of this class

    def _cut_off(self) -> None:
        self._end_wait()
        self.transport.abort()

    def _end_wait(self) -> None:
        timer = self.waiting.pop(self, None)
        if timer is not None:
            timer.cancel()


class WaitingLoop(_UvicornServer):
    """For a subclass of `uvicorn.Server`, which polls its exit flag ten times a second; this waits.

    Polling is half of the load of an idle service.
    """

    _loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Serve until `end`; once a second uvicorn renews the date that its answers carry."""
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _TICK_SECONDS)

    def end(self) -> None:
        """End the loop, from another thread."""
        self.should_exit = True  # seen at the first tick where the loop has not begun
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._ended.set)
