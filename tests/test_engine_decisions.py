"""A decision and its answer are one transaction, and what it could not be applied to is named."""

import json
from datetime import UTC, datetime

import pytest

from ledger_cases import START, arrival, result, take
from system import command, rows
from temwatch.commands.decide import say_unknown
from temwatch.config import Config
from temwatch.domain import PixelSizeSource
from temwatch.engine import decisions, requests
from temwatch.engine.measuring_again import measuring_again
from temwatch.ledger import (
    changes,
    open_ledger,
    post_request,
    queue,
    recording,
    run_settings,
    waiting_rows,
)
from temwatch.ledger.requests import answer_to, open_requests
from web_cases import copied

BY = {"by": "anna", "source": "command"}


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture
def config(tmp_path):
    folder = {"folder": str(tmp_path / "results")}
    return Config.model_validate({"watch": folder, "output": folder | {"pictures": False}})


@pytest.fixture
def ledger(config):
    with open_ledger(config.output.state) as ledger:
        yield ledger


def requested(ledger, config, publish_soon=lambda _: None):
    """What the engine does about requests, one turn of it."""
    queued = requests.RequestQueue(
        ledger,
        config,
        workers=requests.workers_here(config),
        is_complete=lambda _: True,
        wake=lambda: None,
        publish_soon=publish_soon,
    )
    queued.turn()


def history(ledger):
    with ledger.reader() as reader:
        return changes.history(reader, limit=9)


def sized(ledger, path, content, stated, source):
    """A micrograph of the sample Au with a stated size, or one that somebody gave."""
    queue.add(ledger, arrival(path))
    (file,) = queue.claim(ledger, 10, START)
    measured = result(content)
    fields = {name: getattr(measured, name) for name in measured.__dataclass_fields__}
    values = fields | {"stated_pixel_size_nm": stated, "pixel_size_source": source}
    recording.record(ledger, file.id, [type(measured)(**values)])
    return file.id


def test_what_was_decided_before_a_kill_is_not_decided_again(ledger, config):
    """A factor would be recorded, and could be undone, twice."""
    sized(ledger, "a.dm3", 0, 0.1, PixelSizeSource.FILE)
    asked = {"sample": "Au", "paths": None, "factor": 2.0, "pixel_size_nm": None, "undo": False, **BY}
    number = post_request(config.output.state, "calibrate", asked, datetime.now(UTC))

    def kill(_):
        raise Killed

    with pytest.raises(Killed):
        requested(ledger, config, kill)
    assert [] == open_requests(ledger)
    requested(ledger, config)
    assert ["calibrate"] == [one.action for one in history(ledger)]
    with ledger.reader() as reader:
        assert 1 == json.loads(answer_to(reader, number))["micrographs"]


def test_a_refusal_is_answered_as_well(ledger, config):
    """It changes nothing, and the request does not stay open."""
    take(ledger)
    asked = {"sample": "Au", "paths": None, "undo": True, **BY}
    number = post_request(config.output.state, "calibrate", asked, datetime.now(UTC))
    requested(ledger, config)
    with ledger.reader() as reader:
        assert "no correction" in json.loads(answer_to(reader, number))["refused"]


def test_a_decision_of_the_page_leaves_the_publishing_in_the_same_transaction(ledger, config):
    """The engine finds it, whatever happens to the process meanwhile."""
    take(ledger)
    decisions.decide(ledger, "exclude", {"micrograph": 1, **BY}, requests.ask_to_publish)
    assert [["Au"]] == [one.arguments["samples"] for one in open_requests(ledger)]
    published = []
    requested(ledger, config, published.append)
    assert ["Au"] == published
    assert [] == open_requests(ledger)


def test_an_exclusion_of_a_particle_that_is_lost_can_be_taken_back(ledger):
    """By the number that it had; the answer counts it, and names nothing as unknown."""
    take(ledger, particles=5)
    asked = {"paths": ["a.dm3"], "particles": [5], **BY}
    decisions.decide(ledger, "exclude", asked)
    with ledger.transaction() as connection:  # another analysis found four
        connection.execute("DELETE FROM particles WHERE number = 5")
        connection.execute("UPDATE exclusions SET number_now = NULL")
    answer = decisions.decide(ledger, "include", asked).answer
    assert (1, []) == (answer["particles"], answer["unknown"])
    answer = decisions.decide(ledger, "include", asked).answer
    assert (0, ["a.dm3: no particle 5"]) == (answer["particles"], answer["unknown"])


def test_what_is_unknown_is_said_in_whole_sentences(ledger, capsys):
    """Whatever the name looks like; the command prints them as they are."""
    take(ledger, particles=3)
    decided = decisions.decide(ledger, "exclude", {"paths": ["a: b.dm3", "a.dm3"], **BY})
    assert (("a: b.dm3: no such micrograph",), 1) == (decided.unknown, decided.micrographs)
    (number,) = decided.changes
    with ledger.reader() as reader:
        (change,) = changes.history(reader, limit=9)
    assert (number, changes.Action.EXCLUDE, "excluded") == (change.id, change.action, change.words)
    assert 1 == say_unknown([*decided.unknown, "no particle 9"])
    assert ["temwatch: a: b.dm3: no such micrograph", "temwatch: no particle 9"] == (
        capsys.readouterr().err.splitlines()
    )


def test_files_without_a_stated_size_are_named_where_others_are_corrected(ledger):
    """For a sample and for paths; where none states a size, the refusal names them."""
    sized(ledger, "a.dm3", 0, 0.1, PixelSizeSource.FILE)
    sized(ledger, "b.dm3", 1, None, PixelSizeSource.USER)
    for which in ({"sample": "Au"}, {"paths": ["*.dm3"]}):
        answer = decisions.decide(ledger, "calibrate", which | {"factor": 2.0, **BY}).answer
        assert (1, 1) == (answer["micrographs"], len(answer["changes"]))
        (words,) = answer["unknown"]
        assert words.startswith("b.dm3: states no pixel size")
    refused = decisions.decide(ledger, "calibrate", {"paths": ["b.dm3"], "factor": 2.0, **BY}).answer
    assert "none of b.dm3 states a pixel size" in refused["refused"]


def test_the_settings_of_a_run_are_those_of_later_decisions(ledger, config):
    """Also where another version has left something that this one does not know."""
    folder = config.output.folder
    with ledger.reader() as reader:
        assert run_settings.stored(reader, folder).output.pictures
    tracking = {"sequences": {"memory_frames": 7}, "separation": {"method": "none"}}
    run_settings.keep(ledger, Config.model_validate(config.model_dump() | tracking))
    with ledger.transaction() as connection:
        connection.execute("""UPDATE run_settings SET json = '{"unknown": 1}' WHERE section = 'separation'""")
        connection.execute("INSERT INTO run_settings VALUES ('later', '{}')")
    with ledger.reader() as reader:
        found = run_settings.stored(reader, folder)
    assert (False, 7, "uecs") == (
        found.output.pictures,
        found.sequences.memory_frames,
        found.separation.method,
    )
    assert folder == found.output.folder


@pytest.mark.system
def test_results_of_analyse_are_exported_without_a_configuration(analysed, tmp_path):
    """By their folder; a folder without results is refused in one line."""
    results = copied(analysed, tmp_path / "own")
    done = command("export", "--results", results, "Au", "--formats", "csv", "--output", tmp_path / "csv")
    assert 0 == done.returncode, done.stderr
    assert (tmp_path / "csv" / "particles.csv").read_bytes() == (results / "Au/particles.csv").read_bytes()
    for words in (["export", "--output", tmp_path / "csv"], ["report"]):
        done = command(*words, "--results", tmp_path, "Au")
        assert (3, 1) == (done.returncode, len(done.stderr.splitlines()))


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("exclude", {}, "excluded"),
        ("exclude", {"particles": [1, 3]}, "particles 1, 3 excluded"),
        ("calibrate", {"factor": 2.0}, "pixel size times 2"),
        ("calibrate", {"pixel_size_nm": 0.3}, "pixel size 0.3 nm"),
    ],
)
def test_every_change_and_its_undoing_can_be_undone(ledger, kind, more, words):
    """Once each; the rows are as they were, or as they were decided, and nothing is overwritten."""
    sized(ledger, "a.dm3", 0, 0.1, PixelSizeSource.FILE)

    def do(kind, **arguments):
        answer = decisions.decide(ledger, kind, arguments | BY).answer
        requests.complete(measuring_again(ledger, config, requests.workers_here(config), lambda _: None))
        return answer

    def row():
        with ledger.reader() as reader:
            (found,) = reader.micrographs("Au")
        return found.status, found.excluded_particles, found.pixel_size_nm, found.particles

    before = row()
    (first,) = do(kind, paths=["a.dm3"], **more)["changes"]
    after = row()
    assert before != after
    (second,) = do("undo", changes=[first])["changes"]
    assert before == row()
    assert "undone by" in do("undo", changes=[first])["refused"]
    (third,) = do("undo", changes=[second])["changes"]
    assert after == row()
    do("undo", changes=[third])
    assert before == row()
    found = history(ledger)
    assert [None, third + 1, third, second] == [one.undone_by for one in found]
    assert words == found[-1].words


def test_changes_are_undone_together_or_not_at_all(ledger):
    """A number that is unknown changes nothing; the last change is undone first."""
    sized(ledger, "a.dm3", 0, 0.1, PixelSizeSource.FILE)
    made = [
        decisions.decide(ledger, "calibrate", {"sample": "Au", "factor": factor, **BY}).answer["changes"][0]
        for factor in (2.0, 3.0)
    ]
    refused = decisions.decide(ledger, "undo", {"changes": [made[0], 99], **BY}).answer["refused"]
    assert "no change 99" in refused
    assert [None, None] == [one.undone_by for one in history(ledger)]
    assert 2 == len(decisions.decide(ledger, "undo", {"changes": made, **BY}).answer["changes"])
    with ledger.reader() as reader:
        assert 0 == waiting_rows.waiting(reader)


@pytest.mark.system
def test_the_history_is_printed_and_undone_by_its_numbers(analysed, tmp_path):
    """Who, what and why in one line; a second undoing is exit code 2."""
    results = copied(analysed, tmp_path / "own")
    where = ["--output", results]
    assert "nothing was changed" in command("history", *where).stdout
    path = rows(results / "Au" / "micrographs.csv")[0]["micrograph"]
    done = command("exclude", path, *where, "--by", "anna", "--reason", "astigmatic")
    assert 0 == done.returncode, done.stderr
    (line,) = command("history", *where, "--sample", "Au").stdout.splitlines()
    for expected in ("anna", path, "excluded", "astigmatic"):
        assert expected in line
    number = line.split()[0]
    assert "1 change undone" in command("undo", number, *where, "--by", "bert").stdout
    newest, older = json.loads(command("history", *where, "--json").stdout)
    assert ("bert", "put back", newest["id"]) == (newest["made_by"], newest["what"], older["undone_by"])
    assert 2 == command("undo", number, *where).returncode
