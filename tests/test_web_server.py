"""The thread that serves the page: start, idle and stop."""

import threading
import time

import httpx
import pytest
from fastapi import FastAPI

from system import wait_until
from temwatch.config import HttpSettings
from temwatch.web import server


def served():
    """Address and server of an application without routes, on a free port."""
    channel = server.bind(HttpSettings(listen="127.0.0.1:0"))
    return server.address(channel), server.Server(FastAPI(), channel)


def is_alive():
    return "http" in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("wait_s", [0, 0.001, 0.01, 0.1, 0.5])
def test_it_stops_at_any_time(wait_s):
    _, running = served()
    running.start()
    time.sleep(wait_s)
    running.stop()
    assert not is_alive()


def test_it_can_be_stopped_twice():
    address, running = served()
    running.start()
    wait_until(lambda: 404 == httpx.get(address).status_code, what="an answer")
    running.stop()
    running.stop()
    assert not is_alive()
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_the_date_header_advances_without_requests():
    address, running = served()
    running.start()
    wait_until(lambda: 404 == httpx.get(address).status_code, what="an answer")
    first = httpx.get(address).headers["date"]
    wait_until(lambda: first != httpx.get(address).headers["date"], what="a later date", seconds=5)
    running.stop()
