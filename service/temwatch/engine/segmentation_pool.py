"""Threads that share the segmenter: while one waits for the device, another prepares the next micrograph."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future

from temwatch.domain import Image, Segmentation, Segmenter

Segmented = tuple[Segmentation, float]
"""A segmentation and the seconds it took."""

_Order = tuple[Future[Segmented], Image]


class SegmentationPool:
    """Unlike an executor's threads they do not hold up the end of the process where the device hangs.

    A lane that is free takes what has waited longest at once, and with it as many others of the same size as
    the segmenter does together: a micrograph that arrives alone never waits for company.
    """

    def __init__(self, segmenter: Segmenter, lanes: int) -> None:
        self._segmenter = segmenter
        self._orders: deque[_Order] = deque()
        self._alone: list[_Order] = []
        self._changed = threading.Condition()
        self._open = True
        for number in range(lanes):
            threading.Thread(target=self._work, name=f"segment-{number}", daemon=True).start()

    def submit(self, image: Image) -> Future[Segmented]:
        """The segmentation of an image, once its turn has come."""
        future: Future[Segmented] = Future()
        with self._changed:
            self._orders.append((future, image))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Take no more; what is in hand is left to itself."""
        with self._changed:
            self._open = False
            self._orders.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while taken := self._take():
            # those that nobody waits for any more are left out; the others can no longer be cancelled
            batch = [
                order for order in taken if order[0].running() or order[0].set_running_or_notify_cancel()
            ]
            if not batch:
                continue
            started = time.monotonic()
            try:
                found = self._segmenter.segment([image for _, image in batch])
            except BaseException as error:  # noqa: BLE001 - an executor too hands on whatever it was
                if len(batch) == 1:
                    batch[0][0].set_exception(error)
                else:  # it is to cost one micrograph, not all of them
                    with self._changed:
                        self._alone += batch
                        self._changed.notify_all()
                continue
            seconds = (time.monotonic() - started) / len(batch)
            for (future, _), segmentation in zip(batch, found, strict=True):
                future.set_result((segmentation, seconds))

    def _take(self) -> list[_Order]:
        """The order that waited longest, and others of the same size; none once it is closed."""
        with self._changed:
            while self._open and not self._orders and not self._alone:
                self._changed.wait()
            if not self._open:
                return []
            if self._alone:
                return [self._alone.pop()]
            batch = [self._orders.popleft()]
            shape = batch[0][1].shape
            while (
                self._orders and len(batch) < self._segmenter.together and self._orders[0][1].shape == shape
            ):
                batch.append(self._orders.popleft())
            return batch
