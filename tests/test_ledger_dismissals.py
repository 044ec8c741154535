"""Remarks that somebody dismissed: shown no more, kept in the tables, and brought back."""

import pytest

from ledger_cases import take
from system import command
from temwatch.engine import decisions
from temwatch.ledger import changes, open_ledger
from temwatch.notes import Note
from temwatch.outputs import tables

BLANK, FEW = Note.BLANK_FIELD, Note.FEW_PX_PER_PARTICLE


@pytest.fixture
def ledger(tmp_path):
    """One micrograph with two remarks."""
    with open_ledger(tmp_path) as ledger:
        take(ledger, "Au_01.dm3")
        note(ledger, f"{FEW};{BLANK}")
        yield ledger


def note(ledger, text):
    with ledger.transaction() as connection:
        connection.execute("UPDATE micrographs SET notes = ?", (text,))


def decide(ledger, kind, **arguments):
    answer = decisions.decide(ledger, kind, {"by": "anna", "source": "api", **arguments}).answer
    assert "refused" not in answer, answer
    return answer


def shown(ledger):
    with ledger.reader() as reader:
        return set(reader.micrograph(1).shown_notes)


def test_a_dismissed_remark_is_shown_no_more_but_stays_in_the_table(ledger):
    """By its name; the others stay."""
    assert 1 == decide(ledger, "dismiss", micrograph=1, notes=[FEW])["micrographs"]
    assert {BLANK} == shown(ledger)
    with ledger.reader() as reader:
        assert [BLANK] == [*reader.notes()]
        assert f"{FEW};{BLANK}" in "".join(tables.csv_text(tables.MICROGRAPHS, reader, "Au"))
    assert 0 == decide(ledger, "dismiss", micrograph=1, notes=[FEW])["micrographs"]


def test_without_a_name_all_are_meant_and_undo_brings_back_what_it_took(ledger):
    """Each change is in the history, with what it was about; what undid it can be undone."""
    (first,) = decide(ledger, "dismiss", micrograph=1, notes=[FEW])["changes"]
    (second,) = decide(ledger, "dismiss", paths=["Au_01.dm3"])["changes"]
    assert set() == shown(ledger)
    (undone,) = decide(ledger, "undo", changes=[second])["changes"]
    assert {BLANK} == shown(ledger)
    decide(ledger, "undo", changes=[undone])
    assert set() == shown(ledger)
    assert 1 == decide(ledger, "show", micrograph=1)["micrographs"]
    assert {BLANK, FEW} == shown(ledger)
    with ledger.reader() as reader:
        history = changes.history(reader, limit=10)
    assert "remarks shown again: particles have few pixels: sizes are coarse; the field looks blank" == (
        history[0].words
    )
    assert f"remark dismissed: {FEW.words}" == history[-1].words
    assert first == history[-1].id
    assert history[-1].undone_by == history[0].id


def test_a_remark_that_comes_back_after_another_analysis_stays_dismissed(ledger):
    """Another one is shown."""
    decide(ledger, "dismiss", micrograph=1, notes=[BLANK])
    note(ledger, "")
    assert set() == shown(ledger)
    note(ledger, f"{BLANK};{Note.OUT_OF_DOMAIN}")
    assert {Note.OUT_OF_DOMAIN} == shown(ledger)


def test_a_remark_about_another_micrograph_is_dismissed_for_that_one_only(ledger):
    """By its whole text or by its kind."""
    first, other = (Note.REPEAT_OF.about(letter * 64) for letter in "ab")
    note(ledger, first)
    decide(ledger, "dismiss", micrograph=1, notes=[Note.REPEAT_OF])
    assert set() == shown(ledger)
    note(ledger, other)
    assert {other} == shown(ledger)


def test_the_command_dismisses_and_shows_again(tmp_path):
    """In a folder of results; status names only what is left."""
    (tmp_path / "results" / ".temwatch").mkdir(parents=True)
    config = tmp_path / "temwatch.toml"
    config.write_text(
        f'[watch]\nfolder = "{tmp_path}"\n[output]\nfolder = "{tmp_path}/results"\n', encoding="utf-8"
    )
    with open_ledger(tmp_path / "results" / ".temwatch") as ledger:
        take(ledger, "Au_01.dm3")
        note(ledger, f"{FEW};{BLANK}")
    where = ("Au_01.dm3", "--config", config)
    done = command("dismiss", *where, "--note", BLANK, "--reason", "a hole")
    assert (0, "remarks dismissed on 1 micrograph\n") == (done.returncode, done.stdout), done.stderr
    said = command("status", "--config", config).stdout
    assert BLANK.words not in said
    assert f"{FEW.words}; the last is Au_01.dm3. {FEW.what_to_do}" in said
    assert "a hole" in command("history", "--config", config).stdout
    assert 0 == command("dismiss", *where, "--again").returncode
    assert BLANK.words in command("status", "--config", config).stdout
    assert 1 == command("dismiss", "Au_02.dm3", "--config", config).returncode
