"""Logs of holders beside the frames: found, joined by time, kept in the ledger, shown in frames.csv."""

import csv
import io
import os
from datetime import timedelta

import numpy as np
import pytest
import structlog

from ledger_cases import START, arrival, result
from temwatch.config import SequenceSettings
from temwatch.daemon.holder_logs import HolderLogs, logs_beside
from temwatch.ledger import open_ledger, queue, recording
from temwatch.ledger.sequences.progress import LinkedFrame, record, sequences
from temwatch.outputs import holder_log, sequence_files


def link(ledger, frames):
    """Link these frames of the only sequence, half a second apart, without any particle."""
    with ledger.reader() as reader:
        (sequence,) = sequences(reader)
        ids = dict(reader.connection.execute("SELECT frame, id FROM micrographs WHERE frame IS NOT NULL"))
    linked = [
        LinkedFrame(
            frame=frame,
            micrograph_id=ids[frame],
            elapsed_s=frame * 0.5,
            particles=0,
            mean_equivalent_diameter_nm=None,
            sd_equivalent_diameter_nm=None,
            mean_area_nm2=None,
            particle_fraction=0.0,
            drift_x_nm=0.0,
            drift_y_nm=0.0,
            tracks=0,
            points=(),
            events=(),
        )
        for frame in frames
    ]
    assert record(ledger, sequence, linked, b"", ())


class Run:
    """A stack of five frames in a watched folder, linked up to the fourth."""

    def __init__(self, folder):
        self.folder = folder / "in" / "Au"
        self.folder.mkdir(parents=True)
        (self.folder / "run.dm4").touch()
        self.ledger = open_ledger(folder / "state")
        queue.add(self.ledger, arrival("Au/run.dm4", root=str(folder / "in"), sample="Au"))
        (file,) = queue.claim(self.ledger, 1, START)
        frames = [result("run", 0, frame=index, sequence="run") for index in range(5)]
        recording.record(self.ledger, file.id, frames, finished=True, frames_total=5)
        link(self.ledger, range(4))
        self.woken = []
        self.logs = self.restart()

    def restart(self):
        self.logs = HolderLogs(
            SequenceSettings(log_gap_seconds=1.0), self.ledger, lambda: self.woken.append(1)
        )
        return self.logs

    def write(self, text, name="run.csv"):
        (self.folder / name).write_text(text)

    def turn(self, *moments):
        with structlog.testing.capture_logs() as said, self.ledger.reader() as reader:
            for now_s in moments:
                self.logs.turn(reader, now_s)
        return said

    def column(self, name):
        with self.ledger.reader() as reader:
            text = "".join(sequence_files.csv_text(reader, "frames.csv", "Au"))
        return [row[name] for row in csv.DictReader(io.StringIO(text))]

    def generation(self):
        with self.ledger.reader() as reader:
            return sequences(reader)[0].generation


@pytest.fixture
def run(tmp_path):
    found = Run(tmp_path)
    yield found
    found.ledger.close()


LOG = "time (s),Temperature (°C),Gas (mbar),Bias [mV],note\n0,20,1,1500,x\n1,40,2,1500,y\n1.4,44,3,1500,z\n"


def test_a_log_beside_a_stack_fills_the_frames(run):
    """Interpolated, in the units of the columns; the tables are published again once, by the engine."""
    run.write(LOG)
    before = run.generation()
    said = run.turn(0, 5, 10, 15, 20, 1000)
    assert ["20", "30", "40", "44"] == run.column("temperature_C")
    assert ["100", "150", "200", "300"] == run.column("pressure_Pa")
    assert ["1.5"] * 4 == run.column("bias_V")
    assert ["log of the holder joined"] == [line["event"] for line in said]
    assert (before + 1, [1]) == (run.generation(), run.woken)


def test_nothing_is_joined_while_frames_come(run):
    run.write(LOG)
    run.turn(0, 9)
    link(run.ledger, [4])
    run.turn(11, 20)
    assert [""] * 5 == run.column("temperature_C")
    run.turn(22)
    assert ["20", "30", "40", "44", "44"] == run.column("temperature_C")


def test_a_log_that_grows_is_joined_until_it_reaches_beyond_the_last_frame(run):
    """Then it may grow on: nothing is read again, also after a restart."""
    run.write("t,temp_C\n0,20\n")
    run.turn(0, 10)
    assert ["20", "20", "20", ""] == run.column("temperature_C")
    run.write("t,temp_C\n0,20\n1,40\n9,40\n")
    run.turn(20, 40)
    assert ["20", "30", "40", "40"] == run.column("temperature_C")
    run.write("t,temp_C\n0,99\n1,99\n10,40\n")
    run.turn(100, 1000)
    run.restart()
    run.turn(0, 10, 20, 1000)
    assert ["20", "30", "40", "40"] == run.column("temperature_C")


def test_what_was_joined_stays_when_the_folder_is_gone(run):
    run.write(LOG)
    run.turn(0, 10)
    run.folder.rename(run.folder.with_name("away"))
    run.restart()
    run.turn(0, 10, 1000)
    assert ["20", "30", "40", "44"] == run.column("temperature_C")


def test_moments_need_the_time_of_the_first_frame(run):
    """It is in the ledger where the files state it; the zone is that of this machine."""
    first = (START - timedelta(hours=1)).astimezone()
    times = [(first + timedelta(seconds=step)).strftime("%Y-%m-%d %H:%M:%S") for step in (0, 1, 2)]
    run.write("date-time;T / K\n" + "".join(f"{text};{273.15 + 10 * n}\n" for n, text in enumerate(times)))
    run.turn(0, 10)
    assert [0, 5, 10, 15] == pytest.approx([float(text) for text in run.column("temperature_C")], abs=1e-6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("time,temperature\n0,20\n", "with a known unit"),
        ("a,b\n1,2\n", "no header with a column of times"),
        ("time,temp (C)\n0001-01-01 00:00:00,20\n", "is no moment"),
        ("time,temp (C)\n9999-12-31T23:59:59-12:00,20\n", "is no moment"),
        ("t,temp (C)\n0,20,5\n1,30,5\n", "more numbers than columns"),
        ("t,temp (C)\n1769817660,20\n1769817669,29\n", "near a frame in time"),
        ("t;temp (K)\n0;1.234,5\n2;-7\n", "near a frame in time"),
        pytest.param("t,temp (C)\n" + "\n" * 2_000_000, "more than 2,000,000 rows", id="too many rows"),
    ],
)
def test_a_log_that_cannot_be_joined_is_told_of_once(run, text, reason):
    """No unit is guessed."""
    run.write(text)
    (line,) = run.turn(0, 10, 20, 40, 1000)
    assert reason in line["reason"]
    assert [""] * 4 == run.column("temperature_C")


@pytest.mark.parametrize("name", ["run.csv", os.fsdecode(b"run_temp\xe9rature.csv"), "run_a\nb;c.csv"])
@pytest.mark.parametrize(
    "text",
    [
        't,temp_C\n0,20\n0.2,"\n1,40\n9,40\n' + "9,40\n" * 30_000,
        "x" * 200_000 + ",y\nt,temp_C\n0,20\n1,40\n9,40\n",
        "t,temp_C\n0,20\n0.1,1e308\n0.2,-1e308\n0.3,1e999\n0.4,-300\n0.5,1_0\n1,40\n9,40\n",
        "t,temp_C\n0,20\0\n0,20\n1,40\n9,40\n",
    ],
    ids=["open quotation mark", "long line", "impossible numbers", "NUL"],
)
def test_what_is_broken_in_a_log_costs_its_own_row(run, name, text):
    """Neither the loop nor the service ends, whatever the log is called."""
    run.write(text, name)
    run.turn(0, 10)
    assert ["20", "30", "40", "40"] == run.column("temperature_C")


def test_an_error_that_nobody_expected_costs_one_look(run, monkeypatch):
    """It is in the log; the next look joins."""
    run.write(LOG)
    with monkeypatch.context() as broken:
        broken.setattr(holder_log, "frame_values", lambda *_: 1 // 0)
        assert ["internal error"] == [line["event"] for line in run.turn(0, 10)]
    run.turn(20, 40)
    assert ["20", "30", "40", "44"] == run.column("temperature_C")


def test_another_table_beside_a_log_does_no_harm(run):
    """Nothing is told of it while the log can be joined."""
    run.write("sample,remark\nAu,heated\n", name="run_a.csv")
    run.write("DateTime,T (C)\n" + "".join(f"2026-01-31T00:00:0{n},20\n" for n in range(3)), name="run_b.csv")
    run.write("time,T (C)\n0,20\n2,20\n", name="run_c.csv")
    said = run.turn(0, 10)
    assert ["log of the holder joined"] == [line["event"] for line in said]
    assert [20] * 4 == [float(text) for text in run.column("temperature_C")]


def test_which_files_are_logs(tmp_path):
    """Of a stack those of its name; of a folder all; of Gatan's tree those at its top."""
    tree = tmp_path / "X" / "Hour_00" / "Minute_00" / "Second_00"
    tree.mkdir(parents=True)
    for name in ("a.csv", "a_heating.CSV", "ab.csv", "b.csv", "a.txt", "X/top.csv"):
        (tmp_path / name).touch()

    def names(path, **kind):
        return [one.name for one in logs_beside(path, **kind)]

    assert ["a.csv", "a_heating.CSV"] == names(tmp_path / "a.dm4", is_stack=True, is_in_tree=False)
    every = ["a.csv", "a_heating.CSV", "ab.csv", "b.csv"]
    assert every == names(tmp_path / "1.dm3", is_stack=False, is_in_tree=False)
    assert ["top.csv"] == names(tree / "X_0.dm4", is_stack=False, is_in_tree=True)
    os.truncate(tmp_path / "a.csv", 65 * 1024**2)
    assert ["a_heating.CSV"] == names(tmp_path / "a.dm4", is_stack=True, is_in_tree=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Temperature (°C)", ("temperature_C", 1, 0)),
        ("T [K]", ("temperature_C", 1, -273.15)),
        ("sample temp_C", ("temperature_C", 1, 0)),
        ("pressure/Torr", ("pressure_Pa", 101325 / 760, 0)),
        ("Gas pressure (kPa)", ("pressure_Pa", 1e3, 0)),
        ("Bias (kV)", ("bias_V", 1e3, 0)),
        ("Temperature", None),
        ("Temperature (V)", None),
        ("gas flow (sccm)", None),
        ("current (A)", None),
    ],
)
def test_quantities_and_units_of_a_column(name, expected):
    assert expected == holder_log.quantity(name)


def test_a_frame_takes_only_what_is_near(tmp_path):
    """Between two near rows interpolated, of one near row its value, else nothing."""
    log = tmp_path / "log.csv"
    log.write_text("t,temp_C\n0,10\n10,20\n11,30\n")
    times = np.array([-3, -1, 0.0, 2, 5, 9, 10.5, 12, 14, np.nan])
    values, last_s = holder_log.frame_values([log], times, None, 2.0)
    expected = [np.nan, 10, 10, 10, np.nan, 20, 25, 30, np.nan, np.nan]
    np.testing.assert_allclose(values["temperature_C"], expected)
    assert 11 == last_s
