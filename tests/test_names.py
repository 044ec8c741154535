"""Names of every kind as folders, as text and as cells of tables."""

import csv
import io
import os
import re
from collections import Counter

import openpyxl
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_cases import arrival, take
from odd_entries import FOLDERS
from temwatch.ledger import open_ledger, queue
from temwatch.names import as_text, folder_name, from_cell, name_key, path_cell, printable, text_cell
from temwatch.outputs import parquet, workbook
from temwatch.outputs.tables import MICROGRAPHS, PARTICLES, csv_text

ANY = st.one_of(st.binary(max_size=300).map(os.fsdecode), st.text(st.characters(codec=None), max_size=80))
WINDOWS = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠1")


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "state") as ledger:
        yield ledger


@given(ANY)
def test_a_folder_name_is_one_that_every_system_opens(text):
    """Whatever it was made of."""
    name = folder_name(text)
    assert 0 < len(name.encode()) <= 120
    assert not WINDOWS.match(name)
    assert not re.search(r'[\x00-\x1f\x7f<>:"/\\|?*]', name)
    assert name[0] not in ". "
    assert name[-1] not in ". "


@pytest.mark.parametrize(
    "name", ["CON", "con", "Nul.dm3", "aux.x.y", "COM1", "LPT9", "com¹", "PRN .txt", "CONIN$", "nul "]
)
def test_a_device_of_windows_is_no_folder(name):
    """Nor with an ending, nor with spaces before it."""
    assert not WINDOWS.match(folder_name(name))
    assert folder_name(name).casefold().startswith(name[:3].casefold())


@pytest.mark.parametrize("name", ["Console", "Aux 1", "COM10", "nul_1", "Con-A"])
def test_what_only_begins_like_a_device_stays(name):
    assert name == folder_name(name)


@given(ANY)
def test_every_name_becomes_text(name):
    """That can be encoded, and is the same where it was text before."""
    text = as_text(name)
    text.encode()
    assert text == as_text(text)
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    assert text == name


@given(ANY.map(as_text))
def test_a_cell_is_no_formula_and_says_what_it_was_made_of(text):
    """But for names that look like the written form themselves, which commands find as they are."""
    for written in (path_cell(text), text_cell(text)):
        assert written[:1] not in set("=+-@\t\r\n＝＋－＠")
        assert from_cell(written) in (text, from_cell(text))
    assert "\n" not in printable(text)
    assert "\x1b" not in printable(text)


def test_samples_that_some_system_takes_for_the_same_are_distinct(ledger):
    """In any order; each is found again by its true name, by its folder, and as a table writes it."""
    for _ in range(2):
        for number, name in enumerate(FOLDERS):
            queue.add(ledger, arrival(f"{name}/{number}.dm3", sample=name))
    with ledger.reader() as reader:
        rows = {row.name: row.sample for row in reader.samples()}
        assert {as_text(name) for name in FOLDERS} == set(rows)
        assert len(FOLDERS) == len({name_key(sample) for sample in rows.values()})
        assert not [sample for sample in rows.values() if WINDOWS.match(sample)]
        for name, sample in rows.items():
            assert sample == reader.find_sample(sample)
            if name not in rows.values():
                assert sample == reader.find_sample(name) == reader.find_sample(text_cell(name))
        for name in FOLDERS:
            assert rows[as_text(name)] == reader.sample_named(name)
        assert reader.find_sample("nothing") is None


def test_sequences_of_one_sample_are_distinct(ledger):
    """Two folders are two sequences, though a file system or `_` for / would make them one."""
    folders = ["a/b", "a_b", "A_B", os.fsdecode(b"\xe9"), os.fsdecode(b"\xe8"), "Con", "é", "e\u0301"]
    for frame in range(2):
        for folder in folders:
            queue.add(ledger, arrival(f"Au/{folder}/{frame}.dm3", sequence=folder, frame=frame))
    with ledger.reader() as reader:
        frames = Counter(name_key(file.sequence) for file in reader.pending())
    assert [2] * len(folders) == list(frames.values())


@pytest.mark.parametrize("text", [*FORMULAS, os.fsdecode(b"=caf\xe9"), "a\nb", 'say "x", y'])
def test_tables_hold_the_true_names_and_no_formula(ledger, text):
    """csv and workbook in the written form, parquet as it is; `retry` takes both."""
    path = f"{text}_1.dm3"
    take(ledger, path, sample=text, particles=3)
    name = as_text(text)
    with ledger.reader() as reader:
        (sample,) = [row.sample for row in reader.samples()]
        for table in (MICROGRAPHS, PARTICLES):
            lines = csv.DictReader(io.StringIO("".join(csv_text(table, reader, sample)), newline=""))
            for row in lines:
                assert (text_cell(name), path_cell(as_text(path))) == (row["sample"], row["micrograph"])
                assert not row["sample"].startswith(FORMULAS)
                assert not row["micrograph"].startswith(FORMULAS)
        whole = io.BytesIO()
        workbook.write(reader, sample, whole)
        for row in openpyxl.load_workbook(whole)["micrographs"].iter_rows(min_row=2, max_col=2):
            assert ["s", "s"] == [cell.data_type for cell in row]
            expected = [text_cell(name), path_cell(as_text(path))]
            assert expected == [cell.value.replace("_x000D_", "\r") for cell in row]
        stored = pandas.read_parquet(io.BytesIO(parquet.particles_parquet(reader, sample)))
        assert {(name, as_text(path))} == set(zip(stored["sample"], stored["micrograph"], strict=True))
    for wanted in (path, as_text(path), path_cell(as_text(path))):
        files, unknown = queue.retry(ledger, [wanted])
        assert ([path], []) == ([file.path for file in files], unknown)


def test_the_written_form_is_not_taken_for_another_file(ledger):
    """A file that is really called so comes first."""
    for path in ("=1.dm3", "'=1.dm3"):
        queue.add(ledger, arrival(path))
    assert ["'=1.dm3"] == [file.path for file in queue.retry(ledger, ["'=1.dm3"])[0]]
    assert ["=1.dm3"] == [file.path for file in queue.retry(ledger, ["./=1.dm3"])[0]]


def test_numbers_stay_numbers(ledger):
    """A negative number in a column of numbers is no text."""
    take(ledger, "1.dm3")
    with ledger.reader() as reader:
        text = "".join(csv_text(PARTICLES, reader, "Au"))
    assert "'" not in text
