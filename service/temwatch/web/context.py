"""What all routes share."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Query
from starlette.requests import Request
from starlette.responses import Response

from temwatch.analysis.statistics.bins import Bins
from temwatch.config import Config
from temwatch.descriptors import SIZE
from temwatch.health import Vitals
from temwatch.ledger import MicrographRow, Reader
from temwatch.outputs.population_summary import Border, DescriptorName, View, Weighting
from temwatch.web.download_queue import DownloadQueue
from temwatch.web.outline_cache import OutlineCache
from temwatch.web.population_cache import PopulationCache
from temwatch.web.security import Token

_MIN_GZIP_BYTES = 16 * 1024

Post = Callable[[str, dict[str, Any]], int]
"""Leaves a request for the engine in the ledger and returns its number."""
Decide = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Carries out a decision at once, see `engine.decisions.decide`; gives the answer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """The service as its routes see it, with the caches that belong to this application."""

    config: Config
    reader: Callable[[], Reader]
    vitals: Callable[[], Vitals]
    populations: PopulationCache
    outlines: OutlineCache
    token: Token
    post: Post
    decide: Decide
    download_queue: DownloadQueue


def _view(descriptor: DescriptorName = SIZE, weighting: Weighting = "number", border: Border = "raw") -> View:
    return View(descriptor=descriptor, weighting=weighting, border=border)


ViewQuery = Annotated[View, Depends(_view)]
"""The population that a request asks for, out of its query parameters."""


_End = Annotated[float | None, Query(ge=-1e9, le=1e9, allow_inf_nan=False, description="end of the axis")]


def _bins(
    bin_width: Annotated[
        float | None, Query(ge=1e-6, le=1e9, allow_inf_nan=False, description="in the unit of the descriptor")
    ] = None,
    bin_ratio: Annotated[
        float | None,
        Query(
            ge=1.001, le=1e6, allow_inf_nan=False, description="of the edges of a bin on a logarithmic axis"
        ),
    ] = None,
    axis_low: _End = None,
    axis_high: _End = None,
    log_axis: bool = False,
) -> Bins:
    if axis_low is not None and axis_high is not None and axis_low >= axis_high:
        raise HTTPException(422, f"the axis ends at {axis_high:g}, below its beginning at {axis_low:g}")
    return Bins(width=bin_width, ratio=bin_ratio, low=axis_low, high=axis_high, log=log_axis)


BinsQuery = Annotated[Bins, Depends(_bins)]
"""The bins of a histogram that a request asks for, out of its query parameters."""


def known_sample(ledger: Reader, sample: str) -> None:
    """Respond with 404 where the ledger has no such sample."""
    if not ledger.receipt(sample).seen:
        raise HTTPException(404, f"no sample {sample!r}")


def known_micrograph(ledger: Reader, number: int) -> MicrographRow:
    """The row of a micrograph; responds with 404 where no row has this number."""
    row = ledger.micrograph(number) if abs(number) < 2**63 else None
    if row is None:
        raise HTTPException(404, f"no micrograph {number}")
    return row


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JsonBody:
    """JSON ready to be sent to any client, plain and, where that saves much, compressed."""

    plain: bytes
    gzipped: bytes | None
    etag: str

    @classmethod
    def from_bytes(cls, content: bytes) -> JsonBody:
        """Compress and hash JSON once."""
        return cls(
            plain=content,
            gzipped=gzip.compress(content, 1) if len(content) > _MIN_GZIP_BYTES else None,
            etag=f'"{hashlib.sha256(content).hexdigest()[:20]}"',
        )

    def __len__(self) -> int:
        return len(self.plain) + len(self.gzipped or b"")

    def response(self, request: Request) -> Response:
        """The response for one client; 304 where the client has this content already."""
        headers = {"Vary": "Accept-Encoding", "ETag": self.etag}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        content = self.plain
        if self.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content, headers = self.gzipped, headers | {"Content-Encoding": "gzip"}
        return Response(content, media_type="application/json", headers=headers)
