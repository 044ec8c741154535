"""Directory entries of every kind: each becomes a file that the ledger takes, or is skipped with a reason."""

import contextlib
import os
import shutil
import stat
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odd_entries import ENTRIES, YEAR_2400
from temwatch.acquisition import spool
from temwatch.acquisition.arrival import add_found
from temwatch.acquisition.assignment import place
from temwatch.acquisition.intake import Intake, IntakeStatus, Search
from temwatch.acquisition.scan import FoundFile, scan
from temwatch.acquisition.watcher import Touched
from temwatch.config import Config, SampleSettings, SequenceSettings, WatchSettings
from temwatch.errors import SKIP_CODES, Refused
from temwatch.ledger import open_ledger, presence, queue
from temwatch.ledger.sequences.numbering import MAX_FRAME

MEMORY = (
    "/dev/shm" if Path("/dev/shm").is_dir() else None
)  # its files may have any time of 64 bits of seconds


def config(folder, **sequences):
    return Config.model_validate(
        {
            "watch": {"folder": str(folder / "watched"), "settle_seconds": 0.1},
            "output": {"folder": str(folder / "results")},
            "sequences": sequences,
        }
    )


class Intakes:
    """The real search over a folder, and the real ledger behind it; time is turned by hand."""

    def __init__(self, folder, **sequences):
        self.config = config(folder, **sequences)
        self.watched = self.config.watch.folder
        self.ledger = open_ledger(self.config.output.state)
        self.now_s = 0.0
        self.restart()

    def restart(self):
        """What it remembers is in the ledger."""
        self.status = IntakeStatus()
        parts = Intake(
            settings=WatchSettings(folder=self.watched, settle_seconds=0.1),
            skip=(),
            known=lambda: presence.known(self.ledger, str(self.watched)),
            add=lambda found, source: add_found(self.ledger, self.config, self.watched, found, source),
            complete=lambda _: None,
        )
        self.search = Search(parts, self.status, lambda: self.now_s)

    def scan_until_settled(self, scans=3):
        for _ in range(scans):
            self.now_s += 1
            self.search.turn(self.now_s, Touched(), full=True)

    def paths(self):
        with self.ledger.reader() as reader:
            return sorted(file.path for file in reader.pending(10_000))


@contextlib.contextmanager
def intakes(**sequences):
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    (folder / "watched").mkdir()
    found = Intakes(folder, **sequences)
    try:
        yield found
    finally:
        found.ledger.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_odd_entry_costs_nothing_but_itself(entry):
    """It is in the ledger or told of once with a reason, and the good file beside it is there."""
    with intakes(folders=["*"]) as found:
        (found.watched / "Au").mkdir()
        entry.make(found.watched / "Au", lambda: b"x")
        (found.watched / "Au" / "good.dm3").write_bytes(b"x")
        found.scan_until_settled()
        assert "Au/good.dm3" in found.paths()
        told = sum(found.status.entries_skipped.values())
        assert (entry.expected == "skipped") == bool(told)
        if entry.expected != "skipped":
            assert len(found.paths()) > 1
        found.scan_until_settled()
        assert told == sum(found.status.entries_skipped.values())
        assert set(found.status.entries_skipped) <= set(SKIP_CODES)


def test_pictures_of_other_formats_are_told_of_once_a_folder():
    """Nobody waits in vain for the result of a jpg."""
    with intakes() as found:
        (found.watched / "Au").mkdir()
        for name in ("Au/1.jpg", "Au/2.JPG", "Au/3.emd", "Au/notes.txt", "4.jpg", "good.dm3"):
            (found.watched / name).write_bytes(b"x")
        found.scan_until_settled()
        assert ["good.dm3"] == found.paths()
        assert {"other_format": 3} == dict(found.status.entries_skipped)


def test_a_format_that_is_read_but_not_watched_for_is_told_of_with_the_remedy(tmp_path):
    """Whoever saves with Velox need not wait in vain."""
    for name in ("a.emd", "b.EMD", "a.ser", "a.emi", "good.dm3"):
        (tmp_path / name).write_bytes(b"x")
    told = []
    assert ["good.dm3"] == [file.path for file in scan(tmp_path, ["*.dm3"], skipped=told.append)]
    assert {"*.emd", "*.ser"} == {entry.path for entry in told}
    assert all(f'"{entry.path}" to [watch] patterns' in entry.reason for entry in told)


def test_a_time_beyond_the_ledger_still_tells_a_change():
    """The year 2400 on a share with a broken clock, and a file that is written again a second later."""
    with intakes() as found:
        path = found.watched / "Au_1.dm3"
        path.write_bytes(b"x")
        seen = []
        for second in (YEAR_2400, YEAR_2400 + 1, -YEAR_2400):
            os.utime(path, (second, second))
            (file,) = scan(found.watched, ["*.dm3"])
            seen.append(file.mtime_ns)
            found.scan_until_settled()
        assert 3 == len(set(seen))
        assert ["Au_1.dm3"] == found.paths()


def saved_again(path, content):
    """By a program that keeps the time, as `cp -p` does, so that size and time are equal."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (before.st_size, before.st_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)


def replaced(path, content):
    """By a program that writes beside it and renames, with equal size and time."""
    before, beside = path.stat(), path.with_suffix(".new")
    beside.write_bytes(content)
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    beside.replace(path)


@pytest.mark.parametrize("save", [saved_again, replaced])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_file_saved_again_with_equal_size_and_time_is_found(save, restarts):
    """It is a new revision while the first is being analysed; with equal content that ends at its hash."""
    with intakes() as found:
        path = found.watched / "Au_1.dm3"
        path.write_bytes(b"one")
        found.scan_until_settled()
        (first,) = queue.claim(found.ledger, 1, datetime.now(UTC))
        save(path, b"two")
        if restarts:
            found.restart()
        found.scan_until_settled(scans=8)  # not every scan examines a file that is known
        with found.ledger.reader() as reader:
            assert [(first.id, 1), (first.id + 1, 2)] == [
                (file.id, file.revision) for file in reader.pending()
            ]
        found.scan_until_settled(scans=8)
        assert 2 == len(found.paths())


def test_an_event_tells_of_a_write_that_a_coarse_clock_hides(monkeypatch):
    """On a card whose file system counts whole seconds, equal size and times say nothing."""
    found_file = FoundFile("Au_1.dm3", 3, 10**18, 10**18)
    with intakes() as found:
        (found.watched / "Au_1.dm3").write_bytes(b"one")
        # no file system of this kind can be mounted everywhere: what it would say
        monkeypatch.setattr("temwatch.acquisition.scan.found_file", lambda *_: found_file)
        found.scan_until_settled()
        event = Touched(folders={"": False}, files={"Au_1.dm3"})
        assert found_file.has_coarse_time

        def revisions():
            with found.ledger.reader() as reader:
                return [file.revision for file in reader.pending()]

        queue.claim(found.ledger, 1, datetime.now(UTC))
        found.search.turn(found.now_s, event, full=False)  # its writer closes it
        found.scan_until_settled()
        assert [1] == revisions()
        found.now_s += 60
        found.search.turn(found.now_s, event, full=False)
        found.scan_until_settled()
        assert [1, 2] == revisions()


def test_a_batch_that_fails_is_added_entry_by_entry():
    """What the ledger cannot take is named; everything beside it is there."""
    with intakes() as found:
        batch = [
            FoundFile("a_1.dm3", 1, 1, 1),
            FoundFile("b_1.dm3", 2**70, 1, 1),
            FoundFile("c_1.dm3", 1, 2**70, 1),
        ]
        batch += [FoundFile(f"d_{number}.dm3", 1, 1, 1) for number in range(3)]
        skipped = add_found(found.ledger, found.config, found.watched, batch, "event")
        assert [("b_1.dm3", "internal"), ("c_1.dm3", "internal")] == [
            (entry.path, entry.code) for entry in skipped
        ]
        assert ["a_1.dm3", "d_0.dm3", "d_1.dm3", "d_2.dm3"] == found.paths()


@pytest.mark.parametrize(
    "path",
    [
        "f/f_12345678901234567890.dm3",
        f"f/f_{MAX_FRAME + 1}.dm3",
        f"f/{'9' * 5000}.dm3",
        "f/X_Hour_00_Minute_00_Second_00_Frame_99999999999999999999.dm4",
        "f/X_Hour_99999999999999999999_Minute_00_Second_00_Frame_0000.dm4",
    ],
)
def test_a_number_that_no_camera_counts_is_no_frame(path):
    """It is a micrograph of its own; a time stamp of 14 digits is still a frame."""
    settings = SequenceSettings(folders=("f",))
    found = place(path, root_name="r", samples=SampleSettings(), sequences=settings)
    assert found.position is None
    assert found.frame is None or found.frame <= MAX_FRAME
    stamped = place("f/20260301120000.dm3", root_name="r", samples=SampleSettings(), sequences=settings)
    assert 20260301120000 == stamped.frame


def test_nothing_but_a_file_is_opened(tmp_path):
    """A pipe would wait for a writer, and a device may act; also where one takes the place of a file."""
    for entry in ENTRIES:
        if entry.expected == "refused":
            entry.make(tmp_path, lambda: b"x")
    odd = [path for path in sorted(tmp_path.iterdir()) if not stat.S_ISREG(path.stat().st_mode)]
    assert 4 == len(odd)
    for path in odd:
        with pytest.raises(Refused):
            spool.fetch(path, tmp_path / "copy")


KINDS = st.sampled_from(["file", "folder", "pipe", "link", "loop", "hard link"])
NAMES = st.one_of(
    st.binary(min_size=1, max_size=251),
    st.text(min_size=1, max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.from_regex(rb"\A[A-Za-z_]{0,3}[0-9]{1,25}\Z"),
    st.from_regex(rb"\A(X_)?Hour_[0-9]{1,21}_Minute_[0-9]{1,3}_Second_[0-9]{1,3}_Frame_[0-9]{1,21}\Z"),
).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_")[:251])
SECONDS = st.one_of(st.integers(-(2**62), 2**62), st.integers(-(2**34), 2**34))


@settings(max_examples=60, deadline=None)
@given(
    entries=st.lists(st.tuples(NAMES, KINDS, SECONDS, st.integers(0, 2**62)), min_size=1, max_size=6),
    folder=NAMES.filter(lambda name: name.strip(b".")),
)
def test_any_entries_at_all(entries, folder):
    """Bytes of the name, kind, time and size: each file is in the ledger, and once; nothing else breaks."""
    with intakes(folders=["*"]) as found:
        here = found.watched / os.fsdecode(folder)
        here.mkdir()
        (found.watched / "good_1.dm3").write_bytes(b"x")
        for name, kind, seconds, size in entries:
            path = here / os.fsdecode(name + b".dm3")
            if not os.path.lexists(path):
                _make(path, kind, seconds, size)
        found.scan_until_settled()
        seen = [] if here.name.startswith(".") else here.glob("*.dm3")
        expected = [f"{here.name}/{path.name}" for path in seen if path.exists() and path.name[0] != "."]
        assert sorted([*expected, "good_1.dm3"]) == found.paths()
        assert set(found.status.entries_skipped) <= set(SKIP_CODES) - {"internal"}


def _make(path, kind, seconds, size):
    match kind:
        case "file":
            with path.open("wb") as stream:
                stream.truncate(size)
            os.utime(path, (seconds, seconds))
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(path.parent)
        case "loop":
            path.symlink_to(path.name)
        case "hard link":
            other = path.with_name(f"{path.name}_")
            other.touch()
            path.hardlink_to(other)
