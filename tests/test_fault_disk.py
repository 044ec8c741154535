"""The disk of results, ledger or spool is full in the middle of a write, and has space again later."""

import os
from collections import Counter

import pytest

from faults import small_disk
from system import Service, rows, temwatch, wait_until

pytestmark = pytest.mark.system

MEGABYTES = 24
LEFT_KILOBYTES = (0, 24, 80, 200)


def fill(disk, left_bytes):
    """Leave so much space; gives the ballast."""
    ballast = disk / ".ballast"
    with ballast.open("wb", buffering=0) as stream:
        free = os.statvfs(disk)
        stream.write(b"\0" * max(0, free.f_bavail * free.f_bsize - left_bytes))
    return ballast


def fill_again_and_again(service, disk, contents):
    """A micrograph arrives at a disk that is full, or soon will be; then there is space again."""
    for number, left in enumerate(LEFT_KILOBYTES, 1):
        ballast = fill(disk, left * 1024)
        before = service.log.stat().st_size
        (service.watched / f"Au_{number:02d}.dm3").write_bytes(contents())

        def noticed(before=before, number=number):
            text = service.log.read_bytes()[before:]
            finished = f"Au_{number:02d}.dm3".encode() in text and b"finished" in text
            full = b"disk full" in text or b"will retry" in text
            return finished or full or service.process.poll() is not None

        wait_until(noticed, what=f"an end or a complaint with {left} KiB left")
        ballast.unlink()
        wait_until(
            lambda number=number: service.receipt()["done"] == number or service.process.poll() is not None,
            what=f"micrograph {number}, or the end",
        )
        if service.process.poll() is not None:  # systemd starts it again: the code is not 2
            assert 3 == service.process.returncode
            assert "full" in service.log.read_text()
            service.start()
        service.count_of(done=number)


def assert_all_is_there(service):
    """Each micrograph once, in ledger, tables and pictures, and nothing else."""
    count = len(LEFT_KILOBYTES)
    wait_until(lambda: len(service.micrographs()) == count, what="all rows")
    assert 0 == service.stop()
    assert {"seen": count, "done": count} == {key: value for key, value in service.receipt().items() if value}
    expected = {row["micrograph"]: int(row["particles"]) for row in service.micrographs()}
    assert {f"Au_{number:02d}.dm3" for number in range(1, count + 1)} == set(expected)
    particles = rows(service.output / "Au" / "particles.csv")
    assert Counter(expected) == Counter(row["micrograph"] for row in particles)
    folders = {path.name: path for path in (service.output / "Au" / "micrographs").iterdir()}
    assert {f"Au_{number:02d}" for number in range(1, count + 1)} == set(folders)
    for name, folder in folders.items():
        assert {
            f"{name}_{kind}" for kind in ("micrograph.png", "mask.png", "overlay.png", "particles.csv")
        } == {path.name for path in folder.iterdir()}
    before = {path.name: path.read_bytes() for path in (service.output / "Au").glob("*.csv")}
    assert 0 == temwatch("rebuild", "--config", service.config).returncode
    assert before == {path.name: path.read_bytes() for path in (service.output / "Au").glob("*.csv")}


def test_the_disk_of_the_results_is_full(tmp_path, contents):
    """Tables and pictures wait, the service lives on, and no file is failed for it."""
    with small_disk(tmp_path / "results", MEGABYTES) as disk:
        state = str(tmp_path / "state")
        service = Service(tmp_path, output={"state_folder": state}, watch={"settle_seconds": 0.1})
        service.state = tmp_path / "state"
        with service:
            process = service.process
            fill_again_and_again(service, disk, contents)
            assert process is service.process, "it ended though only results were full"
            assert_all_is_there(service)


def test_the_disk_of_ledger_and_spool_is_full(tmp_path, contents):
    """The ledger cannot be written: the service ends, and goes on where it was at its next start."""
    with small_disk(tmp_path / "state", MEGABYTES) as disk:
        service = Service(tmp_path, output={"state_folder": str(disk)}, watch={"settle_seconds": 0.1})
        service.state = disk
        with service:
            fill_again_and_again(service, disk, contents)
            assert_all_is_there(service)


@pytest.mark.slow
def test_one_disk_for_all_is_full(tmp_path, contents):
    """As on most workstations."""
    with (
        small_disk(tmp_path / "results", MEGABYTES) as disk,
        Service(tmp_path, watch={"settle_seconds": 0.1}) as service,
    ):
        fill_again_and_again(service, disk, contents)
        assert_all_is_there(service)
