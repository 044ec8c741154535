"""Futures that follow from others."""

from __future__ import annotations

from collections.abc import Callable
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


class FirstDone:
    """Tells when one of several futures is done, turn after turn; each is given one callback."""

    def __init__(self) -> None:
        self._first: Future[None] = Future()

    def watch(self, future: Future[Any]) -> None:
        """Wait for this one, too."""
        future.add_done_callback(self._tell)

    def begin_turn(self) -> None:
        """From here on count those that become done, before the caller looks which are."""
        self._first = Future()

    @property
    def first(self) -> Future[None]:
        """Done as soon as one of them is done in this turn."""
        return self._first

    def _tell(self, _: Future[Any]) -> None:
        with suppress(InvalidStateError):  # another was first, perhaps in another thread at this moment
            self._first.set_result(None)
