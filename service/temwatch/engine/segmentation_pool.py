"""Threads that share the segmenter: while one waits for the device, another prepares the next micrograph."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass

from temwatch.analysis.segmentation import for_particles
from temwatch.domain import Image, Segmenter
from temwatch.engine.outcomes import Hung, Segmented, StageResult


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """An image, which micrograph of its file it is, its polarity, and where its segmentation goes."""

    future: Future[StageResult]
    image: Image
    index: int
    polarity: str | None


def _kind(order: _Order) -> tuple[object, ...]:
    """Equal where two images can be segmented together."""
    return order.image.shape, order.polarity


class SegmentationPool:
    """Threads that take images from one queue and segment those of one size and polarity together.

    A free thread takes the image that has waited longest, and with it as many others of the same size as the
    segmenter takes together: a micrograph that arrives alone is segmented at once. Unlike the threads of
    an executor these do not hold up the end of the process where the device hangs.
    """

    def __init__(self, segmenter: Segmenter, threads: int) -> None:
        self._segmenter = segmenter
        self._orders: deque[_Order] = deque()
        self._alone: list[_Order] = []
        self._changed = threading.Condition()
        self._open = True
        self._in_hand: dict[int, list[_Order]] = {}  # by the thread's number in the kernel, oldest first
        for number in range(threads):
            self._start_thread(number)

    def _start_thread(self, number: int) -> None:
        threading.Thread(target=self._work, name=f"segment-{number}", daemon=True).start()

    def submit(self, image: Image, index: int, polarity: str | None = None) -> Future[StageResult]:
        """The segmentation of micrograph `index` of a file, once its turn has come: a `Segmented`.

        `polarity` says whether particles are dark or bright; without it they are as the segmenter takes them.
        """
        future: Future[StageResult] = Future()
        with self._changed:
            self._orders.append(_Order(future, image, index, polarity))
            self._changed.notify()
        return future

    def segmenter(self, polarity: str | None) -> Segmenter:
        """The one that segments images of this polarity."""
        return self._segmenter if polarity is None else for_particles(self._segmenter, polarity)

    def busy(self) -> list[int]:
        """Threads that segment something, by their number in the kernel; first what was begun first."""
        return list(self._in_hand)

    def helpers(self) -> Collection[int]:
        """Threads that compute for those, by their number in the kernel."""
        return self._segmenter.helpers()

    def abandon(self) -> None:
        """Leave the busy threads, which hang, and go on with others.

        What was begun first ends in `Hung`. The rest may have waited for it only, and is segmented again.
        """
        with self._changed:
            hung, self._in_hand = self._in_hand, {}
            for number in range(len(hung)):
                self._start_thread(number)
            if not hung:
                return
            first, *rest = hung.values()
            self._orders.extendleft(order for batch in reversed(rest) for order in reversed(batch))
            self._changed.notify_all()
        for order in first:
            order.future.set_exception(Hung("the segmentation does not advance"))

    def close(self) -> None:
        """Take no more orders; a segmentation that has begun is not waited for."""
        with self._changed:
            self._open = False
            self._orders.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while taken := self._take():
            # cancelled orders are left out; from here on the others can no longer be cancelled
            batch = [
                order
                for order in taken
                if order.future.running() or order.future.set_running_or_notify_cancel()
            ]
            if not batch:
                continue
            started = time.monotonic()
            me = threading.get_native_id()
            self._in_hand[me] = batch
            try:
                segmenter = self.segmenter(batch[0].polarity)
                found = segmenter.segment([order.image for order in batch])
            except BaseException as error:  # noqa: BLE001 - as in any executor, the future carries it
                if not self._is_mine(me, batch):
                    return
                if len(batch) == 1:
                    batch[0].future.set_exception(error)
                else:  # each again by itself, so that it costs one micrograph and not all of them
                    with self._changed:
                        self._alone += batch
                        self._changed.notify_all()
                continue
            if not self._is_mine(me, batch):
                return
            seconds = (time.monotonic() - started) / len(batch)
            for order, segmentation in zip(batch, found, strict=True):
                order.future.set_result(
                    Segmented(index=order.index, segmentation=segmentation, seconds=seconds)
                )

    def _is_mine(self, thread: int, batch: list[_Order]) -> bool:
        """Whether this thread still has the batch; one that was left behind ends."""
        with self._changed:
            if self._in_hand.get(thread) is not batch:
                return False
            del self._in_hand[thread]
            return True

    def _take(self) -> list[_Order]:
        """The order that waited longest, and others of the same size; none once the pool is closed."""
        with self._changed:
            while self._open and not self._orders and not self._alone:
                self._changed.wait()
            if not self._open:
                return []
            if self._alone:
                return [self._alone.pop()]
            batch = [self._orders.popleft()]
            while (
                self._orders
                and len(batch) < self._segmenter.together
                and _kind(self._orders[0]) == _kind(batch[0])
            ):
                batch.append(self._orders.popleft())
            return batch
