"""Time limits for clients: one that does not send its request, or does not read its answer, is cut off."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from anyio import to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from temwatch.library_internals import cut_off


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds for the body of a request, and for one piece of an answer; threads that answer.

    Many threads that compute hold up the one that serves everything.
    """

    receive_s: float = 30.0
    send_s: float = 30.0
    threads: int = 16


class WithDeadlines:
    """ASGI application around another one; the head of a request has its limit in the server."""

    def __init__(self, app: ASGIApp, deadlines: Deadlines) -> None:
        self._app = app
        self._deadlines = deadlines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        to_thread.current_default_thread_limiter().total_tokens = self._deadlines.threads
        ends = asyncio.get_running_loop().time() + self._deadlines.receive_s
        has_more = True

        async def receive_in_time() -> Message:
            nonlocal has_more
            if not has_more:  # from here on it waits for the client to leave
                return await receive()
            try:
                async with asyncio.timeout_at(ends):
                    message = await receive()
            except TimeoutError:
                cut_off(send)
                return {"type": "http.disconnect"}
            has_more = bool(message.get("more_body"))
            return message

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._deadlines.send_s):
                    await send(message)
            except TimeoutError:
                cut_off(send)

        await self._app(scope, receive_in_time, send_in_time)
