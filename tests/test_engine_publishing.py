"""A sample or a format that cannot be written costs itself only, and is written once it can be."""

from concurrent.futures import Future

import pytest

from ledger_cases import START, arrival, result
from temwatch.config import Config
from temwatch.engine.artifacts import ArtifactWriter
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Job
from temwatch.engine.publishing import Publisher
from temwatch.engine.run_mode import RunMode
from temwatch.ledger import open_ledger, publications, queue, recording


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
    return Publisher(ledger, config, mode, artifacts, lambda _: None, EngineHooks())


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
