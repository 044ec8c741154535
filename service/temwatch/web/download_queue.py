"""Downloads that take long to make: a few at a time, each from one state of the ledger.

An answer is written into a temporary file first, so that a client that reads slowly holds up no thread and no
state of the ledger, whose log would grow meanwhile.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from fastapi import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from temwatch.outputs.files import blocks

_MOST_DOWNLOADS = 8  # that are made, wait to be made, or are read by their clients
_AT_ONCE = 2  # that are made at a time: a workbook takes seconds of a core and much memory
_PIECE_BYTES = 256 * 1024


class DownloadQueue:
    """The downloads of one application.

    Parameters
    ----------
    folder : Path
        On a local disk, for the temporary files; they have no name there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slots = threading.BoundedSemaphore(_MOST_DOWNLOADS)
        self._turns = threading.Semaphore(_AT_ONCE)

    def respond(
        self, write: Callable[[BinaryIO], None], media_type: str, headers: Mapping[str, str] | None = None
    ) -> Download:
        """Write a download when its turn has come; 503 where too many wait already."""
        if not self._slots.acquire(blocking=False):
            raise HTTPException(
                503, "too many downloads at once; try again in a moment", headers={"Retry-After": "10"}
            )
        try:
            with self._turns:
                stream = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - the response closes it
                try:
                    write(stream)
                except BaseException:
                    stream.close()
                    raise
        except BaseException:
            self._slots.release()
            raise
        return Download(stream, self._slots.release, media_type, headers)


def write_text(stream: BinaryIO, texts: Iterable[str]) -> None:
    """Write text in large blocks."""
    for block in blocks(texts):
        stream.write(block)


class Download(Response):
    """A temporary file on its way to a client; `on_end` is called whatever happens to it."""

    def __init__(
        self,
        stream: BinaryIO,
        on_end: Callable[[], None],
        media_type: str,
        headers: Mapping[str, str] | None,
    ) -> None:
        size = stream.tell()
        stream.seek(0)
        super().__init__(media_type=media_type, headers={**(headers or {}), "content-length": str(size)})
        self._stream = stream
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            while piece := self._stream.read(_PIECE_BYTES):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.end()

    def end(self) -> None:
        """Free the place and the file."""
        self._stream.close()
        self._on_end()
