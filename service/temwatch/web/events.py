"""Server-sent events: what the engine finishes reaches every open page at once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

_KEEPALIVE_SECONDS = 15.0
_MOST_PAGES = 64
_BACKLOG = 100  # messages a slow page may lag behind before it is cut off and reconnects


class Hub:
    """Hands messages from the engine's thread to the pages that listen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Queue[str], asyncio.AbstractEventLoop] = {}

    @property
    def is_full(self) -> bool:
        """Whether as many pages listen as there may be."""
        return len(self._listeners) >= _MOST_PAGES

    def send(self, kind: str, data: Mapping[str, Any]) -> None:
        """From any thread; returns at once."""
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        with self._lock:
            listeners = list(self._listeners.items())
        for waiting, loop in listeners:
            loop.call_soon_threadsafe(self._put, waiting, text)

    def _put(self, waiting: asyncio.Queue[str], text: str) -> None:
        try:
            waiting.put_nowait(text)
        except asyncio.QueueFull:
            with self._lock:
                self._listeners.pop(waiting, None)

    async def stream(self) -> AsyncIterator[str]:
        """Messages for one page, with a comment now and then so that proxies keep the line open."""
        waiting: asyncio.Queue[str] = asyncio.Queue(_BACKLOG)
        with self._lock:
            self._listeners[waiting] = asyncio.get_running_loop()
        try:
            yield "retry: 2000\n\n"
            while waiting in self._listeners:
                try:
                    yield await asyncio.wait_for(waiting.get(), _KEEPALIVE_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            with self._lock:
                self._listeners.pop(waiting, None)
