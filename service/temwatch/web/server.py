"""Serves the application in a thread of the daemon."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import ClassVar

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from temwatch.config import HttpSettings
from temwatch.errors import StartError
from temwatch.library_internals import HeadDeadline, WaitingLoop
from temwatch.web.deadlines import Deadlines, WithDeadlines

_QUEUED = 1024  # connections that the kernel keeps until their turn comes
_TAKEN_AT_ONCE = 50  # far fewer than may wait for the head of their request


def bind(settings: HttpSettings) -> socket.socket:
    """Bind the port before anything else is started.

    Raises
    ------
    StartError
        The address cannot be used, most often because another program uses the port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        channel = socket.socket(family, kind, protocol)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        channel.bind(address)
        channel.listen(128)
    except OSError as error:
        raise StartError(
            f"cannot listen on {settings.listen}: {error.strerror}; change [http] listen"
        ) from None
    return channel


def address(channel: socket.socket) -> str:
    """Address of the live page, as typed into a browser."""
    host, port = channel.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"


def _protocol() -> type[H11Protocol]:
    class Protocol(HeadDeadline, H11Protocol):
        """uvicorn's protocol with a time limit for the head of a request."""

        waiting: ClassVar[dict[HeadDeadline, asyncio.TimerHandle]] = {}

    return Protocol


class _WaitingServer(WaitingLoop, uvicorn.Server):
    """uvicorn, woken to end instead of polling, with a long queue of which it takes few connections at once.

    Between them it reads: a client whose request is there already is not taken for one that sends nothing.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for channel in sockets or ():
            channel.listen(_QUEUED)


class Server:
    """uvicorn in a thread."""

    def __init__(self, app: FastAPI, channel: socket.socket, deadlines: Deadlines | None = None) -> None:
        self._channel = channel
        self._server = _WaitingServer(
            uvicorn.Config(
                WithDeadlines(app, deadlines or Deadlines()),
                http=_protocol(),
                log_config=None,
                access_log=False,
                backlog=_TAKEN_AT_ONCE,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [channel]}, name="http", daemon=True
        )

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; open event streams are closed."""
        self._server.end()
        self._thread.join(timeout=3)
        self._channel.close()
