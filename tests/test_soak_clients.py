"""Clients of a real service with 300,000 particles: whatever they do, it answers within a second."""

import contextlib
import http.client
import itertools
import json
import resource
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest

from large_sample import put_large_sample
from system import Service, memory_bytes, wait_until
from temwatch.ledger.schema import FILE_NAME

pytestmark = [pytest.mark.system, pytest.mark.soak]

MICROGRAPHS, PER_MICROGRAPH = 1500, 200
SLOWEST_S = 1.0
MINUTE_S = 60
PEOPLE, HALF_SENT = 60, 1300
LOG_MIB = 16  # of the ledger; it is emptied from 4 MiB on, and while an answer is made it grows

# a process of its own, so that what is measured is the service and not the clients beside it
PROBE = """
import http.client, json, sys, threading, time
host, port = sys.argv[1], int(sys.argv[2])
worst, ended = {}, threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.is_set():
    for path in ("/healthz", "/metrics"):
        started = time.monotonic()
        line = http.client.HTTPConnection(host, port, timeout=60)
        line.request("GET", path)
        answer = line.getresponse()
        answer.read()
        line.close()
        assert answer.status == 200, (path, answer.status)
        worst.setdefault(path, []).append(time.monotonic() - started)
    ended.wait(0.1)
print(json.dumps(worst))
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service with a large sample, all of it published."""
    running = Service(tmp_path_factory.mktemp("clients"), output={"pictures": False})
    put_large_sample(running, MICROGRAPHS, PER_MICROGRAPH)
    with running.start(fresh=True):
        yield running


@contextlib.contextmanager
def probed(service, what):
    """Ask for health and metrics all the while; none may take longer than a second."""
    place = urlsplit(service.page())
    command = [sys.executable, "-c", PROBE, place.hostname, str(place.port)]
    probe = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        said, _ = probe.communicate("", timeout=120)
    assert 0 == probe.returncode
    for path, seconds in json.loads(said).items():
        print(f"{what}: {path} {len(seconds)} times, worst {max(seconds):.3f} s")
        assert max(seconds) < SLOWEST_S, path


def log_bytes(service):
    """Size of the log of the ledger."""
    return (service.state / f"{FILE_NAME}-wal").stat().st_size


def connect(service, request, receive_bytes=None):
    """A client that has sent so much of its request."""
    place = urlsplit(service.page())
    line = socket.socket()
    if receive_bytes:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    line.connect((place.hostname, place.port))
    line.sendall(request.format(host=place.netloc).encode())
    return line


def ask(service, path, codes, until_s):
    """One person: comes back as it is told to, and gives up after a while; counts answers by their status."""
    place, pause_s = urlsplit(service.page()), 0
    while time.monotonic() + pause_s < until_s:
        time.sleep(pause_s)
        line = http.client.HTTPConnection(place.hostname, place.port, timeout=2 * MINUTE_S)
        with contextlib.closing(line), contextlib.suppress(TimeoutError):
            line.request("GET", path)
            answer = line.getresponse()
            length, found = int(answer.headers.get("content-length", -1)), 0
            while piece := answer.read(1 << 16):
                found += len(piece)
            codes[answer.status] += 1
            assert length in (-1, found)
            if answer.status == 200:
                return
            pause_s = int(answer.headers.get("retry-after", 0))


def test_a_reader_that_stops_for_a_minute_does_not_let_the_log_grow(service, contents):
    """Ten times what the log usually holds is written meanwhile, and new micrographs are analysed."""
    done = service.receipt()["done"]
    request = "GET /api/samples/large/tables/particles.csv HTTP/1.1\r\nHost: {host}\r\n\r\n"
    ledger = sqlite3.connect(service.state / FILE_NAME, timeout=60)
    with probed(service, "a reader that stops"), contextlib.closing(ledger):
        line = connect(service, request, receive_bytes=4096)
        assert b"HTTP/1.1 200" == line.recv(12)
        ends, largest, rounds = time.monotonic() + MINUTE_S, 0, 0
        while time.monotonic() < ends:
            ledger.execute("UPDATE micrographs SET seconds = seconds")
            ledger.commit()
            (service.watched / f"new_{rounds}.dm3").write_bytes(contents())
            largest, rounds = max(largest, log_bytes(service)), rounds + 1
            time.sleep(1)
        line.close()
    service.count_of(done=done + rounds)
    print(f"log of the ledger at most {largest / 2**20:.1f} MiB in {rounds} rounds")
    assert largest < LOG_MIB * 2**20


def test_many_workbooks_and_half_sent_requests_hold_up_nobody(service):
    """Some get their workbook, the others are told to come back; half a request is cut off in time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, HALF_SENT + 1000)), hard))
    codes, until_s = Counter(), time.monotonic() + MINUTE_S
    path = "/api/samples/large/workbook.xlsx"
    memory = [memory_bytes(service.process.pid)]
    with probed(service, "workbooks and half-sent requests"):
        people = [
            threading.Thread(target=ask, args=(service, path, codes, until_s), daemon=True)
            for _ in range(PEOPLE)
        ]
        for person in people:
            person.start()
        lines = [connect(service, "GET /healthz HTTP/1.1\r\nHost: {host}\r\nX-") for _ in range(HALF_SENT)]
        while any(person.is_alive() for person in people):
            memory.append(memory_bytes(service.process.pid))
            time.sleep(1)
        for line in lines:
            line.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                assert not line.recv(1)
            line.close()
    print(f"{dict(codes)}; memory at most {max(memory) / 2**20:.0f} MiB, {memory[0] / 2**20:.0f} before")
    assert {200, 503} == set(codes)
    connection = sqlite3.connect(service.state / FILE_NAME)
    with contextlib.closing(connection):
        wait_until(
            lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0,
            what="a ledger that nobody holds",
        )


VIEWS = (
    "summary",
    "particles",
    "particles?format=parquet",
    "population?descriptor=circularity",
    "population?weighting=volume",
    "convergence",
    "border",
    "scatter",
    "micrographs?limit=1000",
    "charts/histogram.svg",
    "charts/convergence.png",
    "report",
    "tables/rejections.csv",
)


def test_many_open_pages_hold_up_nobody(service, contents):
    """Statistics, charts and reports of the large sample, while micrographs arrive."""
    done, until_s, codes = service.receipt()["done"], time.monotonic() + MINUTE_S, Counter()
    ledger = sqlite3.connect(service.state / FILE_NAME, timeout=60)

    def browse(number):
        views = itertools.islice(itertools.cycle(VIEWS), number % len(VIEWS), None)
        while time.monotonic() < until_s:
            ask(service, f"/api/samples/large/{next(views)}", codes, until_s)

    with probed(service, "open pages"), contextlib.closing(ledger):
        people = [threading.Thread(target=browse, args=(number,), daemon=True) for number in range(PEOPLE)]
        for person in people:
            person.start()
        rounds = 0
        while any(person.is_alive() for person in people):
            # as a retry does it: what pages keep in memory is out of date
            ledger.execute("UPDATE samples SET generation = generation + 1 WHERE sample = 'large'")
            ledger.commit()
            (service.watched / f"page_{rounds}.dm3").write_bytes(contents())
            rounds += 1
            time.sleep(3)
    print(dict(codes))
    assert set(codes) <= {200, 429, 503}
    service.count_of(done=done + rounds)
