"""What people and disks do to the results: tables that are edited, folders that cannot be written."""

import contextlib

import pytest

from faults import BIND, mount, unmount
from system import Service, command, rows, wait_until

pytestmark = pytest.mark.system

REMOUNT, READ_ONLY = 32, 1


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    formats = {"formats": ["csv", "xlsx", "parquet"]}
    with Service(tmp_path_factory.mktemp("output"), output=formats) as running:
        yield running


def as_a_spreadsheet_saves(content):
    """BOM, semicolons, CRLF."""
    return b"\xef\xbb\xbf" + content.replace(b",", b";").replace(b"\n", b"\r\n")


def sorted_rows(content):
    """By the last digits, as no run of the service would leave them."""
    head, *lines = content.splitlines(keepends=True)
    return b"".join([head, *sorted(lines, key=lambda line: line[::-1])])


def kept(folder):
    return sorted(folder.glob("*.edited-*.csv"))


def test_an_edited_table_is_kept_and_page_log_and_status_say_so(service, contents):
    """While it runs and while it is stopped; each edit is told once, every row is there once."""
    folder = service.output / "Au"
    path = folder / "particles.csv"
    edited = []
    for number, change in enumerate(
        (as_a_spreadsheet_saves, sorted_rows, lambda content: content + b"ok"), 1
    ):
        (service.watched / f"Au_{number:02d}.dm3").write_bytes(contents())
        wait_until(lambda number=number: len(service.micrographs()) == number, what="the row")
        if number == 3:
            assert 0 == service.stop()
        edited.append(change(path.read_bytes()))
        path.write_bytes(edited[-1])
    service.start()
    (service.watched / "Au_04.dm3").write_bytes(contents())
    wait_until(lambda: len(service.micrographs()) == 4, what="the last row")
    assert sorted(edited) == sorted(one.read_bytes() for one in kept(folder))
    expected = [
        (row["micrograph"], str(n + 1)) for row in service.micrographs() for n in range(int(row["particles"]))
    ]
    assert expected == [(row["micrograph"], row["particle"]) for row in rows(path)]
    assert 3 == service.log.read_text().count("table was edited")
    assert 3 == len(service.json("api/trouble")["tables"]) == service.json("api/now")["edited_tables"]
    said = command("status", "--config", service.config).stdout
    assert all(one.name in said for one in kept(folder))
    for one in kept(folder):
        one.unlink()
    assert [] == service.json("api/trouble")["tables"]
    assert "edited:" not in command("status", "--config", service.config).stdout


@contextlib.contextmanager
def read_only(folder):
    """As after an error of the disk, or without permission."""
    mount(folder, folder, flags=BIND)
    mount(folder, folder, flags=BIND | REMOUNT | READ_ONLY)
    try:
        yield
    finally:
        unmount(folder)


def test_good_micrographs_wait_while_results_cannot_be_written(tmp_path, contents):
    """Read-only, also over a restart; one sample only; disconnected. None fails, each is published once."""
    below, results = tmp_path / "below", tmp_path / "results"
    for folder in (below, results):
        folder.mkdir()
    mount(below, results, flags=BIND)
    state = str(tmp_path / "state")
    formats = ["csv", "xlsx", "parquet"]
    service = Service(
        tmp_path, output={"state_folder": state, "formats": formats}, watch={"settle_seconds": 0.1}
    )
    service.state = tmp_path / "state"
    arrived = []

    def arrive(sample):
        arrived.append(f"{sample}_{len(arrived):02d}.dm3")
        (service.watched / arrived[-1]).write_bytes(contents())

    def published():
        return sorted(row["micrograph"] for sample in "AB" for row in service.micrographs(sample))

    def overlays():
        return len(list(results.glob("*/micrographs/*/*_overlay.png")))

    def rests(sample):
        written = (results / sample / "particles.csv").stat().st_mtime_ns
        late = [results / sample / name for name in (f"{sample}.xlsx", "particles.parquet")]
        return all(path.exists() and path.stat().st_mtime_ns >= written for path in late)

    def are_published(names):
        wait_until(lambda: published() == sorted(names), what=lambda: f"{names}, there are {published()}")

    def is_writable(expected):
        wait_until(lambda: service.metric("output_writable") == expected, what=f"output_writable {expected}")
        wait_until(lambda: service.status("readyz") == (200 if expected else 503), what="readyz")

    try:
        with service:
            arrive("A")
            arrive("B")
            are_published(arrived)
            with read_only(results):
                arrive("A")
                is_writable(0)
                assert "results cannot be written" in str(service.json("api/now")["trouble"])
                assert 0 == service.stop()
                service.start(ready=False)
                wait_until(service.page, what="the page")
                is_writable(0)
                assert {"done": 2, "failed": 0}.items() <= service.receipt().items()
            is_writable(1)
            are_published(arrived)
            with read_only(results / "B"):
                arrive("B")
                wait_until(
                    lambda: arrived[-1] in service.log.read_text().partition("cannot write")[2], what="B"
                )
                arrive("A")
                others = [name for name in arrived if name != arrived[-2]]
                are_published(others)
                assert 1 == service.metric("output_writable")
            are_published(arrived)
            wait_until(lambda: overlays() == len(arrived), what="the pictures")
            # what is being written while the share goes away lies on what is below it
            wait_until(lambda: all(map(rests, "AB")), what="the files of quiet samples")
            unmount(results)
            wait_until(lambda: service.metric("output_writable") == 0, what="a share that is missed")
            arrive("A")
            wait_until(lambda: service.receipt()["pending"] == 1, what="the last file")
            assert [] == list(results.iterdir())
            mount(below, results, flags=BIND)
            are_published(arrived)
            service.count_of(done=len(arrived), failed=0)
            wait_until(lambda: len(list(results.glob("*/*.xlsx"))) == 2, what="workbooks")
        assert {"_micrograph.png", "_mask.png", "_overlay.png"} == {
            path.name.removeprefix(path.parent.name)
            for folder in results.glob("*/micrographs/*")
            for path in folder.glob("*.png")
        }
        assert len(arrived) == overlays()
    finally:
        unmount(results)
