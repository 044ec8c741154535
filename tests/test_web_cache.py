"""Slow computations of the page: each runs once, and requests for anything else go on meanwhile."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from system import wait_until
from temwatch.ledger import Reader, sample_columns
from temwatch.web import population_cache
from temwatch.web.cache import KeyedLock, SingleFlightCache
from temwatch.web.population_cache import PopulationCache
from web_cases import Site, copied

SLOW, QUICK = "Pt on carbon", "Au"


@pytest.fixture(scope="module")
def results(analysed, tmp_path_factory):
    """Analysed once for all."""
    return copied(analysed, tmp_path_factory.mktemp("cache"))


class Gate:
    """Holds the threads that ask for the state of one sample, after the first `passes` times."""

    def __init__(self, monkeypatch, passes=0):
        self.opened = threading.Event()
        self.calls = itertools.count()
        self.passes = passes
        self.waiting = 0
        monkeypatch.setattr(population_cache, "versions", self.versions)

    def versions(self, ledger, sample):
        """The real answer, once the gate is open."""
        if sample == SLOW and next(self.calls) >= self.passes:
            self.waiting += 1
            assert self.opened.wait(60)
        return sample_columns.versions(ledger, sample)


@pytest.mark.system
@pytest.mark.parametrize(
    "slow",
    [
        f"/api/samples/{SLOW}/population",
        f"/api/samples/{SLOW}/charts/histogram.svg",
        f"/api/now?also=population&also=curve&sample={SLOW}",
    ],
)
def test_a_slow_view_does_not_stall_the_others(results, slow, monkeypatch):
    """While one page's sample cannot be read, the other pages get their answers."""
    gate = Gate(monkeypatch, passes=1)  # the cache asks first whether it is up to date, then loads
    with Site(results) as site, ThreadPoolExecutor(1) as background:
        try:
            held = background.submit(site.get, slow)
            wait_until(lambda: gate.waiting, what="the slow computation")
            for path in (
                "/api/now?also=outlines",
                f"/api/now?also=outlines&also=population&also=convergence&sample={QUICK}",
                f"/api/samples/{QUICK}/population",
                f"/api/samples/{QUICK}/convergence",
                f"/api/samples/{QUICK}/particles/between?low=0&high=100",
                "/api/micrographs/1/preview.jpg",
                "/",
            ):
                assert 200 == site.get(path).status_code, path
            assert not held.done()
        finally:
            gate.opened.set()
        assert 200 == held.result().status_code


@pytest.mark.system
def test_a_question_that_many_pages_ask_at_once_is_computed_once(results):
    """Five ask while it is being computed; afterwards it comes from the cache."""
    with Site(results) as site, ThreadPoolExecutor(5) as pages:
        populations = PopulationCache(lambda: Reader(site.config.output.state))
        begun, release, asked = threading.Semaphore(0), threading.Event(), []

        def slow(loaded):
            asked.append(loaded)
            assert release.wait(60)
            return len(loaded.fields.number)

        def ask():
            begun.release()
            return populations.answer(QUICK, "slow", slow)

        answers = [pages.submit(ask) for _ in range(5)]
        for _ in answers:
            begun.acquire()
        wait_until(lambda: asked, what="the computation")
        quick = populations.answer(QUICK, "quick", lambda loaded: len(loaded.fields.number))
        assert not any(answer.done() for answer in answers)
        release.set()
        assert {quick} == {answer.result() for answer in answers}
        assert quick == populations.answer(QUICK, "slow", slow)
        assert 1 == len(asked)
        total = next(one for one in site.json("/api/samples") if one["sample"] == QUICK)["particles"]
        assert total == json.loads(quick)


@pytest.mark.system
def test_a_sample_is_read_once_for_all_questions(results, monkeypatch):
    """Different questions that wait for the same sample share its particles."""
    gate = Gate(monkeypatch)
    with Site(results) as site, ThreadPoolExecutor(3) as pages:
        populations = PopulationCache(lambda: Reader(site.config.output.state))
        loaded = [
            pages.submit(populations.answer, SLOW, number, lambda one: id(one.fields)) for number in range(3)
        ]
        wait_until(lambda: gate.waiting == 3, what="three questions")
        gate.opened.set()
        assert 1 == len({answer.result() for answer in loaded})


def test_a_failed_computation_is_tried_by_the_next_who_asks():
    """Also by those who waited for it; nothing is cached."""
    cache = SingleFlightCache(10, len)
    begun, release, tries = threading.Event(), threading.Event(), []

    def fail_first():
        tries.append(1)
        if len(tries) == 1:
            begun.set()
            assert release.wait(60)
            raise OSError("no such file")
        return "value"

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.get, "key", fail_first)
        assert begun.wait(60)
        second = threads.submit(cache.get, "key", fail_first)
        release.set()
        with pytest.raises(OSError, match="no such file"):
            first.result()
        assert "value" == second.result()
    assert "value" == cache.get("key", lambda: pytest.fail("it is cached"))
    assert 2 == len(tries)


def test_what_was_used_longest_ago_is_dropped():
    """The total size stays below the capacity, but one value alone may exceed it."""
    cache = SingleFlightCache(4, len)
    computed = []

    def get(key, size=2):
        return cache.get(key, lambda: computed.append(key) or key * size)

    for key in "abacab":
        get(key)
    assert ["a", "b", "c", "b"] == computed
    assert 9 == len(get("d", size=9))
    assert 9 == len(get("d", size=9))
    get("a")
    assert ["d", "a"] == computed[4:]


def test_an_outdated_value_is_replaced_and_its_size_with_it():
    """The computation may build on it."""
    cache = SingleFlightCache(4, len)
    cache.get("other", lambda: "o")
    for version in range(1, 4):
        text = cache.get_current("key", lambda one, n=version: len(one) == n, lambda one: (one or "") + "x")
        assert "x" * version == text
    assert "o" == cache.get("other", lambda: pytest.fail("there was room for both"))


def test_locks_of_different_keys_are_independent():
    """A second thread passes under another key, and waits under the same one."""
    locks = KeyedLock()

    def passes(key):
        with locks.hold(key):
            return True

    with ThreadPoolExecutor(2) as threads:
        with locks.hold("a"):
            waiting = threads.submit(passes, "a")
            assert threads.submit(passes, "b").result(timeout=60)
            assert not waiting.done()
        assert waiting.result(timeout=60)
