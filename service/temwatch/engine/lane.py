"""Threads that share the segmenter: while one waits for the device, another prepares the next micrograph."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from temwatch.domain import Image, Segmentation, Segmenter

Segmented = tuple[list[Segmentation], float]
"""Segmentations and the seconds they took."""

_Order = tuple[Future[Segmented], Sequence[Image]]


class Lanes:
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

    def submit(self, images: Sequence[Image]) -> Future[Segmented]:
        """The segmentations of some images, once their turn has come."""
        future: Future[Segmented] = Future()
        with self._changed:
            self._orders.append((future, images))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Take no more; what is in hand is left to itself."""
        with self._changed:
            self._open = False
            self._orders.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while batch := self._take():
            started = time.monotonic()
            try:
                found = self._segmenter.segment([image for _, images in batch for image in images])
            except BaseException as error:  # noqa: BLE001 - an executor too hands on whatever it was
                if len(batch) == 1:
                    batch[0][0].set_exception(error)
                else:  # it is to cost one micrograph, not all of them
                    with self._changed:
                        self._alone += batch
                        self._changed.notify_all()
                continue
            seconds, first = time.monotonic() - started, 0
            for future, images in batch:
                last = first + len(images)
                future.set_result((found[first:last], seconds / len(batch)))
                first = last

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
            shapes = _shapes(batch[0])
            while (
                self._orders
                and len(shapes) == 1
                and len(batch) < self._segmenter.together
                and _shapes(self._orders[0]) == shapes
            ):
                batch.append(self._orders.popleft())
            return batch


def _shapes(order: _Order) -> list[tuple[int, ...]]:
    return [image.shape for image in order[1]]
