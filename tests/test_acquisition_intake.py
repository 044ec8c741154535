"""Which files the intake takes for complete, and which it finds."""

import os
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system import wait_until
from temwatch.acquisition import intake
from temwatch.acquisition import scan as scanning
from temwatch.acquisition.intake import FileState, settled
from temwatch.acquisition.scan import FoundFile, KnownFiles, scan
from temwatch.acquisition.watcher import Touched, Watcher
from temwatch.config import WatchSettings

PATTERNS = ("*.dm3", "*.tif")
settle = partial(settled, settle_seconds=2.0, complete=lambda: None)


def test_a_new_file_is_not_ready_and_is_remembered():
    """One look tells nothing of growth."""
    assert settle(None, FoundFile("a.dm3", 10, 1, 1), 100.0) == (False, FileState(10, 1, 1, 100.0))


def test_a_file_that_does_not_change_is_ready_after_the_settle_time():
    """The clock that counts is the local monotonic one."""
    seen = FileState(10, 1, 1, 100.0)
    assert settle(seen, FoundFile("a.dm3", 10, 1, 1), 101.9) == (False, seen)
    assert settle(seen, FoundFile("a.dm3", 10, 1, 1), 102.0) == (True, seen)


def test_any_change_starts_the_wait_again():
    """Size or time, both are signs of a writer."""
    seen = FileState(10, 1, 1, 100.0)
    assert settle(seen, FoundFile("a.dm3", 11, 1, 1), 103.0) == (False, FileState(11, 1, 1, 103.0))
    assert settle(seen, FoundFile("a.dm3", 10, 2, 1), 103.0) == (False, FileState(10, 2, 1, 103.0))
    assert settle(seen, FoundFile("a.dm3", 10, 1, 2), 103.0) == (False, FileState(10, 1, 2, 103.0))


def test_a_file_that_says_it_is_complete_needs_no_wait():
    """A dm3 that has reached its declared length is taken at the first look."""
    ready, _ = settled(None, FoundFile("a.dm3", 10, 1, 1), 0.0, settle_seconds=60, complete=lambda: True)
    assert ready


@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    steps=st.lists(st.floats(0.01, 5), min_size=30, max_size=30),
)
def test_ready_means_unchanged_for_the_settle_time(sizes, steps):
    """Whatever the looks, readiness is never given within the settle time after a change."""
    now, changed, before, seen = 0.0, 0.0, None, None
    for size, step in zip(sizes, steps, strict=False):
        now += step
        if size != before:
            changed, before = now, size
        ready, seen = settle(seen, FoundFile("a", size, 0, 1), now)
        assert ready == (now - changed >= 2.0)


def names(root, **options):
    return sorted(found.path for found in scan(root, PATTERNS, **options))


def test_scan_finds_below_and_ignores_case_and_what_is_hidden(tmp_path):
    """Instruments write .DM3 as well as .dm3."""
    (tmp_path / "Au" / "day 2").mkdir(parents=True)
    (tmp_path / ".temwatch").mkdir()
    for name in (
        "a.dm3",
        "Au/B.DM3",
        "Au/day 2/µ c.tif",
        "notes.txt",
        ".hidden.dm3",
        ".temwatch/x.dm3",
        "a.dm3.tmp",
    ):
        (tmp_path / name).write_bytes(b"x")
    assert ["Au/B.DM3", "Au/day 2/µ c.tif", "a.dm3"] == names(tmp_path)
    assert ["a.dm3"] == names(tmp_path, recursive=False)
    assert ["a.dm3"] == names(tmp_path, skip=(tmp_path / "Au",))


def test_scan_follows_links_only_within_the_folder(tmp_path):
    """A link out of the acquisition folder is not ours to read, and a loop ends."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "foreign.dm3").write_bytes(b"x")
    (inside / "own.dm3").write_bytes(b"x")
    (inside / "link.dm3").symlink_to(inside / "own.dm3")
    (inside / "away.dm3").symlink_to(outside / "foreign.dm3")
    (inside / "dangling.dm3").symlink_to(inside / "none")
    (inside / "loop").symlink_to(inside)
    assert "away.dm3" not in names(inside)
    assert {"own.dm3", "link.dm3"} <= set(names(inside))
    assert len(names(inside)) < 10


def test_a_part_is_not_left_by_a_link(tmp_path):
    """What lies elsewhere is found there, and must not become a second micrograph under another name."""
    (tmp_path / "Au").mkdir()
    (tmp_path / "Pt" / "own").mkdir(parents=True)
    for name in ("Au/a.dm3", "Pt/own/b.dm3"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "Pt" / "all").symlink_to(tmp_path)
    (tmp_path / "Pt" / "beside").symlink_to(tmp_path / "Au")
    assert ["Au/a.dm3", "Pt/own/b.dm3"] == names(tmp_path)
    assert ["Pt/own/b.dm3"] == names(tmp_path, below="Pt")
    (tmp_path / "Pt" / "loop").symlink_to(tmp_path)
    assert [] == names(tmp_path, below="Pt/loop")  # as an event names it


def test_a_folder_named_like_a_micrograph_is_found_once_with_what_it_holds(tmp_path):
    """It becomes a row with a reason, and its content is analysed."""
    (tmp_path / "x.dm3").mkdir()
    (tmp_path / "x.dm3" / "a.dm3").write_bytes(b"x")
    assert ["x.dm3", "x.dm3/a.dm3"] == names(tmp_path)
    assert FoundFile("x.dm3", 0, 0, 0) in list(scan(tmp_path, PATTERNS))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_does_not_stop_the_scan(tmp_path):
    """The rest is found."""
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.dm3").write_bytes(b"x")
    assert ["a.dm3"] == names(tmp_path)


class Running:
    """The real intake in its thread, with a list for a ledger."""

    def __init__(self, folder, *, known=None, complete=lambda _: None, **settings):
        self.added, self.stop, self.wake = [], threading.Event(), threading.Event()
        self.status = intake.IntakeStatus()
        watch = WatchSettings(
            folder=folder, **({"settle_seconds": 0.2, "scan_interval_seconds": 60.0} | settings)
        )
        parts = intake.Intake(
            settings=watch,
            skip=(),
            known=lambda: dict(known or {}),
            add=lambda items, source: self.added.extend((item.path, source) for item in items) or (),
            complete=complete,
        )
        self.thread = threading.Thread(
            target=intake.run,
            args=(parts,),
            kwargs={"stop": self.stop, "wake": self.wake, "status": self.status},
        )

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.wake.set()
        self.thread.join()

    def until(self, condition, seconds=10):
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert condition(), self.added


def test_files_that_are_there_at_the_start_are_taken_up_and_known_ones_are_not(tmp_path):
    """After a restart nothing is missed and nothing is done twice."""
    (tmp_path / "new.dm3").write_bytes(b"x")
    (tmp_path / "old.dm3").write_bytes(b"xy")
    status = (tmp_path / "old.dm3").stat()
    with Running(
        tmp_path, known={"old.dm3": (status.st_size, status.st_mtime_ns, status.st_ctime_ns)}
    ) as running:
        running.until(lambda: running.added)
        assert [("new.dm3", "startup")] == running.added


def test_an_event_finds_a_new_file_in_a_new_folder_long_before_the_next_scan(tmp_path):
    """The scan comes every minute here, so only the event can have found it."""
    with Running(tmp_path) as running:
        running.until(lambda: running.status.is_scanned)
        (tmp_path / "Au" / "deep").mkdir(parents=True)
        (tmp_path / "Au" / "deep" / "a.dm3").write_bytes(b"x")
        running.until(lambda: running.added)
        assert [("Au/deep/a.dm3", "event")] == running.added


def test_a_file_written_in_pieces_is_taken_up_once_when_it_rests(tmp_path):
    """Pauses shorter than the settle time do not count as an end."""
    with Running(tmp_path, settle_seconds=0.5) as running:
        running.until(lambda: running.status.is_scanned)
        with (tmp_path / "a.dm3").open("wb") as stream:
            for _ in range(15):
                stream.write(b"piece")
                stream.flush()
                time.sleep(0.1)
                assert [] == running.added
        running.until(lambda: running.added)
        time.sleep(0.3)
        assert [("a.dm3", "event")] == running.added


def test_a_watched_folder_that_is_missing_is_waited_for(tmp_path):
    """The share may be mounted later than the service starts, and may go and come back."""
    folder = tmp_path / "share"
    with Running(folder, scan_interval_seconds=0.1) as running:
        running.until(lambda: running.status.is_listed is False)
        assert not running.status.is_scanned
        folder.mkdir()
        (folder / "a.dm3").write_bytes(b"x")
        running.until(lambda: running.added)
        folder.rename(tmp_path / "gone")
        running.until(lambda: running.status.is_listed is False)
        (tmp_path / "gone").rename(folder)
        (folder / "b.dm3").write_bytes(b"x")
        running.until(lambda: len(running.added) == 2)
        assert ["a.dm3", "b.dm3"] == [path for path, _ in running.added]


def test_a_folder_that_cannot_be_examined_has_no_watcher(tmp_path):
    """Any error of a share ends nothing: the scan says why, and the next one tries again."""
    unanswerable = tmp_path / ("x" * 300)
    with pytest.raises(OSError, match="too long"):
        unanswerable.is_dir()
    assert intake._watch(unanswerable, threading.Event(), lambda: None) is None


def test_what_is_known_is_not_found_again_unless_it_has_changed(tmp_path):
    """Nothing is made of unchanged files, of which there may be 20,000; all paths are told."""
    for name in ("a.dm3", "b.dm3", "c.dm3", "d.dm3", "e.txt"):
        (tmp_path / name).write_bytes(b"1")
    before = {found.path: found.state for found in scan(tmp_path, PATTERNS)}
    (tmp_path / "b.dm3").write_bytes(b"22")
    (tmp_path / "c.dm3").unlink()
    os.mkfifo(tmp_path / "c.dm3")
    for examined, changed in ((False, ["c.dm3", "d.dm3"]), (True, ["b.dm3", "c.dm3", "d.dm3"])):
        told, answers = [], []
        known = KnownFiles(
            before,
            examined=examined,
            again={"d.dm3"},
            on_entries=lambda *seen: told.append(seen),  # noqa: B023
        )
        found = scan(tmp_path, PATTERNS, known=known, answered=lambda: answers.append(1))  # noqa: B023
        assert changed == [one.path for one in found]
        ((paths, still_known),) = told
        assert ["a.dm3", "b.dm3", "c.dm3", "d.dm3", "e.txt"] == sorted(paths)
        assert 4 == still_known
        assert len(answers) >= (3 if examined else 1)


class Counted(dict):
    """Known files that count how often they are looked up."""

    looks = 0

    def __contains__(self, path):
        self.looks += 1
        return super().__contains__(path)

    def keys(self):
        raise AssertionError("all of them are gone through")


def test_a_scan_looks_up_each_known_file_once(tmp_path, monkeypatch):
    """With 20,000 files this is nearly all that an idle service does."""
    for number in range(50):
        (tmp_path / f"{number % 5}").mkdir(exist_ok=True)
        (tmp_path / f"{number % 5}" / f"Au_{number}.dm3").write_bytes(b"1")
    found = {one.path: one.state for one in scan(tmp_path, PATTERNS)}
    known = Counted(found)
    added = []
    parts = intake.Intake(
        settings=WatchSettings(folder=tmp_path),
        skip=(),
        known=lambda: known,
        add=lambda items, _: added.extend(items) or (),
        complete=lambda _: None,
    )
    search = intake.Search(parts, intake.IntakeStatus())
    search.turn(0.0, Touched(), full=True)
    known.looks = 0
    monkeypatch.setattr(
        scanning, "_is_unchanged", lambda *_: pytest.fail("the second scan examines no file that is known")
    )
    search.turn(1.0, Touched(), full=True)
    assert 50 + 5 == known.looks
    assert [] == added


def test_what_a_scan_or_a_reader_opens_makes_no_events(tmp_path):
    """They would wake the service for its own doings; what is written wakes it."""
    for number in range(5):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "a.dm3").write_bytes(b"1")
    heard = []

    class Listening(Watcher):
        def dispatch(self, event):
            heard.append(event)
            super().dispatch(event)

    woken = threading.Event()
    watcher = Listening(tmp_path, woken.set, lambda: None)
    assert watcher.start()
    try:
        for found in scan(tmp_path, PATTERNS):
            (tmp_path / found.path).read_bytes()
        (tmp_path / "4" / "b.dm3").write_bytes(b"1")
        assert woken.wait(30)
        wait_until(lambda: "4/b.dm3" in watcher.touched().files, what="the event")
        assert {"4"} == {Path(one.src_path).relative_to(tmp_path).parts[0] for one in heard}
    finally:
        watcher.stop()
