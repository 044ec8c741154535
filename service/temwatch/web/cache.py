"""Answers that several pages ask for at once are made once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Kept:
    """The last answers up to a number of bytes; whoever asks for one that is being made waits for it."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._bytes = 0
        self._answers: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """The answer of this key; `make` is called where it is not there."""
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
            answer = make()
            self._answers[key] = answer
            self._bytes += len(answer)
            while self._bytes > self._most and len(self._answers) > 1:
                _, oldest = self._answers.popitem(last=False)
                self._bytes -= len(oldest)
            return answer
