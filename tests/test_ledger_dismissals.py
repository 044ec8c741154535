"""Remarks that somebody dismissed: shown no more, kept in the tables, and brought back."""

import pytest

from ledger_cases import take
from system import command
from temwatch.engine import decisions
from temwatch.ledger import changes, open_ledger, sample_remarks
from temwatch.notes import Note
from temwatch.outputs import tables

BLANK, FEW = Note.BLANK_FIELD, Note.FEW_PX_PER_PARTICLE
METHODS, SIZES = Note.MIXED_METHODS, Note.MIXED_CALIBRATIONS


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


def of_sample(ledger):
    with ledger.reader() as reader:
        return {sample: {*notes} for sample, notes in sample_remarks.shown(reader).items()}


def test_a_sample_that_was_not_measured_alike_is_flagged_until_somebody_dismisses_it(ledger):
    """Two methods, or two calibrations; not while it is measured again, nor for what is excluded."""
    take(ledger, "Au_02.dm3", content=1)
    assert {} == of_sample(ledger)

    def second(**values):
        with ledger.transaction() as connection:
            for name, value in values.items():
                connection.execute(f"UPDATE micrographs SET {name} = ? WHERE id = 2", (value,))

    second(method=other_method(ledger))
    assert {"Au": {METHODS}} == of_sample(ledger)
    second(pixel_size_source="corrected", stated_pixel_size_nm=0.1)
    assert {"Au": {METHODS, SIZES}} == of_sample(ledger)
    second(is_outdated=1)
    assert {} == of_sample(ledger)
    second(is_outdated=0)
    decide(ledger, "exclude", micrograph=2)
    assert {} == of_sample(ledger)
    decide(ledger, "include", micrograph=2)

    (change,) = decide(ledger, "dismiss", sample="Au", notes=[METHODS])["changes"]
    assert {"Au": {SIZES}} == of_sample(ledger)
    decide(ledger, "dismiss", sample="Au")
    assert {} == of_sample(ledger)
    assert [] == decide(ledger, "dismiss", sample="Au")["changes"]
    (undone,) = decide(ledger, "undo", changes=[change])["changes"]
    assert {"Au": {METHODS}} == of_sample(ledger)
    decide(ledger, "undo", changes=[undone])
    assert {} == of_sample(ledger)
    decide(ledger, "show", sample="Au")
    assert {"Au": {METHODS, SIZES}} == of_sample(ledger)
    with ledger.reader() as reader:
        last, *_, first = changes.history(reader, limit=5)
    assert ("Au", None, f"remark dismissed: {METHODS.words}") == (first.sample, first.micrograph, first.words)
    assert last.words.startswith("remarks shown again: ")


def test_one_correction_of_a_whole_sample_is_one_calibration(ledger):
    """By a factor, whatever the files state, or to one size."""
    take(ledger, "Au_02.dm3", content=1)
    for sizes, expected in (
        (((0.102, 0.1), (0.204, 0.2)), set()),
        (((0.102, 0.1), (0.102, 0.2)), set()),
        (((0.102, 0.1), (0.21, 0.2)), {SIZES}),
    ):
        with ledger.transaction() as connection:
            connection.executemany(
                """UPDATE micrographs SET pixel_size_source = 'corrected', pixel_size_nm = ?,
                    stated_pixel_size_nm = ? WHERE id = ?""",
                [(*pair, number) for number, pair in enumerate(sizes, 1)],
            )
        assert expected == of_sample(ledger).get("Au", set()), sizes


def other_method(ledger):
    with ledger.transaction() as connection:
        connection.execute("INSERT INTO methods (digest, json) SELECT 'another', json FROM methods LIMIT 1")
    return "another"


def test_the_command_dismisses_and_shows_again(tmp_path):
    """In a folder of results; status names only what is left."""
    (tmp_path / "results" / ".temwatch").mkdir(parents=True)
    config = tmp_path / "temwatch.toml"
    config.write_text(
        f'[watch]\nfolder = "{tmp_path}"\n[output]\nfolder = "{tmp_path}/results"\n', encoding="utf-8"
    )
    with open_ledger(tmp_path / "results" / ".temwatch") as ledger:
        take(ledger, "Au_01.dm3")
        take(ledger, "Au_02.dm3", content=1)
        note(ledger, f"{FEW};{BLANK}")
        decide(ledger, "dismiss", micrograph=2)
        method = other_method(ledger)
        with ledger.transaction() as connection:
            connection.execute("UPDATE micrographs SET method = ? WHERE id = 2", (method,))
    assert f"sample Au: {METHODS.words}. {METHODS.what_to_do}" in command("status", "--config", config).stdout
    done = command("dismiss", "--sample", "Au", "--config", config)
    assert (0, "remarks dismissed on 1 sample\n") == (done.returncode, done.stdout), done.stderr
    where = ("Au_01.dm3", "--config", config)
    done = command("dismiss", *where, "--note", BLANK, "--reason", "a hole")
    assert (0, "remarks dismissed on 1 micrograph\n") == (done.returncode, done.stdout), done.stderr
    said = command("status", "--config", config).stdout
    assert BLANK.words not in said
    assert METHODS.words not in said
    assert f"{FEW.words}; the last is Au_01.dm3. {FEW.what_to_do}" in said
    assert "a hole" in command("history", "--config", config).stdout
    assert 0 == command("dismiss", *where, "--again").returncode
    assert BLANK.words in command("status", "--config", config).stdout
    assert 1 == command("dismiss", "Au_03.dm3", "--config", config).returncode
