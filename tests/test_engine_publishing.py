"""A sample or a format that cannot be written costs itself only, and is written once it can be."""

from concurrent.futures import Future

import pytest
import structlog

from ledger_cases import START, arrival, result
from system import wait_until
from temwatch.config import Config, OutputSettings
from temwatch.engine.artifacts import ArtifactWriter
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Job
from temwatch.engine.publishing import Publisher
from temwatch.engine.run_mode import RunMode
from temwatch.engine.workbook_writer import WorkbookWriter
from temwatch.ledger import open_ledger, publications, queue, recording
from temwatch.outputs import paths, sample_folder


@pytest.fixture
def ledger(tmp_path):
    """Two samples of one micrograph each are recorded."""
    with open_ledger(tmp_path / ".temwatch") as ledger:
        for sample in ("Ag", "Au"):
            queue.add(ledger, arrival(f"{sample}/1.dm3", sample=sample))
            (file,) = queue.claim(ledger, 1, START)
            recording.record(ledger, file.id, [result(f"{sample} 1", 3)])
        yield ledger


def publisher(ledger, tmp_path):
    """That of `temwatch analyse`: it writes every format before it ends."""
    output = {"folder": tmp_path, "formats": ("csv", "xlsx", "parquet")}
    config = Config.model_validate({"watch": {"folder": tmp_path}, "output": output})
    mode = RunMode.one_shot()
    artifacts = ArtifactWriter(ledger, tmp_path, mode, submit=lambda *_: None, wake=lambda: None)
    return Publisher(
        ledger, config, mode, artifacts, lambda _: None, workbooks(ledger, tmp_path), EngineHooks()
    )


def workbooks(ledger, tmp_path, submit=lambda *_: None):
    """What a service has its workers write."""
    output = OutputSettings(folder=tmp_path, formats=("csv", "xlsx", "parquet"))
    return WorkbookWriter(ledger, output, submit=submit, wake=lambda: None)


def files(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_a_sample_that_cannot_be_written_holds_up_no_other(ledger, tmp_path):
    """A file has the name of its folder; when that is gone, the tables are written."""
    blocked = tmp_path / "Ag"
    blocked.touch()
    publishing = publisher(ledger, tmp_path)
    for _ in range(2):
        publishing.publish("Ag")
        publishing.publish("Au")
    assert "particles.csv" in files(tmp_path / "Au")
    blocked.unlink()
    assert publishing.finish(interrupted=False) is None
    assert "particles.csv" in files(tmp_path / "Ag")


def test_a_format_that_cannot_be_written_holds_up_no_other(ledger, tmp_path):
    """What kept it is told at the end of the run, and the next run writes it."""
    blocked = tmp_path / "Au" / "Au.xlsx"
    blocked.mkdir(parents=True)
    publishing = publisher(ledger, tmp_path)
    for sample in ("Ag", "Au"):
        publishing.publish(sample)
    assert isinstance(publishing.finish(interrupted=False), OSError)
    assert {"Ag.xlsx", "particles.parquet"} <= files(tmp_path / "Ag")
    assert {"particles.parquet", "particles.csv", "summary.json"} <= files(tmp_path / "Au")
    blocked.rmdir()
    again = publisher(ledger, tmp_path)
    again.publish("Au")
    assert again.finish(interrupted=False) is None
    assert "Au.xlsx" in files(tmp_path / "Au")


def test_a_folder_that_changed_while_it_was_written_is_written_again(ledger, tmp_path):
    """A file that comes once more while a worker still has the folder of its former version."""
    publishing = publisher(ledger, tmp_path)
    writing: list[Future[float]] = []

    def submit(*_):
        writing.append(Future())
        return writing[-1]

    publishing._artifacts._submit = submit
    with ledger.reader() as reader:
        job = Job.begin(reader.file(1), tmp_path, 0)
    publishing.add(job)
    publishing.publish_recorded()
    publications.mark_stale(ledger, "Ag")
    publishing.add(job)
    publishing.publish_recorded()
    assert 1 == len(writing)
    writing[0].set_result(0.0)
    publishing.collect_artifacts()
    publishing._artifacts.write_outdated(4)
    assert 2 == len(writing)


class LateWorker:
    """A worker that does what it was given when the test says so."""

    def __init__(self):
        self.tasks = []

    def __call__(self, *task):
        future = Future()
        self.tasks.append((future, task))
        return future

    def work(self):
        future, (task, *arguments) = self.tasks.pop(0)
        try:
            future.set_result(task(*arguments))
        except OSError as error:
            future.set_exception(error)


def published(ledger, sample):
    with ledger.reader() as reader:
        return publications.published(reader, sample)


def test_workbooks_are_written_by_a_worker_one_sample_at_a_time(ledger, tmp_path):
    """The engine goes on meanwhile; the ledger learns of the files when they are in place."""
    for sample in ("Ag", "Au"):
        (tmp_path / sample).mkdir()
    worker = LateWorker()
    writer = workbooks(ledger, tmp_path, worker)
    for sample in ("Ag", "Au"):
        writer.ask(sample)
    writer.turn()
    writer.turn()
    assert (1, "Ag") == (len(worker.tasks), writer.in_hand[0])
    worker.work()
    assert set() == {name for name in files(tmp_path / "Ag") if not name.startswith(".")}
    writer.turn()
    assert {"Ag.xlsx", "particles.parquet"} == files(tmp_path / "Ag") == set(published(ledger, "Ag"))
    assert "Au" == writer.in_hand[0]
    worker.work()
    writer.turn()
    assert {"Au.xlsx", "particles.parquet"} == files(tmp_path / "Au")
    assert writer.in_hand is None


def test_a_sample_that_grows_on_has_its_workbook_now_and_then(ledger, tmp_path, monkeypatch):
    """Not again within half a minute; nothing is written where nothing has changed."""
    (tmp_path / "Au").mkdir()
    now_s = [1000.0]
    monkeypatch.setattr("temwatch.engine.workbook_writer.time.monotonic", lambda: now_s[0])
    worker = LateWorker()
    writer = workbooks(ledger, tmp_path, worker)
    writer.ask("Au")
    writer.turn()
    worker.work()
    writer.turn()
    before = (tmp_path / "Au" / "Au.xlsx").stat().st_ino
    writer.ask("Au")
    writer.turn()
    assert not worker.tasks
    now_s[0] += 31
    writer.turn()
    assert 1 == len(worker.tasks)
    worker.work()
    writer.turn()
    assert before == (tmp_path / "Au" / "Au.xlsx").stat().st_ino


def test_an_older_workbook_does_not_replace_a_newer_one(ledger, tmp_path):
    """A rebuild in between has written it already."""
    (tmp_path / "Au").mkdir()
    worker = LateWorker()
    writer = workbooks(ledger, tmp_path, worker)
    writer.ask("Au")
    writer.turn()
    worker.work()
    publications.mark_stale(ledger, "Au")
    sample_folder.write_formats(ledger, tmp_path, "Au", ["xlsx"])
    newer = published(ledger, "Au")["Au.xlsx"]
    writer.turn()
    assert newer == published(ledger, "Au")["Au.xlsx"]
    assert {"Au.xlsx", "particles.parquet", "summary.json"} == files(tmp_path / "Au")


def test_a_workbook_that_cannot_be_written_is_tried_again(ledger, tmp_path):
    """Its folder is missing; that is said once."""
    worker = LateWorker()
    writer = workbooks(ledger, tmp_path, worker)
    writer.ask("Au")
    writer.turn()
    worker.work()
    writer.turn()
    assert writer.in_hand is None
    (tmp_path / "Au").mkdir()
    assert wait_until(lambda: writer.turn() or worker.tasks, 10, "the next attempt")
    worker.work()
    writer.turn()
    assert {"Au.xlsx", "particles.parquet"} == files(tmp_path / "Au")


def test_a_format_that_cannot_be_written_apart_holds_up_no_other(ledger, tmp_path, monkeypatch):
    """Whether it cannot be made or cannot be put in place; what kept it is told with its traceback."""

    def fails(*_):
        raise ValueError("unexpected")

    # no second passes, or the first sample is tried again before the other
    monkeypatch.setattr("temwatch.engine.workbook_writer.time.monotonic", lambda: 1000.0)
    worker = LateWorker()
    (tmp_path / "Ag").mkdir()
    (tmp_path / "Au" / "Au.xlsx").mkdir(parents=True)
    writer = workbooks(ledger, tmp_path, worker)
    with monkeypatch.context() as broken, structlog.testing.capture_logs() as said:
        writer.ask("Au")
        writer.turn()
        worker.work()
        writer.turn()
        broken.setitem(sample_folder.OUTPUTS, "xlsx", (paths.WORKBOOK, fails))
        writer.ask("Ag")
        writer.turn()
        worker.work()
        writer.turn()
    for sample in ("Ag", "Au"):
        assert "particles.parquet" in files(tmp_path / sample)
        assert {"particles.parquet"} == set(published(ledger, sample))
    assert ["warning", "error"] == [line["log_level"] for line in said]
    assert "in fails" in said[1]["exc_info"].__notes__[0]


def test_a_service_asks_for_workbooks_of_a_sample_that_never_goes_quiet(ledger, tmp_path, monkeypatch):
    """Also while other files are in hand: each half minute; a quiet sample after five seconds."""
    now_s = [1000.0]
    monkeypatch.setattr("temwatch.engine.publishing.time.monotonic", lambda: now_s[0])
    asked = []
    mode = RunMode.service()
    config = Config.model_validate({"watch": {"folder": tmp_path}, "output": {"folder": tmp_path}})
    artifacts = ArtifactWriter(ledger, tmp_path, mode, submit=lambda *_: None, wake=lambda: None)
    writer = workbooks(ledger, tmp_path)
    monkeypatch.setattr(writer, "ask", asked.append)
    publishing = Publisher(ledger, config, mode, artifacts, lambda _: None, writer, EngineHooks())
    publishing.publish("Ag")
    for _ in range(32):
        now_s[0] += 1
        publishing.publish("Au")
        publishing.catch_up()
    assert ["Ag", "Au"] == asked
