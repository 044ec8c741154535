"""Thousands of files at once, from the start or while the folder is watched, and idle hours after."""

import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from faults import logged
from system import COMMAND, Service, wait_until
from temwatch.acquisition.arrival import arrival
from temwatch.acquisition.scan import scan
from temwatch.config import load
from temwatch.ledger import open_ledger, queue
from temwatch.ledger.schema import FILE_NAME

pytestmark = pytest.mark.system

AT_START, BURST, IDLE = 10_000, 2_000, 20_000


def fill(folder, count, start=0):
    """Small files whose reading costs nothing: they count for the intake alone."""
    for number in range(start, start + count):
        path = folder / f"{number // 1000:02d}"
        path.mkdir(exist_ok=True)
        (path / f"Au_{number:05d}.dm3").write_bytes(b"x")


def memory_bytes(service, field):
    """Resident memory of the service itself, now (VmRSS) or at most (VmHWM)."""
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def processor_seconds(service):
    """Time that the service and its workers have had on a processor."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == service.process.pid:
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def thread_states(service):
    """Letters of /proc, T for stopped."""
    threads = Path(f"/proc/{service.process.pid}/task").glob("*/stat")
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in threads}


@pytest.mark.slow
def test_ten_thousand_files_present_at_the_start(tmp_path):
    """All are in the ledger for a minute of one core, and in less than 300 MiB beyond the empty service."""
    service = Service(tmp_path)
    with service:
        empty = memory_bytes(service, "VmRSS")
    fill(service.watched, AT_START)
    with service.start():
        seen = lambda: service.receipt()["seen"]  # noqa: E731
        wait_until(lambda: seen() == AT_START, what=lambda: f"{AT_START} files, {seen()} seen")
        seconds = processor_seconds(service)
        beyond = memory_bytes(service, "VmHWM") - empty
        print(
            f"{AT_START} files: {seconds:.1f} s of a core, {beyond / 2**20:.0f} MiB beyond the empty service"
        )
        assert 60 > seconds
        assert 300 * 2**20 > beyond
        assert 200 == service.status("readyz")
        service.process.kill()


@pytest.mark.slow
def test_a_burst_of_two_thousand_files(tmp_path):
    """Each is found once, though the events come faster than they can be looked at."""
    with Service(tmp_path) as service:
        fill(service.watched, BURST)
        wait_until(lambda: service.receipt()["seen"] >= BURST, what=lambda: f"all of {service.receipt()}")
        scans = service.metric("last_scan_timestamp_seconds")
        wait_until(lambda: service.metric("last_scan_timestamp_seconds") > scans, what="another scan")
        assert BURST == service.receipt()["seen"]
        assert 200 == service.status("readyz")
        service.kill()


def test_events_that_the_kernel_threw_away_are_counted_and_cost_no_file(tmp_path):
    """The queue of events is made to overflow for real: nobody reads while thousands of files are made."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip(f"the kernel queues {limit} events here, too many to overflow in a test")
    with Service(tmp_path, watch={"scan_interval_seconds": 3600.0}) as service:
        folder = service.watched / "00"
        folder.mkdir()
        (folder / "first.dm3").write_bytes(b"x")
        wait_until(lambda: service.receipt()["seen"] == 1, what="the first file")
        service.process.send_signal(signal.SIGSTOP)
        # a thread that is in the middle of reading events stops only after it has read two thousand more
        wait_until(lambda: {"T"} == thread_states(service), what=lambda: f"a stop, {thread_states(service)}")
        files = 300
        for _ in range(-(-limit // files)):
            for number in range(files):
                os.utime(folder / "first.dm3") if number % 2 else (folder / f"{number}.tmp").touch()
        (service.watched / "late").mkdir()
        (service.watched / "late" / "last.dm3").write_bytes(b"x")
        service.process.send_signal(signal.SIGCONT)
        wait_until(lambda: service.metric("event_overflows_total"), what="the count of overflows")
        wait_until(lambda: service.receipt()["seen"] >= 2, what="the file whose event was lost")
        logged(service, "events were lost")


@pytest.mark.slow
def test_without_any_inotify_instance_scans_alone_find_every_file(tmp_path, series):
    """The limit is reached by other programs; here it is 0, in a namespace of its own."""
    limited = ("unshare", "--user", "--map-root-user", "sh", "-c")
    script = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$0" "$@"'
    probe = Service(tmp_path)
    if os.system("unshare --user --map-root-user true 2>/dev/null"):
        pytest.skip("this machine forbids user namespaces")
    with probe.start(command=(*limited, script, *COMMAND, "run", "--config")) as service:
        shutil.copy(sorted(series.glob("*.dm3"))[0], service.watched / "Au_01.dm3")
        service.count_of(done=1)
        assert 1 == service.metric('files_detected_total{source="rescan"}')
        logged(service, "no file system events")


@pytest.mark.parametrize(
    "scans", [pytest.param(2, marks=pytest.mark.slow), pytest.param(12, marks=pytest.mark.soak)]
)
def test_idle_beside_twenty_thousand_files_it_takes_less_than_a_hundredth_of_a_core(tmp_path, scans):
    """With the scan interval that is the default; among twelve scans are two that examine every file."""
    service = Service(tmp_path, watch={"scan_interval_seconds": 10.0})
    fill(service.watched, IDLE)
    config = load(service.config)
    with open_ledger(config.output.state) as ledger:
        found = list(scan(config.watch.folder, config.watch.patterns))
        queue.add_all(ledger, (arrival(config, config.watch.folder, item, "startup") for item in found))
    connection = sqlite3.connect(config.output.state / FILE_NAME)
    connection.execute("UPDATE files SET status = 'refused'")  # as if all had been looked at before
    connection.commit()
    connection.close()
    with service.start(ready=False):
        wait_until(service.page, what="the page")
        wait_until(lambda: service.status("readyz") == 200, what="readiness")
        time.sleep(2)
        began, used = time.monotonic(), processor_seconds(service)
        time.sleep(10 * scans + 1)
        share = (processor_seconds(service) - used) / (time.monotonic() - began)
        print(f"idle: {100 * share:.2f} % of a core with {IDLE} files in the tree")
        assert IDLE == service.receipt()["seen"]
        assert 0.01 > share
