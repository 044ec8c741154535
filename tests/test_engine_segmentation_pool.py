"""Threads that share a segmenter: what runs together, what is cancelled, and what a failure costs."""

import threading

import numpy as np
import pytest

from temwatch.domain import Segmentation, Segmenter
from temwatch.engine.segmentation_pool import SegmentationPool

SMALL, LARGE = np.zeros((4, 4), np.float32), np.zeros((8, 8), np.float32)
BAD = np.full((4, 4), np.nan, np.float32)


class Slow:
    """A segmenter that waits to be let go, and remembers how many images it saw at once."""

    def __init__(self):
        self.seen = []
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def segment(self, images):
        self.seen.append([image.shape[0] for image in images])
        self.begun.release()
        assert self.go.wait(30)
        if any(np.isnan(image).any() for image in images):
            raise ValueError("not a number")
        return [Segmentation(mask=image > 0) for image in images]


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def pool(slow):
    """One thread, three of one size together."""
    pool = SegmentationPool(Segmenter(name="slow", segment=slow.segment, together=3), 1)
    yield pool
    slow.go.set()
    pool.close()


def submitted(pool, slow, *images):
    """A first order that keeps the thread busy, and those that wait behind it."""
    first = pool.submit(SMALL, 0)
    assert slow.begun.acquire(timeout=30)
    return first, [pool.submit(image, number) for number, image in enumerate(images, 1)]


def test_what_waits_is_taken_together_by_its_size(pool, slow):
    """Three at most, in order, never two sizes; the first never waits for others."""
    first, others = submitted(pool, slow, SMALL, SMALL, LARGE, LARGE, LARGE, LARGE)
    slow.go.set()
    shapes = [future.result(timeout=30).segmentation.mask.shape for future in (first, *others)]
    assert [(4, 4)] * 3 + [(8, 8)] * 4 == shapes
    assert [[4], [4, 4], [8, 8, 8], [8]] == slow.seen


def test_an_order_that_is_cancelled_is_left_out_and_the_thread_goes_on(pool, slow):
    """The one in hand can no longer be cancelled: it is waited for."""
    first, (second, third) = submitted(pool, slow, SMALL, LARGE)
    assert (False, True) == (first.cancel(), second.cancel())
    slow.go.set()
    assert first.result(timeout=30).segmentation.mask.shape == (4, 4)
    assert third.result(timeout=30).segmentation.mask.shape == (8, 8)
    assert [[4], [8]] == slow.seen


def test_a_failure_costs_one_of_those_that_were_together(pool, slow):
    """The others are segmented again by themselves."""
    _, (good, bad, other) = submitted(pool, slow, SMALL, BAD, SMALL)
    slow.go.set()
    assert (
        good.result(timeout=30).segmentation.mask.shape
        == other.result(timeout=30).segmentation.mask.shape
        == (4, 4)
    )
    with pytest.raises(ValueError, match="not a number"):
        bad.result(timeout=30)
