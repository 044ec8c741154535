"""A bounded cache: each missing value is computed once, while requests for other values go on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")


class KeyedLock:
    """A lock for each key. Threads that hold different keys do not wait for each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._users: dict[Hashable, int] = {}

    @contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Hold the lock of one key; it exists for as long as a thread holds it or waits for it."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
            self._users[key] = self._users.get(key, 0) + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._locks[key]


class SingleFlightCache(Generic[Value]):
    """The values used last, up to a total size.

    Parameters
    ----------
    capacity : int
        Largest total size. The last value stays even where it is larger by itself.
    size_of : callable
        Size of one value: bytes, particles, or 1 where the number of values counts.
    """

    def __init__(self, capacity: int, size_of: Callable[[Value], int]) -> None:
        self._capacity = capacity
        self._size_of = size_of
        self._lock = threading.Lock()  # never held while a value is computed
        self._computing = KeyedLock()
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of a key.

        The first thread that asks for a missing value computes it. Others that ask for the same key wait;
        where the computation fails, the next of them tries.
        """
        return self.get_current(key, lambda _: True, lambda _: compute())

    def get_current(
        self, key: Hashable, is_current: Callable[[Value], bool], compute: Callable[[Value | None], Value]
    ) -> Value:
        """The value of a key; an outdated one is handed to `compute`, which may build on it."""
        value = self._find(key)
        if value is not None and is_current(value):
            return value
        with self._computing.hold(key):
            value = self._find(key)
            if value is None or not is_current(value):
                value = compute(value)
                self._store(key, value)
        return value

    def _find(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def _store(self, key: Hashable, value: Value) -> None:
        with self._lock:
            replaced = self._values.pop(key, None)
            if replaced is not None:
                self._size -= self._size_of(replaced)
            self._values[key] = value
            self._size += self._size_of(value)
            while self._size > self._capacity and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                self._size -= self._size_of(oldest)
