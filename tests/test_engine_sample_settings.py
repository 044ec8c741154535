"""Settings of one sample: resolved again from the ledger, undone, and used for what arrives later."""

import csv
import json
import shutil
import sys
from concurrent.futures import Future

import pytest
import structlog
from structlog.testing import LogCapture

from ledger_cases import START
from system import command, rows, temwatch, threshold, wait_until
from temwatch import memory, setting_keys
from temwatch.acquisition import spool
from temwatch.analysis import pipeline
from temwatch.config import Config
from temwatch.engine import decisions, requests, tasks
from temwatch.engine.futures import FirstDone
from temwatch.engine.job import MemoryShare
from temwatch.engine.measuring_again import Attempts, FilesOutOfReach, Workers, measuring_again
from temwatch.engine.orders import read_again_order
from temwatch.engine.process_backend import ProcessBackend
from temwatch.errors import Unreadable, UsageError
from temwatch.ledger import Reader, analyses, changes, open_ledger, sample_settings, waiting_rows
from temwatch.outputs import tables
from web_cases import copied

pytestmark = pytest.mark.system
BY = {"by": "anna", "source": "command", "reason": "dust"}
SMALLEST = "separation.min_diameter_nm"


@pytest.fixture
def output(analysed, tmp_path):
    """Results of two samples, with the files that they come from."""
    return copied(analysed, tmp_path)


@pytest.fixture
def config(output):
    return Config.model_validate(
        {
            "watch": {"folder": str(output.parent / "acquisition")},
            "output": {"folder": str(output), "pictures": False},
            "segmentation": {"method": "threshold"},
        }
    )


@pytest.fixture
def ledger(config):
    with open_ledger(config.output.state) as ledger:
        yield ledger


def put(ledger, **values):
    """What a person sets, as the engine notes it; rows wait then."""
    asked = {"sample": "Au", "values": {key.replace("__", "."): value for key, value in values.items()}, **BY}
    return decisions.decide(ledger, "settings", asked).answer


def measure(ledger, config):
    """What the service does in the background."""
    return requests.complete(measuring_again(ledger, config, requests.workers_here(config), lambda _: None))


def particles(ledger, sample="Au"):
    """Rows of particles.csv without the time of their analysis."""
    with ledger.reader() as reader:
        text = "".join(tables.csv_text(tables.PARTICLES, reader, sample))
    return [{**row, "analysed_at": ""} for row in csv.DictReader(text.splitlines())]


def waiting(ledger):
    with ledger.reader() as reader:
        return waiting_rows.waiting(reader)


def diameters(found):
    return sorted(float(row["equivalent_diameter_nm"]) for row in found)


def test_the_command_sets_shows_and_undoes(output):
    """Rows, tables and method follow; another sample is left alone; the history knows who and why."""
    table, other = output / "Au" / "particles.csv", output / "Pt on carbon" / "particles.csv"
    before, others = rows(table), other.read_bytes()
    middle = diameters(before)[len(before) // 2]
    where = ["--output", output]
    assert "no setting" not in command("settings", "Au", *where).stdout
    done = command("settings", "Au", f"{SMALLEST}={middle}", "--by", "anna", "--reason", "dust", *where)
    assert 0 == done.returncode, done.stderr
    assert "settings changed; 4 micrographs measured again" in done.stdout
    after = rows(table)
    assert 0 < len(after) < len(before)
    assert {row["method"] for row in after}.isdisjoint(row["method"] for row in before)
    assert others == other.read_bytes()
    shown = command("settings", "Au", *where).stdout
    line = next(line for line in shown.splitlines() if line.startswith(f"{SMALLEST} "))
    assert f"{middle:g}  set by anna" in line
    assert "separation.method" in shown
    assert "uecs  configuration" in shown
    with Reader(output / ".temwatch") as reader:
        change = changes.history(reader, limit=1)[0]
    assert ("settings", "anna", "dust", {SMALLEST: None}) == (
        change.action,
        change.made_by,
        change.reason,
        change.before,
    )
    assert f"{SMALLEST} = {middle}" in command("history", *where).stdout
    assert 0 == command("undo", change.id, *where).returncode
    assert [{**row, "analysed_at": ""} for row in before] == [
        {**row, "analysed_at": ""} for row in rows(table)
    ]
    assert 0 == command("undo", change.id + 1, *where).returncode  # the undoing: redo
    assert [row["particle"] for row in after] == [row["particle"] for row in rows(table)]
    assert "already so; 0 micrographs" in command("settings", "Au", f"{SMALLEST}={middle}", *where).stdout


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("output.folder=/tmp", "no setting of a sample"),
        ("segmentation.weights=x", SMALLEST),
        (f"{SMALLEST}=-1", "cannot be '-1'"),
        (f"{SMALLEST}=nan", "cannot be 'nan'"),
        (f"{SMALLEST}=", "cannot be ''"),
        ("separation.method=magic", "'uecs'"),
        ("separation.convexity_threshold", "KEY=VALUE"),
        ("filter.separated=perhaps", "cannot be 'perhaps'"),
    ],
)
def test_what_is_not_in_the_list_is_refused(output, word, said):
    """Exit code 2, the list, and nothing changes; so do both smallest diameters together."""
    done = command("settings", "Au", word, "--output", output)
    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    with Reader(output / ".temwatch") as reader:
        assert [] == changes.history(reader, limit=1)


def test_what_cannot_be_set_is_refused_with_why():
    """Nothing is changed in silence."""
    with pytest.raises(UsageError, match="set one of them"):
        setting_keys.check({SMALLEST: 1, "separation.min_diameter_px": 9})
    with pytest.raises(UsageError, match="cannot be 'True'"):
        setting_keys.check({SMALLEST: True})


def test_the_last_change_counts_and_an_earlier_one_can_be_undone_below_it(ledger, config):
    """Both stay in the history; of the smallest diameter in nm and in px the last one counts."""
    all_of_them = particles(ledger)
    (first,) = put(ledger, separation__min_diameter_nm=1e6)["changes"]
    (second,) = put(ledger, separation__min_diameter_px=0, filter__min_circularity=0.5)["changes"]
    with ledger.reader() as reader:
        assert {"separation.min_diameter_px": 0.0} == sample_settings.decisive(reader.connection, "Au")
        assert 0.5 == sample_settings.settings_of(reader, "Au")["filter.min_circularity"].value
    measure(ledger, config)
    assert len(particles(ledger)) >= len(all_of_them)
    undone = decisions.decide(ledger, "undo", {"changes": [first], **BY}).answer
    assert 0 == undone["micrographs"]  # the second is in force
    decisions.decide(ledger, "undo", {"changes": [second], **BY})
    measure(ledger, config)
    assert all_of_them == particles(ledger)


def test_a_filter_measures_nothing_again(ledger):
    """It chooses among what is there."""
    assert 0 == put(ledger, filter__min_diameter_nm=5)["micrographs"]
    assert 0 == waiting(ledger)


def test_a_kill_leaves_nothing_half_done(ledger, config):
    """What waits stands in the ledger; a row that has the settings already is only marked as such."""
    assert 4 == put(ledger, separation__min_diameter_nm=1e6)["micrographs"]
    steps = measuring_again(ledger, config, requests.workers_here(config), lambda _: None)
    next(steps)
    steps.close()
    assert 3 == waiting(ledger)
    counts = {row["micrograph"] for row in particles(ledger)}
    assert 3 == len(counts)
    measure(ledger, config)
    assert (0, []) == (waiting(ledger), particles(ledger))
    (number,) = put(ledger, separation__method="none")["changes"]
    decisions.decide(ledger, "undo", {"changes": [number], **BY})
    assert 4 == waiting(ledger)
    assert set() == measure(ledger, config)


def test_a_change_while_a_row_is_measured_drops_what_was_measured(ledger):
    """The row goes on waiting for the settings of now."""
    put(ledger, separation__min_diameter_nm=1e6)
    with ledger.reader() as reader:
        item = waiting_rows.next_waiting(reader)
        analysis = analyses.load(reader, item.micrograph_id)
    put(ledger, separation__min_diameter_nm=1e5)
    before = particles(ledger)
    assert not analyses.replace(ledger, item.micrograph_id, analysis, START, wanted=item)
    assert (before, 4) == (particles(ledger), waiting(ledger))


def test_polarity_segments_again_from_the_file_and_names_what_is_gone(ledger, config):
    """Where the file is gone the row stays; with the polarity of before everything is as it was."""
    before = particles(ledger)
    (number,) = put(ledger, segmentation__particles="bright")["changes"]
    with ledger.transaction() as connection:  # another file is in its place by now
        connection.execute("UPDATE files SET mtime_ns = mtime_ns + 1 WHERE path LIKE '%Au_02.dm3'")
    measure(ledger, config)
    with ledger.reader() as reader:
        methods = reader.methods()
        found = {row.name: row for row in reader.micrographs("Au") if row.has_result}
        masks = {name: analyses.segmentation(reader, row.id).mask for name, row in found.items()}
    polarities = {
        name: dict(methods[row.method].parameters)["segmentation.particles"] for name, row in found.items()
    }
    assert {"Au_01": "bright", "Au_02": "dark", "Au_03": "bright", "Au_04": "bright"} == polarities
    assert [("file_gone",)] == [row.notes for row in found.values() if "file_gone" in row.notes]
    assert [row for row in before if "Au_02" in row["micrograph"]] == [
        row for row in particles(ledger) if "Au_02" in row["micrograph"]
    ]
    assert 0 == waiting(ledger)
    decisions.decide(ledger, "undo", {"changes": [number], **BY})
    measure(ledger, config)
    assert before == particles(ledger)
    with ledger.reader() as reader:
        again = {row.name: analyses.segmentation(reader, row.id).mask for row in found.values()}
    assert not (masks["Au_01"] == again["Au_01"]).all()


def test_where_the_file_is_gone_all_but_the_polarity_is_applied(ledger, config):
    """The row says so; it kept all settings of before."""
    put(ledger, segmentation__particles="bright", separation__min_diameter_nm=1e6)
    with ledger.transaction() as connection:  # other files are in their places by now
        connection.execute("UPDATE files SET mtime_ns = mtime_ns + 1")
    assert {"Au"} == measure(ledger, config)
    assert (0, []) == (waiting(ledger), particles(ledger))
    with ledger.reader() as reader:
        rows = [row for row in reader.micrographs("Au") if row.has_result]
        methods = [dict(reader.methods()[row.method].parameters) for row in rows]
    assert {("file_gone",)} == {tuple(note for note in row.notes if note == "file_gone") for row in rows}
    assert {("dark", 1e6)} == {
        (method["segmentation.particles"], method["separation.min_diameter_nm"]) for method in methods
    }


def test_a_future_gets_one_callback_however_many_turns_it_takes():
    """Each turn that another row took has added one to those that were still running."""
    done, slow, quick = FirstDone(), Future(), [Future() for _ in range(9)]
    done.watch(slow)
    for future in quick:
        done.begin_turn()
        done.watch(future)
        assert not done.first.done()
        future.set_result(None)
        assert done.first.done()
    assert 1 == len(vars(slow)["_done_callbacks"])


def test_rows_wait_while_their_files_are_out_of_reach(ledger, config):
    """A share that is down is no file that is gone."""
    before = particles(ledger)
    put(ledger, segmentation__particles="bright")
    here = requests.workers_here(config)
    workers = Workers(resolve=here.resolve, segment=lambda *_: None)
    with pytest.raises(FilesOutOfReach):
        requests.complete(measuring_again(ledger, config, workers, lambda _: None))
    assert (4, before) == (waiting(ledger), particles(ledger))


def test_a_file_that_may_not_be_read_is_no_internal_error(ledger, config, monkeypatch):
    """Its row is tried twice and goes on waiting."""
    put(ledger, segmentation__particles="bright")
    denied = Future()
    denied.set_exception(Unreadable("permission_denied", "may not be read (permission denied)"))
    workers = Workers(resolve=requests.workers_here(config).resolve, segment=lambda *_: denied)
    logs = LogCapture()  # a logger of its own: that of the module may be bound already to another output
    logger = structlog.wrap_logger(None, processors=[logs], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(sys.modules[measuring_again.__module__], "log", logger)
    requests.complete(measuring_again(ledger, config, workers, lambda _: None))
    assert 4 == waiting(ledger)
    told = [entry["reason"] for entry in logs.entries if entry["event"] == "file cannot be read again"]
    assert ["may not be read (permission denied)"] * 8 == told
    assert "internal error" not in {entry["event"] for entry in logs.entries}


def test_a_row_that_was_set_aside_is_tried_again_later(ledger, config):
    """No restart is needed once what kept the file from being read has passed; meanwhile it has its rest."""
    put(ledger, segmentation__particles="bright")
    denied = Future()
    denied.set_exception(Unreadable("permission_denied", "may not be read (permission denied)"))
    here = requests.workers_here(config)
    workers = Workers(resolve=here.resolve, segment=lambda *_: denied)
    now_s = 0.0
    attempts = Attempts(lambda: now_s)

    def measure_with(those):
        requests.complete(measuring_again(ledger, config, those, lambda _: None, attempts))
        return waiting(ledger)

    assert (4, False) == (measure_with(workers), attempts.has_suspects)
    assert 4 == measure_with(here)  # they pause
    now_s = 601.0
    assert attempts.has_suspects
    assert 4 == measure_with(workers)
    now_s += 601.0
    assert 4 == measure_with(here)  # now for twice as long
    now_s += 600.0
    assert (0, False) == (measure_with(here), attempts.has_suspects)


def test_what_needs_more_than_its_share_of_memory_is_measured_alone(ledger, config):
    """After the others, and with all of the memory; before, it ended in an internal error."""
    put(ledger, segmentation__particles="bright")
    here = requests.workers_here(config)
    shares = []

    def segment(order, polarity):
        shares.append(order.memory.now_bytes)
        return here.segment(order, polarity)

    workers = Workers(resolve=here.resolve, segment=segment, together=2, share=MemoryShare(1, 10**12))
    requests.complete(measuring_again(ledger, config, workers, lambda _: None))
    assert ([1] * 4 + [10**12] * 4, 0) == (shares, waiting(ledger))


def test_a_segmentation_that_fails_leaves_nothing_in_the_spool(config, monkeypatch):
    """Nor does a reading that fails; what a kill leaves goes at the next start."""

    def at_once(task, order):
        future = Future()
        future.set_result(task(order))
        return future

    class Broken:
        together = 1

        def segment(self, _):
            raise RuntimeError("no device")

    monkeypatch.setattr(memory, "LARGEST_WHOLE_PX", 0)
    with open_ledger(config.output.state) as ledger, ledger.reader() as reader:
        row, *_ = (row for row in reader.micrographs("Au") if row.has_result)
        order = read_again_order(reader.file(row.file_id), row, config, None)
    folder = order.spooled.parent
    folder.mkdir(exist_ok=True)
    backend = ProcessBackend(config, Broken(), pipeline.describe(None, config.separation), lambda *_: None)
    monkeypatch.setattr(backend, "submit", at_once)
    future = backend.workers(lambda: True).segment(order, None)
    assert "no device" in str(future.exception(timeout=60))
    backend.close()
    assert wait_until(lambda: not list(folder.iterdir()))
    tasks.read_again(order)
    assert list(folder.iterdir())
    spool.clear(folder)
    assert not list(folder.iterdir())


def test_a_rebuild_keeps_the_settings_of_a_sample(ledger, config):
    """They are over those of the configuration."""
    put(ledger, separation__min_diameter_nm=1e6)
    measure(ledger, config)
    steps = requests.act(ledger, config, "rebuild", {"sample": "Au"}, requests.workers_here(config))
    answer = requests.complete(steps)
    assert (0, 1e6) == (answer["renewed"], answer["separation"]["min_diameter_nm"])
    assert [] == particles(ledger)


@pytest.mark.slow
def test_what_arrives_later_has_the_settings_of_its_sample(output, tmp_path, series):
    """At once and by its method; a file of another sample has those of the configuration."""
    where = ["--output", output]
    assert 0 == command("settings", "Au", "segmentation.particles=bright", f"{SMALLEST}=3", *where).returncode
    more = tmp_path / "more"
    for sample in ("Au", "Ag"):
        (more / sample).mkdir(parents=True)
        shutil.copy(sorted(series.glob("*.dm3"))[5], more / sample / "later.dm3")
    done = temwatch("analyse", more, *where, "--config", threshold(tmp_path))
    assert 0 == done.returncode, done.stderr
    with Reader(output / ".temwatch") as reader:
        (ag,) = (row.method for row in reader.micrographs("Ag"))
        parameters = {
            row.name: dict(reader.methods()[row.method].parameters)
            for row in reader.micrographs("Au")
            if row.has_result
        }
        assert 0 == waiting_rows.waiting(reader)
        configured = dict(reader.methods()[ag].parameters)
    assert ("bright", 3.0) == (
        parameters["later"]["segmentation.particles"],
        parameters["later"]["separation.min_diameter_nm"],
    )
    assert 1 == len({json.dumps(one) for one in parameters.values()})
    assert "dark" == configured["segmentation.particles"]
