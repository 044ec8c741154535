"""Finds files that are complete. The scan is the truth; a file system event is only a wake-up.

Times are the local monotonic clock's: the modification time on a microscope computer's share is of another
clock and serves to see a change, never to tell an age.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from temwatch.config import WatchSettings
from temwatch.daemon.scan import Found, look, scan

log = structlog.get_logger(__name__)

_BEAT_SECONDS = 1.0  # longest sleep, so that the systemd watchdog sees the loop alive


@dataclass(frozen=True, slots=True)
class Observation:
    """Size and time of a file, and since when (monotonic s) they have not changed."""

    size_bytes: int
    mtime_ns: int
    since_s: float


def settled(
    previous: Observation | None,
    current: Found,
    now_s: float,
    *,
    settle_seconds: float,
    complete: Callable[[], bool | None],
) -> tuple[bool, Observation]:
    """Whether a file is complete, and what to remember of it.

    Parameters
    ----------
    previous : Observation or None
        What the last look remembered.
    current : Found
        What this look sees.
    now_s : float
        Monotonic clock.
    settle_seconds : float
        Time without change after which anything counts as complete.
    complete : callable
        Asked only after a change: True where the file's own header says that all of it is there.
    """
    changed = previous is None or (previous.size_bytes, previous.mtime_ns) != (
        current.size_bytes,
        current.mtime_ns,
    )
    if previous is None or changed:
        return bool(complete()), Observation(current.size_bytes, current.mtime_ns, now_s)
    return now_s - previous.since_s >= settle_seconds, previous


class Watcher(FileSystemEventHandler):
    """Collects the folders in which something happened and wakes who waits."""

    def __init__(self, root: Path, wake: threading.Event) -> None:
        self._root = root
        self._wake = wake
        self._lock = threading.Lock()
        self._touched: dict[str, bool] = {}
        self._observer: BaseObserver | None = None

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note the folder; reading a file makes events too, and those must not wake us."""
        if event.event_type in ("opened", "closed_no_write", "deleted"):
            return
        new_folder = event.is_directory and event.event_type in ("created", "moved")
        path = Path(os.fsdecode(event.dest_path or event.src_path))
        folder = path if event.is_directory else path.parent
        try:
            below = folder.relative_to(self._root).as_posix()
        except ValueError:
            return
        with self._lock:
            self._touched["" if below == "." else below] = new_folder or self._touched.get(below, False)
        self._wake.set()

    def touched(self) -> dict[str, bool]:
        """Folders below the root in which something happened since the last call; True: with all below it."""
        with self._lock:
            folders, self._touched = self._touched, {}
        return folders

    def start(self) -> bool:
        """Begin to watch; False where the system refuses (inotify limits), and scans alone must do."""
        observer = Observer()
        observer.schedule(self, str(self._root), recursive=True)
        try:
            observer.start()
        except OSError as error:
            log.warning("no file system events, scans alone find new files", reason=error.strerror)
            return False
        self._observer = observer
        return True

    def alive(self) -> bool:
        """Whether events still come."""
        return self._observer is not None and self._observer.is_alive()

    def stop(self) -> None:
        """End watching; a watcher is not started twice."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)
            self._observer = None


@dataclass(slots=True)
class Pulse:
    """What the intake tells of itself; written by its thread, read by health, metrics and systemd."""

    folder_up: bool | None = None  # None before the first scan
    scanned: bool = False
    last_scan_at: datetime | None = None
    beat_s: float = 0.0
    settling: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One watched folder and what the intake needs of the rest of the service."""

    settings: WatchSettings
    skip: Collection[Path]
    known: Callable[[], dict[str, tuple[int, int]]]
    add: Callable[[list[Found], str], None]
    complete: Callable[[Path], bool | None]


def run(
    intake: Intake,
    *,
    stop: threading.Event,
    wake: threading.Event,
    pulse: Pulse,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Hand every complete file below the watched folder to `intake.add`, until `stop` is set.

    `wake` is set by file system events, and by whoever wants the loop to look at once.
    """
    settings = intake.settings
    known = intake.known()
    candidates: dict[str, _Candidate] = {}
    watcher: Watcher | None = None
    next_scan_s = clock()
    while not stop.is_set():
        pulse.beat_s = now_s = clock()
        full = now_s >= next_scan_s
        source = "event" if not full else "rescan" if pulse.scanned else "startup"
        try:
            if full:
                next_scan_s = now_s + settings.scan_interval_seconds
                watcher = watcher or _start_watcher(settings.folder, wake)
                found = list(scan(settings.folder, settings.patterns, skip=intake.skip))
                pulse.folder_up, pulse.last_scan_at = True, datetime.now(UTC)
            else:
                found = _where_events_were(intake, watcher) if watcher else []
        except OSError as error:
            if pulse.folder_up is not False:
                log.warning("watched folder is not there", folder=str(settings.folder), reason=error.strerror)
            pulse.folder_up, found = False, []
            if watcher:
                watcher.stop()
            watcher = None
        for item in found:
            if known.get(item.path) != (item.size_bytes, item.mtime_ns):
                candidates.setdefault(item.path, _Candidate(None, source))
        for origin, items in _ready(intake, candidates, known, now_s).items():
            intake.add(sorted(items, key=lambda item: item.mtime_ns), origin)
        pulse.settling = len(candidates)
        pulse.scanned = pulse.scanned or bool(pulse.folder_up)
        poll_s = min(0.25, settings.settle_seconds / 4) if candidates else _BEAT_SECONDS
        wake.wait(max(0.02, min(poll_s, next_scan_s - clock())))
        wake.clear()
    if watcher:
        watcher.stop()


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file that is not known as it is now: what was seen of it, and what found it."""

    seen: Observation | None
    source: str


def _ready(
    intake: Intake, candidates: dict[str, _Candidate], known: dict[str, tuple[int, int]], now_s: float
) -> dict[str, list[Found]]:
    """Take the complete files out of `candidates`, by what found them."""
    ready: dict[str, list[Found]] = {}
    for path, candidate in list(candidates.items()):
        current = look(intake.settings.folder, path)
        if current is None:
            del candidates[path]
            continue
        done, seen = settled(
            candidate.seen,
            current,
            now_s,
            settle_seconds=intake.settings.settle_seconds,
            complete=partial(intake.complete, intake.settings.folder / path),
        )
        candidates[path] = _Candidate(seen, candidate.source)
        if done:
            del candidates[path]
            if known.get(path) != (current.size_bytes, current.mtime_ns):
                known[path] = (current.size_bytes, current.mtime_ns)
                ready.setdefault(candidate.source, []).append(current)
    return ready


def _start_watcher(root: Path, wake: threading.Event) -> Watcher | None:
    if not root.is_dir():
        return None
    watcher = Watcher(root, wake)
    watcher.start()
    return watcher


def _where_events_were(intake: Intake, watcher: Watcher) -> list[Found]:
    """What is in the folders that events named; one may be gone again while the watched folder is there."""
    found: list[Found] = []
    root, patterns = intake.settings.folder, intake.settings.patterns
    for folder, deep in watcher.touched().items():
        try:
            found += scan(root, patterns, below=folder, recursive=deep, skip=intake.skip)
        except OSError:
            if not root.is_dir():
                raise
    return found
