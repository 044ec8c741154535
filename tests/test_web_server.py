"""The thread that serves the page: it begins, idles and ends."""

import threading
import time

import httpx
import pytest
from fastapi import FastAPI

from system import wait_until
from temwatch.config import HttpSettings
from temwatch.web import server


def served():
    """An application without routes on a free port: address and server."""
    channel = server.bind(HttpSettings(listen="127.0.0.1:0"))
    return server.address(channel), server.Server(FastAPI(), channel)


def is_alive():
    return "http" in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("wait_s", [0, 0.001, 0.01, 0.1, 0.5])
def test_it_ends_whenever_it_is_told(wait_s):
    _, running = served()
    running.start()
    time.sleep(wait_s)
    running.stop()
    assert not is_alive()


def test_it_ends_when_told_twice():
    address, running = served()
    running.start()
    wait_until(lambda: 404 == httpx.get(address).status_code, what="an answer")
    running.stop()
    running.stop()
    assert not is_alive()
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_the_date_of_answers_goes_on_while_nobody_asks():
    address, running = served()
    running.start()
    wait_until(lambda: 404 == httpx.get(address).status_code, what="an answer")
    first = httpx.get(address).headers["date"]
    wait_until(lambda: first != httpx.get(address).headers["date"], what="a later date", seconds=5)
    running.stop()
