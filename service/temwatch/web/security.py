"""Security of the HTTP application: host names, headers, request sizes and rates, and the token."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # plotly and the report set styles; inline scripts stay forbidden
        "img-src 'self' data: blob:",
        "media-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "frame-ancestors 'self'",
        "form-action 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Limits for one client: bytes per request, requests in a burst and per second, wrong tokens."""

    body_bytes: int = 2 * 1024**2
    burst: int = 600
    requests_per_second: float = 60.0
    wrong_tokens: int = 5
    wrong_tokens_per_second: float = 0.1


_MAX_CLIENTS = 1024


class RateLimiter:
    """A token bucket per client; the clients seen longest ago are forgotten."""

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def left(self, client: str) -> float:
        """Number of requests that the client may make now."""
        now = self._clock()
        left, since = self._clients.get(client, (float(self._burst), now))
        return min(self._burst, left + (now - since) * self._per_second)

    def take(self, client: str) -> bool:
        """Count one request; False where the client made too many."""
        left = self.left(client)
        allowed = left >= 1
        self._clients[client] = (left - 1 if allowed else left, self._clock())
        self._clients.move_to_end(client)
        while len(self._clients) > _MAX_CLIENTS:
            self._clients.popitem(last=False)
        return allowed


class Guard:
    """ASGI middleware: refuses foreign host names, floods and large bodies, and adds the security headers."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], limits: RequestLimits) -> None:
        self._app = app
        self._hosts = {host.lower().strip("[]") for host in hosts}
        self._limits = limits
        self._rate = RateLimiter(limits.burst, limits.requests_per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it here."""
        if scope["type"] != "http":
            return  # the service has no websockets

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, with_headers)
            return
        await self._app(scope, self._limited(receive), with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if not self.host_is_known(headers.get("host", "")):
            return PlainTextResponse("unknown host name; add it to [http] allowed_hosts", status_code=400)
        if not self._rate.take((scope.get("client") or ("",))[0]):
            return PlainTextResponse("too many requests", status_code=429, headers={"Retry-After": "1"})
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > self._limits.body_bytes:
            return PlainTextResponse(
                f"a request may have at most {self._limits.body_bytes} bytes",
                status_code=413,
                headers={"Connection": "close"},
            )
        return None

    def host_is_known(self, header: str) -> bool:
        """Whether a Host header names this machine.

        A page of another site can reach this service only through a name of its own that resolves to this
        machine (DNS rebinding), so a literal address is always safe.
        """
        name = header.lower()
        if name.startswith("["):
            name, closed, _ = name[1:].partition("]")
            if not closed:
                return False
        else:
            name = name.rpartition(":")[0] or name
        if "*" in self._hosts or name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _limited(self, receive: Receive) -> Receive:
        """Count the bytes that arrive, since a body may declare no length."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limits.body_bytes:
                raise HTTPException(413, f"a request may have at most {self._limits.body_bytes} bytes")
            return message

        return counted


class Token:
    """The bearer token that allows changes; read from its file each time, so a new token applies at once."""

    def __init__(self, file: Path, limits: RequestLimits) -> None:
        self._file = file
        self._wrong = RateLimiter(limits.wrong_tokens, limits.wrong_tokens_per_second)

    @property
    def is_set(self) -> bool:
        """Whether the service allows changes at all."""
        return bool(self._expected())

    def check(self, request: Request) -> None:
        """Return if the request carries the token in its Authorization header; otherwise refuse it.

        Cookies are ignored, so that a page of another site cannot act in a user's name.
        """
        expected = self._expected()
        if not expected:
            raise HTTPException(403, "this service is read-only: its token file is missing or empty")
        client = request.client.host if request.client else ""
        if self._wrong.left(client) < 1:
            raise HTTPException(429, "too many wrong tokens; try again later", headers={"Retry-After": "10"})
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), expected):
            return
        if given:
            self._wrong.take(client)
        raise HTTPException(
            401,
            "the token is wrong" if given else "this request needs the service's token",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _expected(self) -> bytes:
        try:
            return self._file.read_bytes().strip()
        except OSError:
            return b""
