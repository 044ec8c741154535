"""Times of acquisition: what is stated in UTC, and local text of many countries."""

import time
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temwatch import formats
from temwatch.formats import clock

PIXELS = np.random.default_rng(4).normal(100, 9, (16, 16)).astype(np.float32)


@pytest.fixture
def berlin(monkeypatch):
    """A microscope in central Europe: UTC + 2 h in summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("date", "clock_text"),
    [
        ("27.08.2016", "20:54:33"),  # German
        ("27/08/2016", "20:54:33"),  # French, British
        ("27/08/2016", "08:54:33 p.m."),  # Mexican
        ("27/08/2016", "08:54:33 p. m."),  # Spanish, with a no-break space
        ("27/08/2016", "08:54:33 p.\u00a0m."),
        ("8/27/2016", "8:54:33 PM"),  # American
        ("27-08-2016", "20:54:33"),  # Dutch, Indian
        ("2016-08-27", "20:54:33"),  # Swedish
        ("2016/08/27", "20:54:33"),  # Japanese
        ("2016/8/27", "下午 08:54:33"),  # Taiwanese
        ("2016-08-27", "오후 8:54:33"),  # Korean
        ("27. 08. 2016", "20.54.33"),  # Czech date, Italian time
        ("08/27/16", "20:54:33"),  # the C locale
    ],
)
def test_local_text_of_many_countries(date, clock_text):
    """All of them are half past six in the evening, UTC."""
    assert datetime(2016, 8, 27, 18, 54, 33, tzinfo=UTC) == clock.from_local_text(date, clock_text)


@pytest.mark.parametrize(
    ("date", "clock_text", "month"),
    [
        ("8/9/2016", "4:26:37 PM", 8),  # M/d/yyyy with AM and PM: American
        ("09/08/2016", "16:26:37", 8),  # dd/MM/yyyy to 24 h: the rest of the world
        ("08.08.2016", "16:26:37", 8),
    ],
)
def test_ambiguous_dates_that_the_form_decides(date, clock_text, month):
    """Leading zeros and AM or PM tell the country."""
    assert month == clock.from_local_text(date, clock_text).month


@pytest.mark.parametrize(
    ("date", "clock_text"),
    [
        ("8/9/2016", "16:26:37"),
        ("09/08/2016", "4:26:37 PM"),
        ("09/08/16", "16:26:37"),
        ("31/02/2016", "16:26:37"),
        ("27.08.2016", ""),
        ("", "16:26:37"),
        (None, None),
        ("27.08.0216", "16:26:37"),
        ("27.08.2016", "26:26:37"),
        ("1" + " " * 100_000 + "x", "16:26:37"),  # a search would take minutes
    ],
)
def test_what_cannot_be_told_is_none(date, clock_text):
    """A wrong date is worse than none."""
    assert clock.from_local_text(date, clock_text) is None


@given(date=st.text(max_size=20), clock_text=st.text(max_size=20))
def test_no_text_is_a_failure(date, clock_text):
    """Tags hold whatever somebody typed."""
    moment = clock.from_local_text(date, clock_text)
    assert moment is None or moment.tzinfo is UTC


@given(value=st.floats())
def test_no_number_is_a_failure(value):
    """Damaged numbers give None or a moment between 1985 and 2100."""
    for moment in (clock.from_filetime(value), clock.from_epoch_ms(value)):
        assert moment is None or 1985 <= moment.year <= 2100


def test_midnight_and_noon():
    """12 AM is the first hour of the day, 12 PM that after noon."""
    hours = [
        clock.from_local_text("8/27/2016", f"{text}:30:00 {half}")
        for text, half in [("12", "AM"), ("12", "PM")]
    ]
    assert [0, 12] == [moment.astimezone().hour for moment in hours]


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (
            {"DataBar": {"Acquisition Date": "27.08.2016", "Acquisition Time": "20:54:33"}},
            "2016-08-27T18:54:33",
        ),
        (
            {
                "DataBar": {
                    "Acquisition Date": "1/2/2016",  # ambiguous, and of another zone: UTC is stated beside it
                    "Acquisition Time": "20:54:33",
                    "Acquisition Time (OS)": 1.311680127385445e17,
                }
            },
            "2016-08-27T19:54:33",
        ),
        ({"Timestamp": "2019-01-31T18:53:22.497529"}, "2019-01-31T18:53:22"),  # Nion Swift, UTC
        ({"SI": {"Acquisition": {"Date": "17/08/2018", "Start time": "16:32:55"}}}, "2018-08-17T14:32:55"),
        (
            {"source": {"Tags at creation": {"DataBar": {"Acquisition Time (OS)": 1.311680127385445e17}}}},
            "2016-08-27T19:54:33",
        ),
        ({}, "None"),
    ],
)
def test_the_tags_of_a_file(tmp_path, write_dm, tags, expected):
    """UTC before local text; stacks keep the tags of their first frame apart."""
    source = formats.open_source(write_dm(tmp_path / "a.dm4", PIXELS, tags=tags))
    assert expected == (source.acquired_at.isoformat()[:19] if source.acquired_at else "None")


def test_metadata_of_a_file(tmp_path, write_dm):
    """Volts become kV, zeros are unknown, the name given in the session comes first."""
    tags = {
        "Microscope Info": {"Voltage": 300e3, "Indicated Magnification": 0.0, "Name": "FEI Titan Remote"},
        "Session Info": {"Microscope": "Titan\x00 3"},
        "Acquisition": {"Parameters": {"High Level": {"Exposure (s)": 0.5}}},
    }
    metadata = formats.open_source(write_dm(tmp_path / "a.dm3", PIXELS, tags=tags)).metadata
    assert (300.0, None, "Titan  3", 0.5) == (
        metadata.voltage_kV,
        metadata.magnification,
        metadata.instrument,
        metadata.exposure_s,
    )
