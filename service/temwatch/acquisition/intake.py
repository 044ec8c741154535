"""Finds files that are complete. The scan is the truth; a file system event is only a wake-up.

Times are the local monotonic clock's: the modification time on a microscope computer's share is of another
clock and serves to see a change, never to tell an age.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from temwatch.acquisition.absences import Absences
from temwatch.acquisition.scan import FoundFile, KnownFiles, Skipped, log_skipped, look, scan
from temwatch.acquisition.watcher import Touched, Watcher
from temwatch.config import WatchSettings

log = structlog.get_logger(__name__)

_LONGEST_SLEEP_SECONDS = 1.0  # so that the systemd watchdog sees the loop turn
_LATE_EVENT_SECONDS = 5.0  # an event comes so late at most
_EXAMINE_ALL_EVERY = 6  # scans; the others list names and examine those that are new


@dataclass(frozen=True, slots=True)
class FileState:
    """Size and times of a file, and since when (monotonic s) they have not changed."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    since_s: float


def settled(
    previous: FileState | None,
    current: FoundFile,
    now_s: float,
    *,
    settle_seconds: float,
    complete: Callable[[], bool | None],
) -> tuple[bool, FileState]:
    """Whether a file is complete, and what to remember of it.

    Parameters
    ----------
    previous : FileState or None
        What the last look remembered.
    current : FoundFile
        What this look sees.
    now_s : float
        Monotonic clock.
    settle_seconds : float
        Time without change after which anything counts as complete.
    complete : callable
        Called only after a change; True if the file is as long as its own header says.
    """
    if previous is None or (previous.size_bytes, previous.mtime_ns, previous.ctime_ns) != current.state:
        return bool(complete()), FileState(*current.state, now_s)
    return now_s - previous.since_s >= settle_seconds, previous


@dataclass(slots=True)
class IntakeStatus:
    """Where the intake stands; written by its thread, read by others. See `health.Observation`."""

    turned_s: float = 0.0
    is_listed: bool | None = None
    is_scanned: bool = False
    pending_call_since_s: float | None = None  # start time of the pending file-system call
    last_scan_at: datetime | None = None
    event_overflows: int = 0
    entries_skipped: Counter[str] = field(default_factory=Counter)  # by errors.SKIP_CODES


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One watched folder and what the intake needs of the rest of the service.

    `add` takes complete files, and returns those that the ledger could not take. `note_gone` takes the known
    files that two whole scans have not found, whenever these are others, and returns those of them of which
    nothing is known any more.
    """

    settings: WatchSettings
    skip: Collection[Path]
    known: Callable[[], dict[str, tuple[int, int, int | None]]]
    add: Callable[[list[FoundFile], str], Sequence[Skipped]]
    complete: Callable[[Path], bool | None]
    note_gone: Callable[[Collection[str]], Collection[str]] = frozenset


def run(
    intake: Intake,
    *,
    stop: threading.Event,
    wake: threading.Event,
    status: IntakeStatus,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Hand every complete file below the watched folder to `intake.add`, until `stop` is set.

    `wake` is set by file system events, and by whoever wants the loop to look at once. A share that hangs
    holds up this loop and nothing else: `status` tells since when.
    """
    settings = intake.settings
    search = Search(intake, status, clock)
    watcher: Watcher | None = None
    watched: tuple[int, int] | None = None

    def overflowed() -> None:
        status.event_overflows += 1

    next_scan_s = clock()
    while not stop.is_set():
        status.turned_s = now_s = clock()
        full = now_s >= next_scan_s
        if full:
            next_scan_s = now_s + settings.scan_interval_seconds
            if watcher is None:
                with search.calling():
                    watcher = _watch(settings.folder, wake, overflowed)
                watched = None
        touched = watcher.touched() if watcher else Touched()
        search.turn(now_s, touched, full=full)
        watched = watched or search.identity
        if watcher and (search.identity is None or search.identity != watched):
            watcher.stop()  # the folder is gone, or another file system is mounted there now
            watcher = None
        poll_s = min(0.25, settings.settle_seconds / 4) if search.candidates else _LONGEST_SLEEP_SECONDS
        least_s = max(0.02, clock() - now_s)  # a flood of events takes half of a core at most
        wake.wait(max(least_s, min(poll_s, next_scan_s - clock())))
        wake.clear()
    if watcher:
        watcher.stop()


def _watch(folder: Path, wake: threading.Event, overflowed: Callable[[], None]) -> Watcher | None:
    try:
        if not folder.is_dir():
            return None
    except OSError:  # a share in trouble: the scan that follows says why
        return None
    watcher = Watcher(folder, wake.set, overflowed)
    watcher.start()
    return watcher


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file that is not known as it is now: what was seen of it, and what found it.

    `written_again` is True where it is known as it is now, but an event says that it was written since.
    """

    state: FileState | None
    source: str
    written_again: bool = False


class Search:
    """What the intake remembers from turn to turn: the files that are known, and those that settle."""

    def __init__(
        self, intake: Intake, status: IntakeStatus, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.candidates: dict[str, _Candidate] = {}
        self.identity: tuple[int, int] | None = None  # of the folder, while it is there
        self._mount: Path | None = None
        self._intake = intake
        self._status = status
        self._clock = clock
        self._known = intake.known()
        self._scans = 0
        self._handed_s: dict[str, float] = {}  # when files were handed over whose writer may still close them
        self._skipped: dict[str, str] = {}  # reason by path: each is reported once
        self._absences = Absences(intake.note_gone)

    def turn(self, now_s: float, touched: Touched, *, full: bool) -> None:
        """Look where something was touched, or everywhere, and hand over what is complete."""
        source = "event" if not full else "rescan" if self._status.is_scanned else "startup"
        expired_s = now_s - max(_LATE_EVENT_SECONDS, self._intake.settings.settle_seconds)
        self._handed_s = {path: at_s for path, at_s in self._handed_s.items() if at_s > expired_s}
        with self.calling():
            try:
                found = self._everywhere(touched) if full else self._where(touched)
            except OSError as error:
                self._gone(error)
                found = []
            for item in found:
                if not self._is_known(item):
                    self.candidates.setdefault(item.path, _Candidate(None, source))
                elif item.path in touched.files and item.has_coarse_time and item.path not in self._handed_s:
                    self.candidates.setdefault(item.path, _Candidate(None, source, written_again=True))
            ready = self._ready(now_s)
        if full and self.identity is not None:
            for path in self._absences.note(self.identity):
                self._known.pop(path, None)  # if it comes back it is found, though its times may be the same
        for origin, items in ready.items():
            for refused in self._intake.add(sorted(items, key=lambda item: item.mtime_ns), origin):
                self._skip(refused)
        self._status.is_scanned = self._status.is_scanned or bool(self._status.is_listed)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """What is done within may hang with the share."""
        self._call_answered()
        try:
            yield
        finally:
            self._status.pending_call_since_s = None

    def _call_answered(self) -> None:
        self._status.pending_call_since_s = self._clock()

    def _everywhere(self, touched: Touched) -> list[FoundFile]:
        """A whole scan; every few of them, files that are known are examined too."""
        intake, root = self._intake, self._intake.settings.folder
        status = root.stat()
        identity = (status.st_dev, status.st_ino)
        if self._mount is not None and not self._mount.is_mount() and not any(root.iterdir()):
            raise OSError(errno.ENODEV, f"it is empty, and nothing is mounted at {self._mount}")
        every = (
            self._scans % _EXAMINE_ALL_EVERY == 0 or self.identity != identity or not self._status.is_listed
        )
        known, files = self._known, touched.files
        skipped: dict[str, str] = {}
        listed: list[list[str]] = []
        still_known = 0

        def on_entries(paths: list[str], count: int) -> None:
            nonlocal still_known
            listed.append(paths)
            still_known += count

        def skip(entry: Skipped) -> None:
            skipped[entry.path] = entry.code
            self._skip(entry)

        found = list(
            scan(
                root,
                intake.settings.patterns,
                skip=intake.skip,
                known=KnownFiles(known, examined=every, again=files, on_entries=on_entries),
                answered=self._call_answered,
                skipped=skip,
            )
        )
        missing = set(self._absences.gone)
        if still_known < len(known):
            missing |= known.keys()
        if missing:
            missing.difference_update(*listed)
        has_found = still_known > 0 or not self._absences.gone <= missing
        self._absences.scanned(identity, missing, has_found=has_found)
        self._skipped = skipped
        self._scans += 1
        self.identity = identity
        self._mount = next(folder for folder in (root, *root.parents) if folder.is_mount())
        self._status.last_scan_at = datetime.now(UTC)
        if self._status.is_listed is False:
            log.info("watched folder is back", folder=str(root))
        self._status.is_listed = True
        return found

    def _where(self, touched: Touched) -> list[FoundFile]:
        """What is in the folders that events named; one may be gone again by now."""
        found: list[FoundFile] = []
        intake, root = self._intake, self._intake.settings.folder
        known, files = self._known, touched.files
        for folder, deep in touched.folders.items():
            try:
                found += scan(
                    root,
                    intake.settings.patterns,
                    below=folder,
                    recursive=deep,
                    skip=intake.skip,
                    known=None if deep else KnownFiles(known, examined=False, again=files),
                    answered=self._call_answered,
                    skipped=self._skip,
                )
            except OSError:
                if not root.is_dir():
                    raise
        return found

    def _skip(self, entry: Skipped) -> None:
        """Report a skipped entry, once for as long as it is there."""
        if self._skipped.get(entry.path) != entry.code:
            self._skipped[entry.path] = entry.code
            self._status.entries_skipped[entry.code] += 1
            log_skipped(entry)

    def _gone(self, error: OSError) -> None:
        if self._status.is_listed is not False:
            reason = error.strerror or type(error).__name__
            log.warning("watched folder is missing", folder=str(self._intake.settings.folder), reason=reason)
        self._status.is_listed, self.identity = False, None

    def _ready(self, now_s: float) -> dict[str, list[FoundFile]]:
        """Take the complete files out of the candidates, by what found them."""
        settings = self._intake.settings
        ready: dict[str, list[FoundFile]] = {}
        for path, candidate in list(self.candidates.items()):
            current = look(settings.folder, path)
            self._call_answered()
            if current is None:
                del self.candidates[path]
                continue
            done, seen = settled(
                candidate.state,
                current,
                now_s,
                settle_seconds=settings.settle_seconds,
                complete=partial(self._intake.complete, settings.folder / path),
            )
            self._call_answered()
            self.candidates[path] = replace(candidate, state=seen)
            if done:
                del self.candidates[path]
                if candidate.written_again or not self._is_known(current):
                    self._known[path], self._handed_s[path] = current.state, now_s
                    is_mounted = self.identity is not None and current.device != self.identity[0]
                    file = replace(current, written_again=candidate.written_again, mounted=is_mounted)
                    ready.setdefault(candidate.source, []).append(file)
        return ready

    def _is_known(self, found: FoundFile) -> bool:
        """Whether the ledger has it as it is now; older versions kept no time of the last change."""
        known = self._known.get(found.path)
        return known is not None and known in (found.state, (found.size_bytes, found.mtime_ns, None))
