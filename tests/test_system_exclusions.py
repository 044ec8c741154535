"""`exclude` and `include` beside a running service, and without one."""

import json
import os
import shutil
import signal

import pytest

from system import Service, command, rows, temwatch, threshold, wait_until
from temwatch.ledger import Reader, changes

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def service(tmp_path_factory, series):
    """A running service that has analysed three micrographs of one sample and one of another."""
    rules = {"exclude": ["rejected/", "*_bad*"]}
    service = Service(tmp_path_factory.mktemp("exclusions"), watch=rules)
    files = sorted(series.glob("*.dm3"))
    for name, file in zip(("Au/Au_0.dm3", "Au/Au_1.dm3", "Au/-1.dm3", "Pt/Pt_0.dm3"), files, strict=False):
        (service.watched / name).parent.mkdir(exist_ok=True)
        shutil.copy(file, service.watched / name)
    service.start()
    try:
        wait_until(lambda: len(done(service)) == 4, what="the results")
        yield service
    finally:
        service.kill()


def table(service, sample, name):
    path = service.output / sample / f"{name}.csv"
    return rows(path) if path.exists() else []


def done(service):
    """Paths of the micrographs that count, in the csv files."""
    return [
        row["micrograph"]
        for sample in ("Au", "Pt")
        for row in table(service, sample, "micrographs")
        if row["status"] == "done"
    ]


def statuses(service, sample):
    return {row["micrograph"]: row["status"] for row in table(service, sample, "micrographs")}


def counted(service, sample):
    """Paths in particles.csv."""
    return {row["micrograph"] for row in table(service, sample, "particles")}


def ask(service, *arguments, code=0):
    """A command that decides, for the service's configuration."""
    answer = command(arguments[0], "--config", service.config, *arguments[1:])
    assert code == answer.returncode, answer.stderr + answer.stdout
    return answer.stdout + answer.stderr


def test_an_exclusion_beside_a_running_service_is_in_every_table(service):
    """Tables, summary and the micrograph's folder follow, and come back; the history knows who and why."""
    before = table(service, "Au", "particles")
    said = ask(service, "exclude", "Au/Au_0.dm3", "--reason", "astigmatic", "--by", "anna")
    assert "1 micrograph excluded" in said
    wait_until(lambda: "Au/Au_0.dm3" not in counted(service, "Au"), what="particles.csv")
    wait_until(lambda: "Au/Au_0.dm3" not in done(service), what="micrographs.csv")
    summary = service.output / "Au" / "summary.json"
    wait_until(lambda: json.loads(summary.read_text())["micrographs"] == 2, what="summary.json")
    own = service.output / "Au" / "micrographs" / "Au_0" / "Au_0_particles.csv"
    wait_until(lambda: not rows(own), what="the micrograph's table")
    with Reader(service.state) as reader:
        last = changes.history(reader, limit=1)[0]
    assert ("anna", "astigmatic", "command", "Au/Au_0.dm3") == (
        last.made_by,
        last.reason,
        last.source,
        last.micrograph,
    )
    assert "1 micrograph included" in ask(service, "include", "Au/Au_0.dm3")
    wait_until(lambda: before == table(service, "Au", "particles"), what="particles.csv as it was")


def test_a_particle_by_its_number(service):
    """It is a rejection then; an unknown number is named."""
    said = ask(service, "exclude", "Au/Au_1.dm3", "--particle", "1", "--particle", "9999", code=1)
    assert "1 particle excluded" in said
    assert "no particle 9999" in said
    reasons = wait_until(
        lambda: [row for row in table(service, "Au", "rejections") if row["reason"] == "excluded"],
        what="rejections.csv",
    )
    assert ["Au/Au_1.dm3"] == [row["micrograph"] for row in reasons]
    ask(service, "include", "Au/Au_1.dm3", "--particle", "1")


def test_names_with_a_dash_patterns_and_files_that_are_gone(service):
    """As in the table of micrographs; what matches nothing is named, and the others are excluded."""
    (service.watched / "Pt" / "Pt_0.dm3").unlink()
    said = ask(service, "exclude", "P*/*_0.dm3", "Au/none.dm3", "--", "Au/-1.dm3", code=1)
    assert "2 micrographs excluded" in said
    assert "Au/none.dm3: no such micrograph" in said
    wait_until(lambda: ["Au/Au_0.dm3", "Au/Au_1.dm3"] == sorted(done(service)), what="micrographs.csv")
    ask(service, "include", "*/*")
    wait_until(lambda: len(done(service)) == 4, what="micrographs.csv")


@pytest.mark.parametrize(
    "words",
    [["Au/*", "--particle", "1"], ["Au/Au_0.dm3", "--by", "x" * 101], ["Au/Au_0.dm3", "--frame", "-1"]],
)
def test_what_is_not_clear_changes_nothing(service, words):
    """Exit code 2, one line."""
    with Reader(service.state) as reader:
        before = changes.history(reader, limit=1)
    said = ask(service, "exclude", *words, code=2)
    assert "Traceback" not in said
    with Reader(service.state) as reader:
        assert before == changes.history(reader, limit=1)


def test_a_killed_service_publishes_what_was_decided(service, series):
    """Tables follow at the next start. Who includes what a rule of the configuration excludes is heard."""
    ask(service, "exclude", "Au/Au_1.dm3")
    path = service.watched / "Pt" / "Rejected" / "1.dm3"
    path.parent.mkdir()
    shutil.copy(sorted(series.glob("*.dm3"))[4], path)
    status = {"Pt/Rejected/1.dm3": "excluded"}
    wait_until(
        lambda: status.items() <= statuses(service, "Pt").items(), what="the rule of the configuration"
    )
    with Reader(service.state) as reader:
        rule = changes.history(reader, limit=1)[0]
    assert ("configuration", "matches rejected/") == (rule.source, rule.reason)
    ask(service, "include", "Pt/Rejected/1.dm3")
    os.kill(service.process.pid, signal.SIGKILL)
    wait_until(lambda: service.process.poll() is not None, what="the end")
    service.start()
    wait_until(lambda: "Au/Au_1.dm3" not in counted(service, "Au"), what="particles.csv")
    wait_until(lambda: "Pt/Rejected/1.dm3" in counted(service, "Pt"), what="what was included")
    ask(service, "include", "Au/Au_1.dm3")
    wait_until(lambda: "Au/Au_1.dm3" in counted(service, "Au"), what="particles.csv")


@pytest.mark.slow
def test_two_roots_of_one_analysis(tmp_path, series):
    """A path that both have is ambiguous, the absolute path is not; a rebuild keeps the exclusion."""
    files = sorted(series.glob("*.dm3"))[:2]
    for root, file in zip(("a", "b"), files, strict=True):
        (tmp_path / root / "Au").mkdir(parents=True)
        shutil.copy(file, tmp_path / root / "Au" / "Au_1.dm3")
    output = tmp_path / "results"
    where = ["--output", output]
    roots = [tmp_path / "a", tmp_path / "b"]
    done = temwatch("analyse", *roots, *where, "--config", threshold(tmp_path, pictures=False))
    assert 0 == done.returncode, done.stderr
    ambiguous = command("exclude", "Au/Au_1.dm3", *where)
    assert 2 == ambiguous.returncode
    assert str(tmp_path / "a" / "Au" / "Au_1.dm3") in ambiguous.stderr
    one = tmp_path / "b" / "Au" / "Au_1.dm3"
    assert 0 == command("exclude", one, *where).returncode
    table = output / "Au" / "micrographs.csv"
    states = {row["status"]: int(row["particles"]) for row in rows(table)}
    assert ["done", "excluded"] == sorted(states)
    assert states["done"] == len(rows(output / "Au" / "particles.csv"))
    config = tmp_path / "service.toml"
    config.write_text(
        f"[watch]\nfolder = {json.dumps(str(tmp_path))}\n[output]\nfolder = {json.dumps(str(output))}\n"
        'pictures = false\n[segmentation]\nmethod = "threshold"\n'
    )
    assert 0 == command("rebuild", "--config", config).returncode
    assert states == {row["status"]: int(row["particles"]) for row in rows(table)}
