"""The microscope's share vanishes, fills with errors, hangs, and comes back."""

import time
import urllib.request

import pytest

from faults import logged, mount, share, unmount
from system import Service, wait_until
from temwatch.ledger import Reader

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    with share(tmp_path_factory.mktemp("share")) as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory, mounted):
    """A service that watches a share, which sends no events and cannot be written."""
    watch = {"folder": str(mounted.at), "settle_seconds": 0.2, "scan_interval_seconds": 0.5}
    with Service(tmp_path_factory.mktemp("service"), watch=watch) as running:
        yield running


def arrive(service, mounted, name, content):
    """Write below the share and wait for the row."""
    before = service.receipt()["done"]
    (mounted.below / name).write_bytes(content)
    service.count_of(done=before + 1)


def is_up(service, expected):
    """Wait for watch_folder_up, seen by Prometheus; the page answers all the time."""
    wait_until(lambda: service.metric("watch_folder_up") == expected, what=f"up {expected}")
    assert 200 == service.status("healthz")
    assert (200 if expected else 503) == service.status("readyz")


def test_a_share_without_events_is_scanned(service, mounted, contents):
    """As SMB and NFS are: whoever writes there is another computer. Nothing is ever written to it."""
    arrive(service, mounted, "Au_01.dm3", contents())
    assert {"Au_01.dm3"} == {path.name for path in mounted.below.iterdir()}


def test_a_share_that_hangs_is_said_to_be_down_and_taken_up_again(service, mounted, contents):
    """Every question to it stays open; the service lives on and says so, in metrics, health and log."""
    arrive(service, mounted, "Au_00.dm3", contents())
    before = service.receipt()["done"]
    mounted.is_now("hung")
    (mounted.below / "Au_02.dm3").write_bytes(contents())
    is_up(service, 0)
    logged(service, "the watched folder does not answer")
    with urllib.request.urlopen(service.page() + "api/samples", timeout=10) as answer:
        assert b"Au" in answer.read()
    mounted.is_now("well")
    is_up(service, 1)
    logged(service, "the watched folder answers again")
    service.count_of(done=before + 1)


def test_a_share_that_hangs_while_a_file_is_read(service, mounted, contents):
    """The worker waits with it; in the end the file is there once."""
    before = service.receipt()["done"]
    opened = len(mounted.opened())
    (mounted.below / "Au_03.dm3").write_bytes(contents())
    wait_until(lambda: len(mounted.opened()) > opened, what="the first look into the file")
    mounted.is_now("hung")
    time.sleep(1)
    mounted.is_now("well")
    service.count_of(done=before + 1)


def test_a_share_that_answers_with_errors(service, mounted, contents):
    """EIO for everything: the folder is down, and files in hand are tried again, not failed."""
    before = service.receipt()["done"]
    for number in range(4, 8):
        (mounted.below / f"Au_{number:02d}.dm3").write_bytes(contents())
    mounted.is_now("broken")
    is_up(service, 0)
    mounted.is_now("well")
    is_up(service, 1)
    service.count_of(done=before + 4, failed=0)


def test_a_share_that_is_unmounted_and_mounted_again(service, mounted, contents):
    """The empty folder under it is not taken for the share."""
    before = service.receipt()["done"]
    mounted.unmount()
    assert [] == list(mounted.at.iterdir())
    is_up(service, 0)
    logged(service, "nothing is mounted at")
    (mounted.below / "Au_08.dm3").write_bytes(contents())
    mounted.mount()
    is_up(service, 1)
    service.count_of(done=before + 1)


def test_after_a_restart_nothing_that_was_analysed_is_opened_again(service, mounted, contents):
    """The ledger knows it by size and time: the first result needs no look into any other file."""
    assert 0 == service.stop()
    opened = len(mounted.opened())
    (mounted.below / "Au_09.dm3").write_bytes(contents())
    done = service.receipt()["done"]
    service.start()
    service.count_of(done=done + 1)
    assert {"Au_09.dm3"} == set(mounted.opened()[opened:])


def test_sigterm_while_the_share_hangs(service, mounted, contents):
    """The end is orderly, and what was not read is there at the next start."""
    done = service.receipt()["done"]
    mounted.is_now("hung")
    (mounted.below / "Au_10.dm3").write_bytes(contents())
    is_up(service, 0)
    assert 0 == service.stop()
    mounted.is_now("well")
    service.start()
    service.count_of(done=done + 1)


def test_a_folder_that_goes_and_comes_back(tmp_path, contents):
    """ENOENT, with files that were found and not read yet: none of them is failed."""
    watch = {"settle_seconds": 0.1, "scan_interval_seconds": 0.5}
    with Service(tmp_path, watch=watch) as service:
        (service.watched / "Au_01.dm3").write_bytes(contents())
        service.count_of(done=1)
        for number in range(2, 12):
            (service.watched / f"Au_{number:02d}.dm3").write_bytes(contents())
        wait_until(lambda: service.receipt()["seen"] == 11, what="ten more files in the ledger")
        gone = service.watched.rename(tmp_path / "gone")
        is_up(service, 0)
        time.sleep(2)
        gone.rename(service.watched)
        is_up(service, 1)
        service.count_of(done=11, failed=0)
        with Reader(service.output / ".temwatch") as reader:
            assert 11 == len({row.sha256 for row in reader.micrographs("Au")})


def test_another_disk_mounted_over_the_folder_is_watched_too(tmp_path, contents):
    """Its files arrive by events again, long before the next scan."""
    with Service(tmp_path, watch={"scan_interval_seconds": 3.0}) as service:
        mount("other", service.watched, "tmpfs")
        try:
            logged(service, '"watching"')
            scans = service.metric("last_scan_timestamp_seconds")
            wait_until(lambda: service.metric("last_scan_timestamp_seconds") > scans + 4, what="two scans")
            (service.watched / "Au_01.dm3").write_bytes(contents())
            service.count_of(done=1)
            assert 1 == service.metric('files_detected_total{source="event"}')
        finally:
            unmount(service.watched)
