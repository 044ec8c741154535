"""What `make attack` does to a service while it works, or between its end and its next start.

An act takes the service and what gives new content. Each is done once; the service must get over it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from ledger_cases import arrival
from system import wait_until, workers_of
from temwatch.ledger import open_ledger, queue

Content = Callable[[], bytes]

HALF_SENT, PEOPLE = 300, 60

# in a process of its own: many clients at once, and one that asks all the while whether the service answers
CLIENTS = """
import http.client, json, socket, sys, threading, time
host, port, half_sent, people = sys.argv[1], *map(int, sys.argv[2:])
longest, ended = 0.0, threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()

def get(path):
    line = http.client.HTTPConnection(host, port, timeout=120)
    line.request("GET", path)
    answer = line.getresponse()
    answer.read()
    line.close()
    return answer.status

def ask(path):
    try:
        get(path)
    except (OSError, http.client.HTTPException):
        pass

def open_line(text):
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect((host, port))
    line.sendall(text)
    return line

lines = []
try:
    for _ in range(half_sent):
        lines.append(open_line(b"GET /healthz HTTP/1.1\\r\\nHost: x\\r\\nX-"))
    path = b"/api/samples/loop/tables/particles.csv"
    lines.append(open_line(b"GET " + path + b" HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n"))
except OSError:
    pass
for _ in range(people):
    threading.Thread(target=ask, args=("/api/samples/loop/workbook.xlsx",), daemon=True).start()
while not ended.is_set():
    started = time.monotonic()
    try:
        get("/healthz")
    except (OSError, http.client.HTTPException):
        break  # the service was killed
    longest = max(longest, time.monotonic() - started)
    ended.wait(0.25)
print(longest)
"""


class Clients:
    """Many clients of a service; `longest_s` is how long it needed to say that it is alive."""

    def __init__(self, service):
        place = urlsplit(service.page())
        command = [sys.executable, "-c", CLIENTS, place.hostname, str(place.port), HALF_SENT, PEOPLE]
        self._process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def longest_s(self) -> float:
        """End them."""
        said, _ = self._process.communicate("", timeout=300)
        return float(said or 0)


def save_again(service, content: Content) -> None:
    """With equal size and time, as `cp -p` and memory cards do."""
    for path in sorted(service.watched.glob("*/good_0.dm3"))[:3]:
        before = path.stat()
        path.write_bytes(content())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def change_modes(service, _: Content) -> None:
    """`chmod` of everything."""
    for path in service.watched.glob("*/good_*.dm3"):
        path.chmod(0o640)


def edit_tables(service, _: Content) -> None:
    """As spreadsheets save them: BOM, semicolons, CRLF; and sorted, and with a remark."""
    tables = sorted(service.output.glob("*/micrographs.csv"))[:6]
    for number, path in enumerate(tables):
        head, *lines = path.read_bytes().splitlines(keepends=True)
        changes = (
            lambda head=head, lines=lines: (
                (head + b"".join(lines)).replace(b",", b";").replace(b"\n", b"\r\n")
            ),
            lambda head=head, lines=lines: head + b"".join(sorted(lines, reverse=True)),
            lambda head=head, lines=lines: head + b"".join(lines) + b"checked",
        )
        path.write_bytes(changes[number % 3]())


def stop_a_worker(service, _: Content) -> None:
    """As in the uninterruptible read of a dead share; it is replaced after two minutes."""
    for pid in workers_of(service.process)[:1]:
        os.kill(pid, signal.SIGSTOP)


def send_bad_bodies(service, _: Content) -> None:
    """To every door, with the token and without."""
    token = (service.state / "token").read_text().strip()
    bodies = (b"NaN", b'{"pixel_size_nm": 1e999}', b"[" * 100_000, b"\xff\xfe\x00", b'{"paths": ["\\ud800"]}')
    for path in ("api/retry", "api/samples/loop/comparison", "api/micrographs/1/exclude"):
        for body in bodies:
            for headers in ({}, {"Authorization": f"Bearer {token}"}):
                kind = "text/csv" if "comparison" in path else "application/json"
                request = urllib.request.Request(
                    service.page() + path, body, headers | {"Content-Type": kind}
                )
                with contextlib.suppress(urllib.error.HTTPError, OSError):
                    urllib.request.urlopen(request, timeout=30).close()


def take_a_folder_away(service, content: Content) -> None:
    """A file in the place of one sample's results, until `give_it_back`."""
    folder = service.output / "loop"
    wait_until(folder.is_dir, what="the first results")
    folder.rename(service.folder / "away")
    folder.write_text("")
    (service.watched / "loop" / "while_away.dm3").write_bytes(content())


def give_it_back(service, _: Content) -> None:
    """The results of the sample are there again."""
    folder = service.output / "loop"
    if folder.is_file():
        folder.unlink()
        (service.folder / "away").rename(folder)


RUNNING: tuple[Callable[[object, Content], None], ...] = (
    save_again,
    edit_tables,
    send_bad_bodies,
    take_a_folder_away,
    change_modes,
    give_it_back,
    stop_a_worker,
)
"""Done to a service that runs, in this order."""


def set_clock_back(service, content: Content) -> None:
    """A file that was found and put back when the clock was years ahead."""
    path, ahead = "loop/late.dm3", datetime.now(UTC) + timedelta(days=9999)
    (service.watched / path).write_bytes(content())
    found = (service.watched / path).stat()
    with open_ledger(service.state) as ledger:
        number = queue.add(
            ledger,
            arrival(
                path,
                root=str(service.watched),
                sample="loop",
                size_bytes=found.st_size,
                mtime_ns=found.st_mtime_ns,
                ctime_ns=found.st_ctime_ns,
                detected_at=ahead,
            ),
        )
        for file in queue.claim(ledger, 10_000, ahead):
            queue.release(ledger, file.id, not_before=ahead if file.id == number else None)


def leave_things_in_the_spool(service, _: Content) -> None:
    """It is a link now, and holds a file of somebody else; a drawing was interrupted."""
    spool, elsewhere = service.state / "spool", service.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_text("mine")
    (elsewhere / "12.dm3").write_text("a copy that was left")
    for path in spool.glob("*"):
        path.unlink()
    spool.rmdir()
    spool.symlink_to(elsewhere)


def truncate_pictures(service, _: Content) -> None:
    """As after a power cut."""
    for path in sorted(service.output.glob("*/micrographs/*/*.png"))[:3]:
        os.truncate(path, 100)


BETWEEN: tuple[Callable[[object, Content], None], ...] = (
    set_clock_back,
    leave_things_in_the_spool,
    truncate_pictures,
)
"""Done while it does not run, in this order."""
