"""One thread that does tasks in turn: it owns the network, which is not made for several."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future


class Lane:
    """Unlike an executor's thread it does not hold up the end of the process where the device hangs."""

    def __init__(self, name: str) -> None:
        self._tasks: queue.SimpleQueue[tuple[Future[object], Callable[[], object]] | None]
        self._tasks = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, task: Callable[[], object]) -> Future[object]:
        """The outcome of a task, once its turn has come."""
        future: Future[object] = Future()
        self._tasks.put((future, task))
        return future

    def close(self) -> None:
        """Take no more tasks; the one in hand is left to itself."""
        self._tasks.put(None)

    def _work(self) -> None:
        while (order := self._tasks.get()) is not None:
            future, task = order
            try:
                outcome = task()
            except BaseException as error:  # noqa: BLE001 - an executor too hands on whatever it was
                future.set_exception(error)
            else:
                future.set_result(outcome)
