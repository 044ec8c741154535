"""The log of a holder joins the frames of a sequence by time."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import temwatch
from temwatch.errors import UsageError

START = datetime(2026, 1, 31, 23, 59, 50).astimezone()  # local time, as holders write it


@pytest.fixture
def frames():
    """Four frames; the time of the last is not known."""
    elapsed = pd.array([0.0, 5.0, 20.0, None], dtype="Float64")
    return pd.DataFrame({"sequence": "heating", "frame": [0, 1, 2, 3], "elapsed_s": elapsed, "particles": 7})


def log(folder, text, encoding="utf-8"):
    path = folder / "holder.csv"
    path.write_text(text, encoding=encoding)
    return path


def column(joined, name):
    return [None if pd.isna(value) else value for value in joined[name]]


@pytest.mark.parametrize(
    "text",
    [
        "time (s),temperature\n0,25\n10,125\n",
        "Elapsed;temperature\n0,0;25,0\n10,0;125,0\n",
        "# DENS\nholder no. 4\n\ntime\ttemperature\n0\t25\n10\t125\n",
        "Time [ms],temperature\n0,25\n10000,125\n",
        "DateTime,temperature\n2026-01-31T23:59:50,25\n2026-02-01T00:00:00,125\n",
        "t / min,temperature\n0,25\n0.16666666666666666,125\n",
        "Date,Time,temperature\n2026-01-31,23:59:50,25\n2026/02/01,00:00:00,125\n",
        "date-time,temperature\n2026-01-31T23:59:50,25\n2026-02-01T00:00:00,125\n",
        "time,temperature\n23:59:50.000,25\n00:00:00.000,125\n",
        "time,temperature\n10,125\nno time,999\n0,25\n",
    ],
)
def test_times_of_every_kind(tmp_path, frames, text):
    """Seconds, other units, moments, times of the day past midnight, decimal commas; in any order."""
    joined = temwatch.join_log(frames, log(tmp_path, text), start=START)
    assert [25.0, 75.0, None, None] == pytest.approx(column(joined, "temperature"))
    assert [*frames.columns, "temperature"] == list(joined.columns)
    pd.testing.assert_frame_equal(frames, joined[frames.columns])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "utf-8-sig"])
def test_encodings(tmp_path, frames, encoding):
    """As programs on Windows save it."""
    path = log(tmp_path, "time,temperature (°C)\n0,25\n30,55\n", encoding)
    assert [25.0, 30.0, 45.0, None] == column(temwatch.join_log(frames, path), "temperature (°C)")


def test_a_log_in_utf_16_that_is_being_written(tmp_path, frames):
    """Half of its last character is there."""
    path = log(tmp_path, "time,temperature\n0,25\n30,55\n40,6", "utf-16")
    path.write_bytes(path.read_bytes()[:-1])
    assert [25.0, 30.0, 45.0, None] == column(temwatch.join_log(frames, path), "temperature")


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("00:01:00", "23:58:00,0\n00:01:00,25\n00:01:10,35"),
        ("23:59:58", "23:59:58.2,25.2\n23:59:58,25\n00:00:08,35"),
        ("12:00:00", "12:00:00,25\n12:00:10,35\n12:00:09.9,34.9"),
    ],
    ids=["before midnight", "set back, then midnight", "set back"],
)
def test_times_of_the_day_around_midnight(tmp_path, frames, start, text):
    """A log that begins the day before; a clock that is set back a little has not passed midnight."""
    day = START.astimezone().date()
    first = datetime.fromisoformat(f"{day}T{start}").astimezone()
    joined = temwatch.join_log(frames, log(tmp_path, f"time,temperature\n{text}\n"), start=first)
    assert [25.0, 30.0, None, None] == pytest.approx(column(joined, "temperature"))


def test_texts_are_the_last_before(tmp_path, frames):
    """A gas stays until the next is named; outside of the log nothing is stated."""
    path = log(tmp_path, "time,gas,particles,empty\n1,H2,1,\n4,O2,2,\n6,,3,\n20,Ar,4,\n")
    joined = temwatch.join_log(frames, path)
    assert [None, "O2", "Ar", None] == column(joined, "gas")
    assert [7] * 4 == column(joined, "particles")
    assert [None, 2.5, 4.0, None] == column(joined, "particles (log)")
    assert [None] * 4 == column(joined, "empty")


def test_start_of_any_type(tmp_path, frames):
    """Text, datetime, and what a table of pandas holds."""
    path = log(tmp_path, "time,T\n2026-01-31 12:00:00+00:00,0\n2026-01-31 12:00:10+00:00,100\n")
    for start in ("2026-01-31T12:00:00+00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)):
        for given in (start, pd.Timestamp(start)):
            assert [0.0, 50.0, None, None] == column(temwatch.join_log(frames, path, start=given), "T")


@pytest.mark.parametrize(
    ("text", "start", "said"),
    [
        ("a,b\n1,2\n", None, "no header"),
        ("", None, "no header"),
        ("time,T\n23:00:00,4\n", None, "start is needed"),
        ("time,T\n23:00:00,4\n", pd.NaT, "start is needed"),
        ("time,T\n31st of May,4\n", START, "no moment"),
        ("time,T\n1,4\n", "soon", "no moment"),
    ],
)
def test_what_cannot_be_joined_is_said(tmp_path, frames, text, start, said):
    """One line with the file's name."""
    with pytest.raises(UsageError, match=said) as error:
        temwatch.join_log(frames, log(tmp_path, text), start=start)
    assert "holder.csv" in str(error.value)


def test_several_sequences_and_no_file(tmp_path, frames):
    """Each has its own log."""
    with pytest.raises(UsageError, match="cannot be read"):
        temwatch.join_log(frames, tmp_path / "none.csv")
    both = pd.concat([frames, frames.assign(sequence="other")])
    with pytest.raises(UsageError, match="several sequences"):
        temwatch.join_log(both, log(tmp_path, "time,T\n0,1\n"))


def test_a_log_of_no_rows(tmp_path, frames):
    """The columns are there, and empty."""
    joined = temwatch.join_log(frames, log(tmp_path, "time,T\n"))
    assert np.isnan(joined["T"].to_numpy(float)).all()


def test_the_example_of_the_documents_runs(tmp_path, monkeypatch):
    """docs/sequences.md."""
    text = (Path(__file__).parents[1] / "docs" / "sequences.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, "sequences.md", "exec"), names)
    assert [25.0, 412.5, None] == column(names["joined"], "temperature (C)")
