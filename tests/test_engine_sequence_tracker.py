"""Frames are linked in their order, once each, whatever order they arrive in and whatever is killed."""

import io
import json
import os
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas
import pytest
import trackpy

from ledger_cases import METHOD, arrival, disc, particle, result
from temwatch.config import Config
from temwatch.domain import Analysis, Region, Segmentation
from temwatch.engine import decisions
from temwatch.engine.run_mode import RunMode
from temwatch.engine.sequence_tracker import SequenceTracker
from temwatch.ledger import Reader, open_ledger, queue, recording
from temwatch.ledger.sequences import progress
from temwatch.outputs import exports, sample_folder

pytestmark = pytest.mark.system
SIZE_PX = 160
SERVICE, ONCE = RunMode.service(), RunMode.one_shot()


def drifting(frame, pixel_size_nm=0.1):
    """Twelve discs that drift; one vanishes at frame 6, and frame 9 is blank."""
    random = np.random.default_rng(5)
    mask = np.zeros((SIZE_PX, SIZE_PX), bool)
    regions = []
    for number in range(12):
        crop = disc(4 + number % 3)
        row, column = 8 + 36 * (number // 4) + frame, 8 + 36 * (number % 4) + frame // 2
        if frame == 9 or (number == 5 and frame >= 6):
            continue
        mask[row : row + len(crop), column : column + len(crop)] |= crop
        regions.append(Region(origin_px=(row, column), mask=crop))
    analysis = Analysis(
        mask=mask,
        particles=tuple(particle(random, region, pixel_size_nm) for region in regions),
        rejections=(),
        method=METHOD,
        pixel_size_nm=pixel_size_nm,
    )
    return replace(
        result(f"frame {frame}", 0, frame=frame),
        segmentation=Segmentation(mask=mask),
        analysis=analysis,
        analysed_at=datetime.now(UTC),
    )


class Sequence:
    """A folder of frames on its way through ledger and tracker.

    Unless it `draws`, no plot is due: each takes seconds, and most tests ask what was linked.
    """

    def __init__(self, folder, *, draws=False, **settings):
        self.folder = folder
        self.draws = draws
        self.config = Config.model_validate(
            {
                "watch": {"folder": str(folder / "in")},
                "output": {"folder": str(folder)},
                "sequences": {"gap_seconds": 1000.0} | settings,
            }
        )
        self.ledger = open_ledger(self.config.output.state)
        self.woken = threading.Event()
        self.tracker = self.new_tracker()

    def new_tracker(self):
        tracker = SequenceTracker(
            self.ledger,
            self.config,
            lambda sample: sample_folder.publish(self.ledger, self.folder, sample),
            self.woken.set,
        )
        if not self.draws:
            tracker._begin_drawing = lambda: False
        return tracker

    def add(self, *frames, **more):
        """Files that were found."""
        found = [
            arrival(f"run/{frame}.dm3", sample="run", sequence="run", frame=frame, **more) for frame in frames
        ]
        return queue.add_all(self.ledger, found)

    def analyse(self, *frames):
        """Files that come and are analysed at once, in this order."""
        for frame, number in zip(frames, self.add(*frames), strict=True):
            queue.claim(self.ledger, 10, datetime.now(UTC))
            recording.record(self.ledger, number, [drifting(frame)])

    def turn(self, mode=SERVICE):
        """One step, and where there is something to wait for, until a worker has finished."""
        is_waiting = self.tracker.turn(mode)
        if is_waiting:
            self.woken.wait(0.2)
            self.woken.clear()
        return is_waiting

    def settle(self, mode=SERVICE):
        """Until nothing is left to do."""
        deadline = time.monotonic() + 120
        while self.turn(mode):
            assert time.monotonic() < deadline

    def close(self):
        self.tracker.close()
        self.ledger.close()

    def table(self, name):
        return (self.folder / "run" / name).read_text()

    def tables(self):
        return [self.table(name) for name in ("frames.csv", "tracks.csv", "events.csv")]

    def frames(self):
        return [int(line.split(",")[1]) for line in self.table("frames.csv").splitlines()[1:]]


@pytest.fixture
def sequence(tmp_path):
    """A sequence whose gaps stay open for long."""
    made = Sequence(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def in_order(tmp_path_factory):
    """Tables of fourteen frames that came in their order."""
    made = Sequence(tmp_path_factory.mktemp("order"))
    made.analyse(*range(14))
    made.settle(ONCE)
    yield made.tables()
    made.close()


def test_every_frame_has_a_row_and_every_particle_a_track(in_order):
    """The blank frame has one with no particles, and breaks no track."""
    frames, tracks, events = ([line.split(",") for line in table.splitlines()] for table in in_order)
    header = "sequence,frame,elapsed_s,particles,mean_equivalent_diameter_nm,sd_equivalent_diameter_nm,"
    assert header + "mean_area_nm2,particle_fraction,drift_x_nm,drift_y_nm" == ",".join(frames[0][:10])
    assert "sequence,track,frame,particle,x_nm,y_nm,equivalent_diameter_nm" == ",".join(tracks[0])
    assert "sequence,frame,event,track,others" == ",".join(events[0])
    assert [str(frame) for frame in range(14)] == [row[1] for row in frames[1:]]
    assert ["12"] * 6 + ["11"] * 3 + ["0"] + ["11"] * 4 == [row[3] for row in frames[1:]]
    assert ["", "", ""] == frames[10][4:7]
    assert 12 == len({row[1] for row in tracks[1:]})
    assert [["run", "6", "vanish"]] == [row[:3] for row in events[1:]]
    drift_x_nm, drift_y_nm = (float(value) for value in frames[-1][8:10])
    assert (0.6, 1.3) == (pytest.approx(drift_x_nm, abs=0.03), pytest.approx(drift_y_nm, abs=0.03))
    first, last = ([row for row in tracks[1:] if row[1] == "1"][index] for index in (0, -1))
    assert [float(value) for value in first[4:6]] == pytest.approx(
        [float(value) for value in last[4:6]], abs=0.1
    )


def test_out_of_order_is_the_same_as_in_order(sequence, in_order):
    """As long as nothing is given up, nothing is linked too early."""
    for frames in ([0, 2, 3], [1, 7, 6], [5, 4, 13], [12, 11, 8, 10, 9]):
        sequence.analyse(*frames)
        sequence.settle()
    sequence.settle(ONCE)
    assert in_order == sequence.tables()


def test_a_gap_is_waited_for_and_then_given_up(tmp_path):
    """What is known so far is published meanwhile; a gap has no row."""
    sequence = Sequence(tmp_path, gap_seconds=1.0)
    sequence.analyse(0, 1, 2, 4)
    sequence.settle()
    assert [0, 1, 2] == sequence.frames()[:3]
    deadline = time.monotonic() + 60
    while sequence.frames() != [0, 1, 2, 4]:
        sequence.settle()
        time.sleep(0.05)
        assert time.monotonic() < deadline
    sequence.close()


def test_a_gap_is_not_given_up_while_its_file_waits(sequence):
    """Nor waited for where the file was refused."""
    sequence.analyse(0, 1)
    (waiting,) = sequence.add(2)
    queue.claim(sequence.ledger, 1, datetime.now(UTC))
    sequence.analyse(3, 4)
    sequence.settle(ONCE)
    assert [0, 1] == sequence.frames()
    recording.reject_file(
        sequence.ledger, waiting, status="refused", code="no_pixel_size", reason="none", at=datetime.now(UTC)
    )
    sequence.settle()
    assert [0, 1, 3, 4] == sequence.frames()


def test_a_late_frame_takes_its_place(sequence, in_order):
    """Following goes back to before it, and the tables are those of the right order."""
    sequence.analyse(*range(5), *range(6, 14))
    sequence.settle(ONCE)
    assert [*range(5), *range(6, 14)] == sequence.frames()
    sequence.analyse(5)
    sequence.settle(ONCE)
    assert in_order == sequence.tables()


def test_a_frame_that_is_replaced_is_linked_again(sequence, in_order):
    """By a later revision of its file; one that is lost leaves a gap."""
    sequence.analyse(*range(14))
    sequence.settle(ONCE)
    (changed,) = sequence.add(4, size_bytes=77)
    queue.claim(sequence.ledger, 1, datetime.now(UTC))
    recording.record(sequence.ledger, changed, [replace(drifting(4), sha256="other")])
    sequence.settle(ONCE)
    assert in_order == sequence.tables()
    queue.retry(sequence.ledger, ["run/3.dm3"])
    sequence.settle(ONCE)
    assert [0, 1, 2] == sequence.frames()  # it waits for its new analysis
    (again,) = queue.claim(sequence.ledger, 1, datetime.now(UTC))
    recording.record(sequence.ledger, again.id, [drifting(3)])
    sequence.settle(ONCE)
    assert in_order == sequence.tables()


def test_tracks_are_linked_again_without_what_is_excluded(sequence, in_order):
    """A frame is a gap that nobody waits for, a particle has no track; included again, all is as it was."""
    sequence.analyse(*range(14))
    sequence.settle(ONCE)

    def decide(kind, path, **more):
        arguments = {"by": "anna", "source": "command", "paths": [path], **more}
        assert decisions.decide(sequence.ledger, kind, arguments).samples
        sequence.settle(SERVICE)  # whose gaps stay open for long
        sequence.settle(ONCE)

    decide("exclude", "run/3.dm3")
    decide("exclude", "run/7.dm3", particles=[2])
    assert [0, 1, 2, *range(4, 14)] == sequence.frames()
    points = [line.split(",") for line in sequence.table("tracks.csv").splitlines()[1:]]
    assert [1, *range(3, 12)] == [int(line[3]) for line in points if line[2] == "7"]
    assert 12 == len({line[1] for line in points})  # tracks go on behind both
    decide("include", "run/7.dm3", particles=[2])
    decide("include", "run/3.dm3")
    assert in_order == sequence.tables()


def test_a_sequence_goes_on_after_its_end(sequence, in_order):
    """What the end had shown is taken back."""
    sequence.analyse(*range(8))
    sequence.settle(ONCE)
    assert "vanish" in sequence.table("events.csv")
    sequence.analyse(*range(8, 14))
    sequence.settle(ONCE)
    assert in_order == sequence.tables()


def test_the_interval_between_frames_is_that_of_their_coming(sequence):
    """Frames that come every second out of order end their sequence as soon as those in order."""
    begin = datetime.now(UTC).replace(microsecond=0)
    order = [7, 0, 11, 3, 9, 1, 13, 5, 2, 12, 4, 10, 6, 8]
    for second, (frame, number) in enumerate(zip(order, sequence.add(*order), strict=True)):
        queue.claim(sequence.ledger, 10, begin)
        found = replace(drifting(frame), analysed_at=begin + timedelta(seconds=second))
        recording.record(sequence.ledger, number, [found])
    with sequence.ledger.reader() as reader:
        while (one := progress.sequences(reader)[0]).first is not None:
            sequence.turn()
        assert (begin + timedelta(seconds=6), 1.0) == progress.idle_since(reader, one)


def test_a_killed_worker_costs_nothing(sequence, in_order, monkeypatch):
    """Nor does a restart between two batches: identities stay."""
    monkeypatch.setattr("temwatch.engine.sequence_tracker._BATCH_FRAMES", 3)
    sequence.analyse(*range(14))
    sequence.tracker.turn(ONCE)
    for process in sequence.tracker._linker._pool._processes.values():
        process.kill()
    while len(sequence.frames() if (sequence.folder / "run" / "frames.csv").exists() else []) < 6:
        sequence.turn(ONCE)
    sequence.tracker.close()
    sequence.tracker = sequence.new_tracker()
    sequence.settle(ONCE)
    assert in_order == sequence.tables()


def test_a_drawing_does_not_hold_up_linking(tmp_path):
    """Nor does one whose process dies: it is drawn when there is more."""
    sequence = Sequence(tmp_path, draws=True)
    sequence.analyse(*range(16))
    while not sequence.tracker._drawer.is_busy:
        sequence.tracker.turn(SERVICE)
        time.sleep(0.005)
    (process,) = sequence.tracker._drawer._pool._processes.values()
    os.kill(process.pid, signal.SIGSTOP)
    sequence.analyse(*range(16, 20))
    deadline = time.monotonic() + 60
    while sequence.frames() != [*range(20)]:
        assert sequence.tracker.turn(SERVICE)
        assert time.monotonic() < deadline
        time.sleep(0.005)
    drawn = sequence.folder / "run" / "sequences" / "run" / "ensemble.csv"
    assert not drawn.exists()
    process.kill()
    sequence.settle(ONCE)
    assert 21 == len(drawn.read_text().splitlines())
    sequence.close()


def test_a_batch_that_was_overtaken_is_not_recorded(sequence):
    """Two trackers, as after a kill that was not one, do not link a frame twice."""
    sequence.analyse(0, 1, 2)
    with sequence.ledger.reader() as reader:
        (before,) = progress.sequences(reader)
    sequence.settle()
    assert not progress.record(sequence.ledger, before, (), b"", ())
    assert [0, 1, 2] == sequence.frames()


def test_rebuild_writes_the_same_bytes(sequence):
    """From the ledger alone."""
    sequence.analyse(*range(5))
    sequence.settle(ONCE)
    before = sequence.tables()
    for path in (sequence.folder / "run").glob("*.csv"):
        path.unlink()
    sample_folder.rebuild(sequence.ledger, sequence.folder, "run")
    assert before == sequence.tables()
    with Reader(sequence.ledger.state) as reader:
        exported = exports.export(reader, sequence.folder / "elsewhere", "run", ["csv"])
    assert {"frames.csv", "tracks.csv", "events.csv"} <= {path.name for path in exported}


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # trackpy 0.7 with pandas 3
def test_trackpy_takes_the_exported_tracks(sequence, tmp_path):
    """In px from the centre of the first pixel; its displacements are those of tracks.csv."""
    sequence.analyse(*range(5))
    sequence.settle(ONCE)
    with Reader(sequence.ledger.state) as reader:
        *_, events, tracks_file = exports.export(reader, tmp_path, "run", ["csv", "trackpy"])
    assert ("events.csv", "trackpy.csv") == (events.name, tracks_file.name)
    tracks, ours = pandas.read_csv(tracks_file), pandas.read_csv(tmp_path / "tracks.csv")
    assert np.allclose(ours["x_nm"], (tracks["x"] + 0.5) * tracks["pixel_size_nm"], rtol=1e-5)
    assert np.allclose(ours["y_nm"], (tracks["y"] + 0.5) * tracks["pixel_size_nm"], rtol=1e-5)
    pixel_size_um = tracks["pixel_size_nm"].iloc[0] / 1000
    squares = trackpy.imsd(tracks, mpp=pixel_size_um, fps=1, max_lagtime=4)
    assert set(ours["track"]) == set(squares.columns)
    for track, points in ours.groupby("track"):
        steps = np.diff(points[["x_nm", "y_nm"]].to_numpy(), axis=0) / 1000
        assert np.mean((steps**2).sum(1)) == pytest.approx(squares[track].iloc[0], rel=1e-4, abs=1e-12)


def test_states_of_the_tracker_stay_few(sequence, monkeypatch):
    """One for so many frames, and the last."""
    monkeypatch.setattr(progress, "STATE_EVERY_FRAMES", 4)
    monkeypatch.setattr("temwatch.engine.sequence_tracker._BATCH_FRAMES", 1)
    sequence.analyse(*range(14))
    sequence.settle(ONCE)
    with sequence.ledger.reader() as reader:
        states = reader.connection.execute("SELECT frame FROM tracker_states ORDER BY frame").fetchall()
    assert [(3,), (7,), (11,), (13,)] == states


def test_a_state_of_another_version_is_made_anew(sequence, in_order):
    """After an update a running sequence is linked from its first frame again: the same tracks."""
    sequence.analyse(*range(8))
    sequence.settle()
    before = sequence.tables()
    header = np.frombuffer(json.dumps({"version": 1}).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, header=header)
    with sequence.ledger.transaction() as connection:
        changed = connection.execute("UPDATE tracker_states SET state = ?", (stream.getvalue(),)).rowcount
    assert changed > 0
    sequence.analyse(*range(8, 14))
    sequence.settle(ONCE)
    assert in_order == sequence.tables()
    assert all(old in new for old, new in zip(before[:2], sequence.tables(), strict=False))
