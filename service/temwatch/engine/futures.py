"""Futures that follow from others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_Last = TypeVar("_Last")


def when_done(future: Future[_Result], result: Future[_Last], then: Callable[[_Result], None]) -> None:
    """Go on with what a worker of this machine returns; its error, or that of `then`, ends in `result`."""

    def done(future: Future[_Result]) -> None:
        error = BrokenProcessPool("cancelled") if future.cancelled() else future.exception()
        if error is not None:
            result.set_exception(error)
            return
        try:
            then(future.result())
        except Exception as error:  # noqa: BLE001 - as in any executor, the future carries it
            result.set_exception(error)

    future.add_done_callback(done)


def first_of(futures: Iterable[Future[Any]]) -> Future[None]:
    """A future that is done as soon as one of these is."""
    first: Future[None] = Future()

    def done(_: Future[Any]) -> None:
        with suppress(InvalidStateError):  # another was first, perhaps in another thread at this moment
            first.set_result(None)

    for future in futures:
        future.add_done_callback(done)
    return first
