"""Downloads are made in processes of their own: seconds of Python, for which others would wait."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import HTTPException

from temwatch import clean_process
from temwatch.ledger import Reader
from temwatch.particle_filter import ParticleFilter

Write = Callable[[Reader, BinaryIO], None]
"""Writes a download from one state of the ledger; it is sent to the process that does so."""


def write(state: Path, made_by: Write, chosen: ParticleFilter, stream: BinaryIO) -> None:
    """Have a download of chosen particles written into a file, and wait for it.

    Raises
    ------
    Exception
        What `made_by` raises; 503 where its process was killed, as without memory.
    """
    context = clean_process.context()
    answers, answer = context.Pipe(duplex=False)
    with answers:
        with answer:
            process = context.Process(
                target=_run, args=(state, made_by, chosen, _SentStream(stream), answer), daemon=True
            )
            process.start()
        try:
            error = answers.recv()
        except EOFError:
            error = HTTPException(503, "the download could not be made", headers={"Retry-After": "60"})
        process.join()
    if error is not None:
        raise error
    stream.seek(0, os.SEEK_END)


class _SentStream:
    """An open file on its way to another process."""

    def __init__(self, stream: BinaryIO) -> None:
        self._number = stream.fileno()

    def __reduce__(self) -> tuple[Callable[[Any], BinaryIO], tuple[Any]]:
        return _received, (DupFd(self._number),)


def _received(descriptor: Any) -> BinaryIO:
    return os.fdopen(descriptor.detach(), "r+b")


def _run(state: Path, made_by: Write, chosen: ParticleFilter, stream: BinaryIO, answer: Connection) -> None:
    clean_process.depend_on_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the end of the service does not wait for it
    error: Exception | None = None
    try:
        with stream, Reader(state, chosen) as ledger, ledger.snapshot():
            made_by(ledger, stream)
    except Exception as raised:  # noqa: BLE001 - of one request, see docs/decisions/0012: it is raised there
        error = raised
    try:
        answer.send(error)
    except Exception:  # noqa: BLE001 - one that cannot be sent
        answer.send(RuntimeError(f"{type(error).__name__}: {error}"))
