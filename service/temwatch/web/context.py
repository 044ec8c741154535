"""What the parts of the application share."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from temwatch.config import Config
from temwatch.ledger import MicrographRow, Reader
from temwatch.metrics import Vitals
from temwatch.web.outline_cache import Drawn
from temwatch.web.population_cache import Populations
from temwatch.web.security import Token

_WORTH_PACKING_BYTES = 16 * 1024

Post = Callable[[str, dict[str, Any]], int]
"""Leaves a request in the ledger for the engine; gives its number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """The service as its routes see it."""

    config: Config
    reader: Callable[[], Reader]
    vitals: Callable[[], Vitals]
    populations: Populations
    drawn: Drawn
    token: Token
    post: Post


def known_sample(ledger: Reader, sample: str) -> None:
    """Answer 404 where the ledger has no such sample."""
    if not ledger.receipt(sample).seen:
        raise HTTPException(404, f"no sample {sample!r}")


def known_micrograph(ledger: Reader, number: int) -> MicrographRow:
    """The row of a micrograph; answers 404 where there is none of that number."""
    row = ledger.micrograph(number) if abs(number) < 2**63 else None
    if row is None:
        raise HTTPException(404, f"no micrograph {number}")
    return row


def json_response(request: Request, content: bytes) -> Response:
    """JSON that is there as bytes; long ones are packed where the client can unpack them."""
    return packed(content).response(request)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """An answer ready to be sent to whoever asks: as it is, and packed where that is worth it."""

    plain: bytes
    gzipped: bytes | None
    tag: str

    def response(self, request: Request) -> Response:
        """The answer for one client; 304 where it has this very answer already."""
        headers = {"Vary": "Accept-Encoding", "ETag": self.tag}
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        content = self.plain
        if self.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content, headers = self.gzipped, headers | {"Content-Encoding": "gzip"}
        return Response(content, media_type="application/json", headers=headers)


def packed(content: bytes) -> Packed:
    """Pack JSON once."""
    worth = len(content) > _WORTH_PACKING_BYTES
    return Packed(
        plain=content,
        gzipped=gzip.compress(content, 1) if worth else None,
        tag=f'"{hashlib.sha256(content).hexdigest()[:20]}"',
    )
