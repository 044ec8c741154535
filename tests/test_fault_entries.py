"""A folder of odd entries beside good micrographs, a real service, and what is left after a restart."""

import os
from functools import partial

import pandas
import pytest

from odd_entries import ENTRIES, FOLDERS
from system import Service, rows, temwatch, wait_until
from temwatch.ledger import Reader
from temwatch.names import as_text, from_cell, name_key, text_cell

pytestmark = [pytest.mark.system, pytest.mark.slow]  # every sample has its workbook, and each costs


@pytest.fixture(scope="module")
def service(tmp_path_factory, contents):
    """It starts with all of them there, ends and starts again, and then gets one more file."""
    running = Service(
        tmp_path_factory.mktemp("entries"),
        output={"formats": ["csv", "xlsx", "parquet"]},
        sequences={"folders": ["frames"]},
    )
    for entry in ENTRIES:
        folder = running.watched / entry.name
        folder.mkdir()
        entry.make(folder, contents)
        (folder / "good_1.dm3").write_bytes(contents())
    for name in FOLDERS:
        (running.watched / name).mkdir(exist_ok=True)
        (running.watched / name / "good_1.dm3").write_bytes(contents())
    with running:
        running.count_of()
        first = running.receipt()
        assert 0 == running.stop()
        running.start()
        (running.watched / "Au" / "last_1.dm3").write_bytes(contents())
        running.count_of(done=first["done"] + 1)
        assert running.receipt() == first | {"done": first["done"] + 1, "seen": first["seen"] + 1}
        wait_until(
            lambda: "Au/last_1.dm3" in {row["micrograph"] for row in running.micrographs()}, what="last row"
        )
        wait_until(lambda: all(map(partial(is_whole, running), samples(running))), what="workbooks")
        yield running


def is_whole(service, sample):
    """Whether the files that are written for quiet samples only have the rows of the tables."""
    folder = service.output / sample
    parquet = folder / "particles.parquet"
    return (
        (folder / f"{sample}.xlsx").exists()
        and parquet.exists()
        and len(pandas.read_parquet(parquet)) == len(rows(folder / "particles.csv"))
    )


def samples(service):
    with Reader(service.state) as reader:
        return [row.sample for row in reader.samples()]


def micrographs(service):
    """Status of every row by its path."""
    with Reader(service.state) as reader:
        return {
            row.micrograph: str(row.status)
            for sample in samples(service)
            for row in reader.micrographs(sample)
        }


def test_each_entry_has_a_row_or_a_line_in_the_log(service):
    """Once each run: a scan every two seconds must not fill the log."""
    found, log = micrographs(service), service.log.read_text()
    for entry in ENTRIES:
        mine = {path: status for path, status in found.items() if path.startswith(f"{entry.name}/")}
        assert "done" == mine.pop(f"{entry.name}/good_1.dm3")
        if entry.expected == "skipped":
            lines = [
                line for line in log.splitlines() if '"entry skipped"' in line and f'"{entry.name}/' in line
            ]
            assert lines
            assert len(lines) == 2 * len({line.partition(', "event"')[0] for line in lines})
        else:
            assert entry.expected in mine.values(), entry.name
            assert set(mine.values()) <= {entry.expected, "done"}, entry.name


def test_every_sample_has_all_of_its_files(service):
    """Tables, workbook and parquet, though its name is not UTF-8 or begins a formula."""
    found = micrographs(service)
    listed = {}
    for sample in samples(service):
        assert is_whole(service, sample)
        folder = service.output / sample
        listed |= {from_cell(row["micrograph"]): row["status"] for row in rows(folder / "micrographs.csv")}
    assert listed == found


def test_samples_are_distinct_folders_with_their_true_names(service):
    """Also for a client that takes Au for AU, or one form of an accent for the other."""
    true = {}
    for folder in service.output.iterdir():
        if folder.name[0] != ".":
            true[name_key(folder.name)] = rows(folder / "micrographs.csv")[0]["sample"]
    assert {text_cell(as_text(name)) for name in FOLDERS} <= set(true.values())
    assert len(true) == len(samples(service)) == len(set(true.values()))


def test_a_file_saved_again_with_equal_size_and_time_is_analysed_again(service, contents):
    """As `cp -p` does; its earlier revision is superseded."""
    path = service.watched / "Au" / "good_1.dm3"
    before = path.stat()
    path.write_bytes(contents())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert before.st_size == path.stat().st_size
    superseded = service.receipt()["superseded"]
    service.count_of(superseded=superseded + 1)
    assert "done" == micrographs(service)["Au/good_1.dm3"]


def files_detected(service):
    """By whatever found them."""
    return sum(
        service.metric(f'files_detected_total{{source="{source}"}}')
        for source in ("event", "rescan", "startup")
    )


def test_files_whose_mode_was_changed_are_read_again_behind_all_others_and_keep_their_rows(service, contents):
    """As `chmod -R` does; none gets a second row, and none is told to be new."""
    folder, before = service.watched / "Au", micrographs(service)
    receipt, detected = service.receipt(), files_detected(service)
    for path in folder.iterdir():
        path.chmod(0o640)
    (folder / "later_1.dm3").write_bytes(contents())

    def is_known():
        with Reader(service.state) as reader:
            return all(
                reader.value("SELECT max(ctime_ns) FROM files WHERE path = ?", f"Au/{path.name}")
                == path.stat().st_ctime_ns
                for path in folder.iterdir()
            )

    wait_until(is_known, what="the new times")
    service.count_of(done=receipt["done"] + 1)
    assert before | {"Au/later_1.dm3": "done"} == micrographs(service)
    assert receipt | {"done": receipt["done"] + 1, "seen": receipt["seen"] + 1} == service.receipt()
    assert detected + 1 == files_detected(service)


def test_page_and_metrics_answer(service):
    """And say what was skipped."""
    paths = ["", "metrics", "readyz", "api/now", "api/micrographs", "api/trouble", "api/samples"]
    assert {200} == {service.status(path) for path in paths}
    skipped = sum(
        service.metric(f'intake_entries_skipped_total{{reason="{code}"}}')
        for code in ("link_loop", "dangling_link", "path_too_long")
    )
    assert skipped >= sum(entry.expected == "skipped" for entry in ENTRIES)


def test_a_name_that_is_not_utf8_can_be_retried_as_it_is_written(service):
    """What table, page and log show is what the command takes."""
    path = "latin/" + as_text(os.fsdecode(b"caf\xe9_01.dm3"))
    assert path in micrographs(service)
    done = temwatch("retry", "--config", service.config, path)
    assert (0, "") == (done.returncode, done.stderr)
    service.count_of()
    assert "done" == micrographs(service)[path]
