"""A running service and its watched folder: files that are moved, copied, deleted and come back."""

import os
import shutil

import pytest

from system import Service, command, rows, temwatch, threshold, wait_until
from temwatch.ledger import Reader, changes

pytestmark = pytest.mark.system

PLACE = {"sample", "micrograph", "sequence"}
RULES = {"exclude": ["rejected/"], "scan_interval_seconds": 0.5}


@pytest.fixture(scope="module")
def service(tmp_path_factory, series):
    """It has analysed three micrographs of one sample and one of another."""
    service = Service(tmp_path_factory.mktemp("moves"), watch=RULES)
    files = sorted(series.glob("*.dm3"))
    for name, file in zip(("Au/Au_0.dm3", "Au/Au_1.dm3", "Au/Au_2.dm3", "Pt/Pt_0.dm3"), files, strict=False):
        (service.watched / name).parent.mkdir(exist_ok=True)
        shutil.copy(file, service.watched / name)
    service.start()
    try:
        service.count_of(done=4)
        wait_until(lambda: len(table(service, "Au", "micrographs")) == 3, what="the tables")
        yield service
    finally:
        service.kill()


def table(service, sample, name):
    path = service.output / sample / f"{name}.csv"
    return rows(path) if path.exists() else []


def statuses(service, sample):
    return {row["micrograph"]: row["status"] for row in table(service, sample, "micrographs")}


def without_place(rows):
    """Rows as they are wherever their micrograph lies."""
    return [{name: value for name, value in row.items() if name not in PLACE} for row in rows]


def ask(service, *arguments):
    answer = command(arguments[0], "--config", service.config, *arguments[1:])
    assert 0 == answer.returncode, answer.stderr + answer.stdout


def test_a_renamed_sample_takes_everything_along(service):
    """Rows, exclusions, history and pictures have the new name after a kill, nothing is analysed again."""
    ask(service, "exclude", "Au/Au_1.dm3", "--reason", "astigmatic", "--by", "anna")
    ask(service, "exclude", "Au/Au_0.dm3", "--particle", "1")
    wait_until(lambda: "excluded" in statuses(service, "Au").values(), what="the exclusion")
    wait_until(
        lambda: "excluded" in [row["reason"] for row in table(service, "Au", "rejections")],
        what="the particle",
    )
    before = {name: table(service, "Au", name) for name in ("particles", "micrographs", "rejections")}
    (service.output / "Au" / "remarks.txt").write_text("of somebody")
    (service.watched / "Au").rename(service.watched / "Ag")
    wait_until(lambda: statuses(service, "Ag"), what="the new sample")
    service.kill()
    service.start()
    wait_until(lambda: len(table(service, "Ag", "micrographs")) == 3, what="the new tables")
    wait_until(lambda: not (service.output / "Au").exists(), what="the end of the old folder")
    for name, rows_before in before.items():
        assert without_place(rows_before) == without_place(table(service, "Ag", name))
    assert {"Ag/Au_0.dm3", "Ag/Au_1.dm3", "Ag/Au_2.dm3"} == {*statuses(service, "Ag")}
    assert "excluded" == statuses(service, "Ag")["Ag/Au_1.dm3"]
    pictures = service.output / "Ag" / "micrographs" / "Au_0"
    assert (pictures / "Au_0_micrograph.png").exists()
    assert (pictures / "Au_0_overlay.png").exists()
    assert "of somebody" == (service.output / "Ag" / "remarks.txt").read_text()
    with Reader(service.state) as reader:
        assert ["anna"] == [row.made_by for row in changes.history(reader, limit=9, sample="Ag")][1:]
    service.count_of(done=3, excluded=1, seen=4)


def test_a_move_into_an_excluding_folder_excludes_and_one_out_of_it_includes(service):
    """The history says which rule did; what somebody included there stays when it moves within."""
    folder = service.watched / "Ag" / "rejected"
    folder.mkdir()
    inside, outside = folder / "Au_2.dm3", service.watched / "Ag" / "Au_2.dm3"
    before = [row for row in table(service, "Ag", "micrographs") if row["micrograph"] == "Ag/Au_2.dm3"]
    outside.rename(inside)
    wait_until(
        lambda: "excluded" == statuses(service, "Ag").get("Ag/rejected/Au_2.dm3"), what="the exclusion"
    )
    with Reader(service.state) as reader:
        assert "matches rejected/" == changes.history(reader, limit=1)[0].reason
    inside.rename(outside)
    wait_until(lambda: "done" == statuses(service, "Ag").get("Ag/Au_2.dm3"), what="the way back")
    after = [row for row in table(service, "Ag", "micrographs") if row["micrograph"] == "Ag/Au_2.dm3"]
    assert before == after
    service.count_of(done=3, excluded=1, seen=4)


def test_a_deletion_is_noted_and_excludes_nothing(service):
    """Nor does a folder that cannot be reached; the note goes when the file is back."""

    def noted():
        return [
            row["micrograph"] for row in table(service, "Ag", "micrographs") if "file_gone" in row["notes"]
        ]

    path = service.watched / "Ag" / "Au_0.dm3"
    counted = len(table(service, "Ag", "particles"))
    elsewhere = path.rename(service.folder / "elsewhere.dm3")
    wait_until(lambda: ["Ag/Au_0.dm3"] == noted(), what="the note")
    assert "done" == statuses(service, "Ag")["Ag/Au_0.dm3"]
    elsewhere.rename(path)
    wait_until(lambda: not noted(), what="its end")
    path.parent.rename(service.folder / "out of reach")
    wait_until(lambda: 3 == len(noted()), what="the notes")
    (service.folder / "out of reach").rename(path.parent)
    wait_until(lambda: not noted(), what="their end")
    assert counted == len(table(service, "Ag", "particles"))
    service.count_of(done=3, excluded=1, seen=4)


def test_content_tells_what_was_moved_between_file_systems(service):
    """A copy of which the original is gone takes its rows; one beside the original is a duplicate."""
    path = service.watched / "Ag" / "Au_0.dm3"
    (before,) = [row for row in table(service, "Ag", "micrographs") if row["micrograph"] == "Ag/Au_0.dm3"]
    shutil.copyfile(path, service.folder / "elsewhere.dm3")
    path.unlink()
    shutil.copyfile(service.folder / "elsewhere.dm3", service.watched / "Pt" / "moved.dm3")
    wait_until(lambda: "Pt/moved.dm3" in statuses(service, "Pt"), what="the new sample")
    wait_until(lambda: "Ag/Au_0.dm3" not in statuses(service, "Ag"), what="the old sample")
    (after,) = [row for row in table(service, "Pt", "micrographs") if row["micrograph"] == "Pt/moved.dm3"]
    assert without_place([before]) == without_place([after])
    shutil.copyfile(service.watched / "Pt" / "moved.dm3", service.watched / "Pt" / "copy.dm3")
    wait_until(lambda: "duplicate" == statuses(service, "Pt").get("Pt/copy.dm3"), what="the copy")
    os.link(service.watched / "Pt" / "moved.dm3", service.watched / "Pt" / "link.dm3")
    wait_until(lambda: "duplicate" == statuses(service, "Pt").get("Pt/link.dm3"), what="the link")
    service.count_of(done=3, excluded=1, duplicates=2, seen=6)


@pytest.mark.slow
def test_an_analysis_of_moved_folders_counts_nothing_twice(tmp_path, series):
    """Two roots, of which one is renamed; frames keep their tracks, and their small pictures."""
    config = threshold(tmp_path)
    config.write_text(config.read_text() + '[sequences]\nfolders = ["run*"]\n')
    one, other = tmp_path / "one", tmp_path / "other"
    for number, file in enumerate(sorted(series.glob("*.dm3"))[:4]):
        name = f"run A/frame_{number}.dm3" if number < 3 else "Au/a.dm3"
        (one / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, one / name)
    other.mkdir()
    shutil.copy(one / "Au" / "a.dm3", other / "b.dm3")
    output = tmp_path / "results"

    def analyse(*folders):
        done = temwatch("analyse", *folders, "--output", output, "--config", config, "--formats", "csv,xlsx")
        assert 0 == done.returncode, done.stderr
        return {name: sorted(path.name for path in output.glob(f"*/{name}")) for name in ("*.csv", "*.xlsx")}

    analyse(one, other)
    before = {name: rows(output / "run A" / f"{name}.csv") for name in ("particles", "frames", "tracks")}
    (one / "run A").rename(one / "run B")
    moved = one.rename(tmp_path / "renamed")
    tables = analyse(moved, other)
    assert ["Au.xlsx", "b.xlsx", "run B.xlsx"] == tables["*.xlsx"]
    for name, rows_before in before.items():
        assert without_place(rows_before) == without_place(rows(output / "run B" / f"{name}.csv"))
    assert 3 == len(list((output / "run B" / "sequences").glob("*/frames/*.jpg")))
    with Reader(output / ".temwatch") as reader:
        assert {"Au", "b", "run B"} == {row.sample for row in reader.samples()}
        assert 5 == reader.receipt().done == reader.receipt().seen
