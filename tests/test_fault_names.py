"""Names that break programs, links, and folders that arrive with everything in them."""

import os
import shutil
import unicodedata

import pytest

from system import Service, rows, wait_until
from temwatch.ledger import Reader
from temwatch.names import as_text

pytestmark = pytest.mark.system

NAMES = {
    "spaces": "a name  with spaces .dm3",
    "unicode": "Ångström µ 金 é.dm3",
    "decomposed": unicodedata.normalize("NFD", "é decomposed.dm3"),
    "newline": "first line\nsecond line.dm3",
    "quotes": "'\" $(echo) `id` ;&|%s{}.dm3",
    "255 bytes": "x" * 251 + ".dm3",
    "long unicode": "µ" * 125 + ".dm3",
    "capitals": "SHOUTED.DM3",
    "no UTF-8": os.fsdecode(b"caf\xe9.dm3"),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Service(tmp_path_factory.mktemp("names"), watch={"scan_interval_seconds": 1.0}) as running:
        yield running


def paths(service, sample):
    """Path and status of every row, from the ledger."""
    with Reader(service.output / ".temwatch") as reader:
        return [(row.micrograph, str(row.status)) for row in reader.micrographs(sample)]


def test_every_name_that_a_file_system_takes(service, contents):
    """Each becomes a row, a line of the tables, pictures and its own table."""
    folder = service.watched / "odd"
    folder.mkdir()
    for name in NAMES.values():
        (folder / name).write_bytes(contents())
    wait_until(
        lambda: len(paths(service, "odd")) == len(NAMES), what=lambda: f"all of {paths(service, 'odd')}"
    )
    service.count_of()
    assert sorted((f"odd/{as_text(name)}", "done") for name in NAMES.values()) == sorted(
        paths(service, "odd")
    )
    made = service.output / "odd" / "micrographs"
    wait_until(lambda: len(list(made.glob("*/*_particles.csv"))) == len(NAMES), what="the last table")
    assert len(NAMES) == len(rows(service.output / "odd" / "micrographs.csv"))
    assert len(NAMES) == len(list(made.iterdir()))
    for path in made.iterdir():
        assert {"micrograph.png", "mask.png", "overlay.png", "particles.csv"} == {
            file.name.removeprefix(f"{path.name}_") for file in path.iterdir()
        }
    assert 200 == service.status("api/samples/odd/particles")


def test_links_are_followed_within_the_watched_folder_only(service, contents, tmp_path):
    """What lies elsewhere is not ours to read, and a loop ends."""
    (tmp_path / "secret.dm3").write_bytes(contents())
    folder = service.watched / "links"
    (folder / "real").mkdir(parents=True)
    (folder / "real" / "own.dm3").write_bytes(contents())
    (folder / "again").symlink_to(folder / "real")
    (folder / "out.dm3").symlink_to(tmp_path / "secret.dm3")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "dangling.dm3").symlink_to(folder / "nothing.dm3")
    (folder / "loop").symlink_to(service.watched)
    wait_until(lambda: ("links/real/own.dm3", "done") in paths(service, "links"), what="the file itself")
    scans = service.metric("last_scan_timestamp_seconds")
    wait_until(lambda: service.metric("last_scan_timestamp_seconds") > scans + 1, what="two more scans")
    service.count_of()
    found = paths(service, "links")
    assert 1 == sum(status == "done" for _, status in found)
    assert not [path for path, _ in found if "out" in path or "dangling" in path or "secret" in path]


def test_a_folder_that_is_moved_in_with_files_inside(service, contents):
    """Renamed in one step, three deep: no event tells of the files."""
    prepared = service.folder / "prepared"
    for name in ("a.dm3", "one/b.dm3", "one/two/c.dm3", "one/two/three/d.dm3"):
        (prepared / name).parent.mkdir(parents=True, exist_ok=True)
        (prepared / name).write_bytes(contents())
    prepared.rename(service.watched / "moved")
    wait_until(lambda: len(paths(service, "moved")) == 4, what="the four files")
    assert {"done"} == {status for _, status in paths(service, "moved")}


def test_folders_created_with_files_inside_at_once(service, contents):
    """Faster than a watch can be put on each of them."""
    for number in range(30):
        folder = service.watched / "made" / f"{number % 3}" / f"{number}"
        folder.mkdir(parents=True)
        (folder / "a.dm3").write_bytes(contents())
    wait_until(lambda: len(paths(service, "made")) == 30, what="thirty files")
    service.count_of()
    assert [("done", 30)] == [("done", sum(status == "done" for _, status in paths(service, "made")))]


def test_a_folder_that_is_copied_while_it_is_watched(service, series):
    """File by file, as a user does with yesterday's session."""
    shutil.copytree(series, service.watched / "copied", ignore=lambda *_: [])
    wait_until(lambda: len(paths(service, "copied")) == 6, what="six files")
    service.count_of()
    assert {"done"} == {status for _, status in paths(service, "copied")}
