"""Whether results can be written: a small file, written and removed again.

A disk that was remounted read-only or a share that is gone says so only to a writer. A share may also leave
the question unanswered, so each attempt has a thread of its own and a deadline.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import structlog

from temwatch.mounts import mount_of, mounts

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 30.0
_AGAIN_SECONDS = 2.0  # after a failure
_DEADLINE_SECONDS = 15.0
_PATIENCE_SECONDS = 2.0  # so long the engine waits for an answer
_NAME = ".temwatch-writable"


class OutputProbe:
    """Probes the output folder; everything but `run` may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # as of the start; it is waited for where it goes away
        self._mount_point, _ = mount_of(folder.absolute())
        self._trouble = ""
        self._pending_since_s: float | None = None
        self._lock = threading.Lock()
        self.free_bytes: int | None = None

    @property
    def is_writable(self) -> bool:
        """What the last attempt found; one that is not answered in time has failed."""
        since_s = self._pending_since_s
        is_answered = since_s is None or time.monotonic() - since_s < _DEADLINE_SECONDS
        return is_answered and not self._trouble and _is_mounted(self._mount_point)

    def check(self) -> bool:
        """Try now; an attempt that is not answered yet is waited for a moment, and not begun twice."""
        with self._lock:
            if self._pending_since_s is None:
                self._pending_since_s = time.monotonic()
                self._attempt = threading.Thread(target=self._try, name="probe-output", daemon=True)
                self._attempt.start()
        self._attempt.join(_PATIENCE_SECONDS)
        return self.is_writable

    def run(self, stop: threading.Event) -> None:
        """Probe until `stop` is set."""
        was_writable = True
        while True:
            self.check()
            if self.is_writable != was_writable:
                was_writable = not was_writable
                if was_writable:
                    log.info("results can be written again", folder=str(self._folder))
                else:
                    log.warning("results cannot be written", folder=str(self._folder), reason=self._reason())
            if stop.wait(_EVERY_SECONDS if was_writable else _AGAIN_SECONDS):
                return

    def _reason(self) -> str:
        if not _is_mounted(self._mount_point):
            return f"{self._mount_point} is not mounted"
        return self._trouble or "no answer"

    def _try(self) -> None:
        try:
            if _is_mounted(self._mount_point):
                self._write()
                self._trouble = ""
        except OSError as error:
            self._trouble = str(error)
        finally:
            self._pending_since_s = None

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / _NAME
        with path.open("wb") as stream:
            stream.write(b"temwatch")
            stream.flush()
            os.fsync(stream.fileno())
        path.unlink()
        self.free_bytes = shutil.disk_usage(self._folder).free


def _is_mounted(point: Path) -> bool:
    return point == Path("/") or any(point == found for found, _ in mounts())
