"""Clients that ask for too much, send slowly or stop reading: everybody else is served meanwhile."""

import contextlib
import multiprocessing
import os
import socket
import sqlite3
import tempfile
import threading
import time

import httpx
import pytest
from fastapi import HTTPException

from ledger_cases import take
from system import wait_until
from temwatch.ledger import open_ledger
from temwatch.ledger.schema import FILE_NAME
from temwatch.outputs.tables import PARTICLES, csv_text
from temwatch.particle_filter import NO_FILTER
from temwatch.web import download_process
from temwatch.web.deadlines import Deadlines
from temwatch.web.download_queue import DownloadQueue
from web_cases import TOKEN, Site, never_written, not_written

PATIENCE_S = 5.0  # a second, beside nothing else; tests share their machine


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A sample whose table is larger than what sockets buffer."""
    output = tmp_path_factory.mktemp("clients") / "results"
    with open_ledger(output / ".temwatch") as ledger:
        for number in range(8):
            take(ledger, f"{number}.dm3", number, particles=4000)
    return output


@pytest.fixture
def site(results):
    with Site(results, deadlines=Deadlines(receive_s=1.0, send_s=1.0), token=TOKEN) as running:
        yield running


def connect(site, request, receive_bytes=None):
    """A client that has sent so much of its request."""
    line = socket.socket()
    if receive_bytes:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    host, port = site.url.removeprefix("http://").rstrip("/").split(":")
    line.connect((host, int(port)))
    line.sendall(request.format(host=host).encode())
    return line


def assert_is_served(site):
    """By a new connection, at once."""
    for path in ("healthz", "readyz", "metrics"):
        started = time.monotonic()
        assert 200 == httpx.get(site.url + path, timeout=10).status_code
        assert time.monotonic() - started < PATIENCE_S


def is_cut_off(line):
    line.settimeout(20)
    with contextlib.suppress(ConnectionResetError):
        while line.recv(1 << 16):
            pass
    return True


def test_downloads_beyond_the_limit_are_told_to_come_back(tmp_path):
    """A place is free again after the answer, and after an error while it was made."""
    downloads, go, begun = DownloadQueue(tmp_path), threading.Event(), threading.Semaphore(0)

    def write(stream):
        begun.release()
        assert go.wait(60)
        stream.write(b"done")

    made = []
    threads = [
        threading.Thread(target=lambda: made.append(downloads.respond(write, "text/csv"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert begun.acquire(timeout=60)
    assert begun.acquire(timeout=60)
    assert not begun.acquire(timeout=0.2), "more than two at a time"

    go.set()
    for thread in threads:
        thread.join(60)
    assert 8 == len(made)
    with pytest.raises(HTTPException) as refused:
        downloads.respond(lambda stream: stream.write(b"at once"), "text/csv")
    assert (503, {"Retry-After": "10"}) == (refused.value.status_code, refused.value.headers)
    for response in made:
        response.end()
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            downloads.respond(lambda _: 1 / 0, "text/csv")
    last = downloads.respond(lambda stream: stream.write(b"x" * 9), "text/csv")
    assert "9" == last.headers["content-length"]
    last.end()


def test_the_process_of_a_download_ends_with_the_service_and_sends_its_error(results):
    """It does not go on for the minutes that a workbook may take; who asked is told to come back."""
    state, raised, others = results / ".temwatch", [], set(multiprocessing.active_children())

    with tempfile.TemporaryFile() as stream:

        def ask():
            with pytest.raises(HTTPException) as refused:
                download_process.write(state, never_written, NO_FILTER, stream)
            raised.append(refused.value.status_code)

        person = threading.Thread(target=ask)
        person.start()
        wait_until(lambda: os.fstat(stream.fileno()).st_size, what="its work")
        (process,) = set(multiprocessing.active_children()) - others
        process.terminate()
        person.join(60)
    assert [503] == raised
    with tempfile.TemporaryFile() as stream, pytest.raises(ZeroDivisionError, match="of the download"):
        download_process.write(state, not_written, NO_FILTER, stream)


def test_a_reader_that_stops_reading_holds_no_state_of_the_ledger_and_is_cut_off(site, results):
    """The log of the ledger can be emptied meanwhile; twenty of them leave downloads for others at last."""
    request = "GET /api/samples/Au/tables/particles.csv HTTP/1.1\r\nHost: {host}\r\n\r\n"
    lines = [connect(site, request, receive_bytes=4096) for _ in range(20)]
    # which of them come first is not known; the others are told that it is busy
    assert {b"HTTP/1.1 200", b"HTTP/1.1 503"} >= (begun := {line.recv(12) for line in lines})
    assert b"HTTP/1.1 200" in begun
    connection = sqlite3.connect(results / ".temwatch" / FILE_NAME)
    connection.execute("UPDATE counters SET value = value")
    connection.commit()

    def is_emptied():
        return connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0

    wait_until(is_emptied, seconds=20, what="a ledger that nobody holds")
    assert_is_served(site)
    connection.close()
    with open_ledger(results / ".temwatch") as ledger, ledger.reader() as reader:
        expected = "".join(csv_text(PARTICLES, reader, "Au"))

    def is_free():
        answer = site.get("/api/samples/Au/tables/particles.csv")
        assert answer.status_code in (200, 503)
        return answer.status_code == 200 and answer.text == expected

    wait_until(is_free, seconds=60, what="a free place")
    for line in lines:
        line.close()


def test_requests_that_are_half_sent_end(site):
    """So many that they would use up all files; the oldest have to go first, the rest in time."""
    lines = [connect(site, "GET /healthz HTTP/1.1\r\nHost: {host}\r\nX-") for _ in range(300)]
    assert_is_served(site)
    assert all(is_cut_off(line) for line in lines[:50])
    for line in lines:
        line.close()


def test_a_request_that_is_there_is_answered_before_a_flood_of_others(site):
    """However many connections come behind it before the service looks again, it is not cut off for them."""
    site.server._server._loop.call_soon_threadsafe(time.sleep, 1.0)
    honest = connect(site, "GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    lines = [connect(site, "GET /healthz HTTP/1.1\r\nHost: {host}\r\nX-") for _ in range(500)]
    honest.settimeout(20)
    assert honest.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert all(is_cut_off(line) for line in lines[:50])
    for line in (honest, *lines):
        line.close()
    assert_is_served(site)


def test_a_body_that_does_not_come_ends(site):
    """Byte by byte or not at all."""
    line = connect(
        site,
        "POST /api/samples/Au/comparison HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/csv\r\n"
        f"Authorization: Bearer {TOKEN}\r\n"
        "Content-Length: 1000\r\n\r\n1\n2\n",
    )
    assert_is_served(site)
    assert is_cut_off(line)
    line.close()


@pytest.mark.slow
def test_health_needs_no_thread_that_others_use(site):
    """Twenty people want the workbook of a sample at once: some get it, the others are told to come back."""
    codes = []

    def ask():
        codes.append(httpx.get(f"{site.url}api/samples/Au/workbook.xlsx", timeout=300).status_code)

    people = [threading.Thread(target=ask) for _ in range(20)]
    for person in people:
        person.start()
    while any(person.is_alive() for person in people):
        assert_is_served(site)
        time.sleep(0.1)
    assert {200, 503} == set(codes)


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=x", "text/plain; version=1.0.\xff"]
)
def test_metrics_answer_whatever_is_accepted(site, accept):
    """A version that is no number gets the format that everybody reads."""
    answer = site.get("/metrics", headers={"Accept": accept.encode("latin-1")})
    assert (200, True) == (answer.status_code, answer.headers["content-type"].startswith("text/plain"))


BAD = ["NaN", '{"pixel_size_nm": NaN}', '{"pixel_size_nm": 1e999}', '{"pixel_size_nm": -Infinity}', "{"]
BAD += ['{"pixel_size_nm": "\\ud800"}', "[" * 100_000, "9" * 10_000, '{"pixel_size_nm": ' + "9" * 400 + "}"]


@pytest.mark.parametrize("body", BAD, ids=lambda body: body[:24])
def test_a_body_that_is_no_json_is_refused_after_the_token(site, body):
    """Numbers that are none included; without the token nothing of it is looked at."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    answer = site.client.post("/api/retry", content=body, headers=headers)
    assert 422 == answer.status_code
    assert answer.json()["detail"]
    assert 401 == site.client.post("/api/retry", content=body).status_code
