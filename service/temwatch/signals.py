"""Signals that ask the process to end.

Python runs a signal's handler in the main thread between any two steps of it. A handler that takes a lock, as
`Event.set` and every logger do, waits for ever where the main thread, or the handler of the signal before,
holds that lock, and one written in Python is itself broken into by the next signal, until the stack is full.
Here the handler is `SimpleQueue.put`, which does neither; a thread does the rest.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any


def call_on(numbers: Iterable[int], call: Callable[[int], None]) -> dict[int, Any]:
    """Have a thread of its own call `call` with the number of each signal that arrives.

    Returns
    -------
    dict
        The handlers until now, by number, for `signal.signal`.
    """
    arrived: SimpleQueue[int] = SimpleQueue()

    def serve() -> None:
        while True:
            call(arrived.get())

    threading.Thread(target=serve, name="signals", daemon=True).start()
    # called with the number and the frame; `put` takes the latter for `block`, which it ignores
    put: Any = arrived.put
    return {number: signal.signal(number, put) for number in numbers}
