"""File system events of the watched folder, as names to look at; a lost event costs time but never a file."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from temwatch.library_internals import INOTIFY_LOGGER, tells_of_lost_events

log = structlog.get_logger(__name__)

_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""What the kernel is asked for: scans and readers open and close files, and nobody need hear of that."""


@dataclass(frozen=True, slots=True)
class Touched:
    """Where something happened, as paths below the watched folder.

    `folders` are to be listed (True: with all below them), and of what they hold `files` are to be examined
    though they are known.
    """

    folders: dict[str, bool] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


class Watcher(FileSystemEventHandler):
    """Collects the places of events and calls `wake`; for one folder as it is mounted now."""

    def __init__(self, root: Path, wake: Callable[[], None], overflowed: Callable[[], None]) -> None:
        self._root = root
        self._wake = wake
        self._overflowed = overflowed
        self._lock = threading.Lock()
        self._touched = Touched()
        self._observer: BaseObserver | None = None
        self._listener = _OverflowListener(self._on_overflow)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note the place of one of `_EVENTS`."""
        new_folder = event.is_directory and event.event_type in ("created", "moved")
        path = Path(os.fsdecode(event.dest_path or event.src_path))
        folder = path if event.is_directory else path.parent
        try:
            below = _name(folder.relative_to(self._root))
            file = None if event.is_directory else _name(path.relative_to(self._root))
        except ValueError:
            return
        with self._lock:
            self._touched.folders[below] = new_folder or self._touched.folders.get(below, False)
            if file is not None:
                self._touched.files.add(file)
        self._wake()

    def _on_overflow(self) -> None:
        log.warning("file system events were lost, scanning the whole folder", folder=str(self._root))
        self._overflowed()
        with self._lock:
            self._touched.folders[""] = True
        self._wake()

    def touched(self) -> Touched:
        """What happened since the last call."""
        with self._lock:
            found, self._touched = self._touched, Touched()
        return found

    def start(self) -> bool:
        """Begin to watch; False where the system refuses (inotify limits), and scans alone must do."""
        try:
            observer = Observer()
            observer.schedule(self, str(self._root), recursive=True, event_filter=_EVENTS)
            observer.start()
        except OSError as error:
            log.warning("no file system events, only scans find new files", reason=error.strerror)
            return False
        logging.getLogger(INOTIFY_LOGGER).addHandler(self._listener)
        self._observer = observer
        return True

    def stop(self) -> None:
        """End watching; a watcher is not started twice."""
        logging.getLogger(INOTIFY_LOGGER).removeHandler(self._listener)
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)
            self._observer = None


class _OverflowListener(logging.Handler):
    """Calls `on_overflow` when the kernel's event queue has overflowed."""

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._on_overflow = on_overflow

    def emit(self, record: logging.LogRecord) -> None:
        if tells_of_lost_events(record):
            self._on_overflow()


def _name(below: Path) -> str:
    return "" if below == Path() else below.as_posix()
