"""Server-sent events: every open page learns at once of each finished micrograph."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

_KEEPALIVE_SECONDS = 15.0
_MAX_PAGES = 64
_BACKLOG = 100  # messages; a page that falls further behind is disconnected and connects again


class Hub:
    """Passes messages from the engine's thread to the listening pages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Queue[str], asyncio.AbstractEventLoop] = {}

    @property
    def is_full(self) -> bool:
        """Whether the largest number of pages is listening."""
        return len(self._listeners) >= _MAX_PAGES

    def send(self, kind: str, data: Mapping[str, Any]) -> None:
        """Send a message to all pages; from any thread, without waiting."""
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        with self._lock:
            listeners = list(self._listeners.items())
        for backlog, loop in listeners:
            loop.call_soon_threadsafe(self._put, backlog, text)

    def _put(self, backlog: asyncio.Queue[str], text: str) -> None:
        try:
            backlog.put_nowait(text)
        except asyncio.QueueFull:
            with self._lock:
                self._listeners.pop(backlog, None)

    async def stream(self) -> AsyncIterator[str]:
        """Messages for one page, with regular comments so that proxies keep the connection open."""
        backlog: asyncio.Queue[str] = asyncio.Queue(_BACKLOG)
        with self._lock:
            self._listeners[backlog] = asyncio.get_running_loop()
        try:
            yield "retry: 2000\n\n"
            while backlog in self._listeners:
                try:
                    yield await asyncio.wait_for(backlog.get(), _KEEPALIVE_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            with self._lock:
                self._listeners.pop(backlog, None)
