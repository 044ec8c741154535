"""Worker processes: a file that crashes its worker takes nothing else with it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import sharedctypes
from multiprocessing.sharedctypes import Synchronized
from typing import Generic, ParamSpec, TypeVar

from temwatch import clean_process, library_internals, operating_system
from temwatch.choices import SeparationMethod

_IDLE, _BUSY = 0, 1  # a number above names a file

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class WorkerPool(ProcessPoolExecutor):
    """Worker processes, each of which says in shared memory what it has in hand."""

    board: ctypes.Array[ctypes.c_longlong]  # of each worker its process and its task

    def busy(self) -> dict[int, int | None]:
        """Processes that have a task, and the file that it is about, if it is about one.

        While a task waits, those that should take it are busy too: one that is stopped may hold the queue.
        """
        pairs = zip(self.board[::2], self.board[1::2], strict=True)
        found = {pid: task - _BUSY - 1 if task > _BUSY else None for pid, task in pairs if task != _IDLE}
        if library_internals.unfinished_tasks(self) > len(found):
            found = dict.fromkeys(library_internals.worker_pids(self)) | found
        return found


def start(workers: int, method: SeparationMethod | None) -> tuple[WorkerPool, Future[int]]:
    """Up to `workers` processes, and the future of the first, which has then compiled the code of `method`.

    The others start when there is work for them and find the code compiled.
    """
    context = clean_process.context()
    board = sharedctypes.RawArray(ctypes.c_longlong, 2 * workers)
    taken = context.Value("i", 0)
    pool = WorkerPool(workers, mp_context=context, initializer=_begin, initargs=(method, board, taken))
    pool.board = board
    # processes start with the first task, which must not be a micrograph
    return pool, pool.submit(operating_system.usable_cores)


def submit(
    pool: WorkerPool,
    file_id: int | None,
    task: Callable[_Arguments, _Result],
    *arguments: _Arguments.args,
    **named: _Arguments.kwargs,
) -> Future[_Result]:
    """Have a worker do something, which may be about a file.

    Where the pool has lost its workers, the future carries that.
    """
    try:
        tag = _BUSY if file_id is None else file_id + _BUSY + 1
        return pool.submit(_Tagged(tag, task), *arguments, **named)
    except RuntimeError as error:  # one has died, or another thread has just killed them all
        failed: Future[_Result] = Future()
        failed.set_exception(BrokenProcessPool(str(error)))
        return failed


class _WorkerNote:
    """Where this worker notes what it has in hand."""

    board: ctypes.Array[ctypes.c_longlong]
    index = 0


@dataclass(frozen=True, slots=True)
class _Tagged(Generic[_Arguments, _Result]):
    """A task that notes in its worker what it is about."""

    tag: int
    task: Callable[_Arguments, _Result]

    def __call__(self, *arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        _WorkerNote.board[_WorkerNote.index + 1] = self.tag
        try:
            return self.task(*arguments, **named)
        finally:
            _WorkerNote.board[_WorkerNote.index + 1] = _IDLE


def _begin(
    method: SeparationMethod | None,
    board: ctypes.Array[ctypes.c_longlong],
    taken: Synchronized[int],
) -> None:
    """First in a worker: depend on the daemon, and compile before the first micrograph."""
    with taken.get_lock():
        _WorkerNote.board, _WorkerNote.index = board, 2 * taken.value
        taken.value += 1
    board[_WorkerNote.index] = os.getpid()
    clean_process.depend_on_parent()
    if method is not None:
        from temwatch.engine.tasks import warm_up

        warm_up(method)
