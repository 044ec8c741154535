"""Output folders: mask, overlay and table of a file, written by workers after its rows are recorded.

The ledger knows which folders are out of date, so that a service writes them at its next start after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from temwatch.engine import retry, tasks
from temwatch.engine.run_mode import RunMode
from temwatch.ledger import Ledger, publications

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 2.0


class Folder(NamedTuple):
    """An output folder that is being brought up to date, to where the file's `changes` stand."""

    sample: str
    name: str
    file_id: int
    changes: int


class WrittenFolder(NamedTuple):
    """A folder that no worker writes any more, and the seconds it took; 0 where it could not be written."""

    file_id: int
    seconds: float


class SubmitWrite(Protocol):
    """Has a worker write one output folder, see `tasks.write_artifacts`."""

    def __call__(
        self,
        task: Callable[[Path, Path, str, str], float],
        state: Path,
        output: Path,
        sample: str,
        name: str,
        /,
    ) -> Future[float]:
        """Give the future of the seconds it takes."""


class ArtifactWriter:
    """Keeps the output folders in step with the ledger, one task a folder at a time.

    Parameters
    ----------
    ledger, mode
        As for the engine.
    output : Path
        Folder of all samples.
    submit : callable
        Hands a task to a worker.
    wake : callable
        Called, from another thread, when a worker has finished.
    """

    def __init__(
        self, ledger: Ledger, output: Path, mode: RunMode, *, submit: SubmitWrite, wake: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._output = output
        self._submit = submit
        self._wake = wake
        self._tries_again = not mode.ends_when_empty  # else the next run makes up for what cannot be written
        self._in_hand: dict[Folder, Future[float]] = {}
        self._written: dict[str, dict[int, Folder]] = {}
        self._outdated: dict[str, float] = {}  # samples with folders that no worker writes, and when to look
        self._crashes: dict[int, int] = {}
        self._left_over: set[Folder] = set()  # that could not be written, where nothing is tried again

    @property
    def in_hand(self) -> int:
        """Folders that are being written."""
        return len(self._in_hand)

    @property
    def is_busy(self) -> bool:
        """Whether something is being written, or was and the ledger does not know it yet."""
        return bool(self._in_hand or self._written)

    @property
    def has_outdated(self) -> bool:
        """Whether folders are being written or will be."""
        return bool(self._in_hand or self._outdated)

    def is_complete(self, sample: str) -> bool:
        """Whether every folder of a sample is up to date; where one is not, it will be written."""
        if any(folder.sample == sample for folder in self._in_hand) or sample in self._written:
            return False
        with self._ledger.reader() as reader:
            is_outdated = bool(publications.unwritten(reader, sample, limit=1))
        if is_outdated:
            self._outdated.setdefault(sample, 0.0)
        return not is_outdated

    def write(self, sample: str, file_id: int) -> bool:
        """Have the folder of one file written, where it is out of date and no worker writes it yet."""
        with self._ledger.reader() as reader:
            unwritten = publications.unwritten(reader, sample, file_id=file_id)
        return any(self._begin(Folder(sample, name, number, changes)) for number, name, changes in unwritten)

    def write_outdated(self, capacity: int) -> None:
        """Have folders written that a kill, a full disk or a rebuild has left out of date."""
        now_s = time.monotonic()
        for sample, due_s in list(self._outdated.items()):
            if now_s < due_s or self.in_hand >= capacity:
                continue
            waiting = self._unwritten(sample, capacity)
            for folder in waiting:
                if self.in_hand < capacity:
                    self._begin(folder)
            if all(map(self._is_taken_care_of, waiting)):
                del self._outdated[sample]

    def mark_outdated(self, sample: str) -> None:
        """Check the folders of this sample soon: some may be out of date."""
        self._outdated.setdefault(sample, 0.0)

    def mark_if_outdated(self, sample: str) -> None:
        """After records: have folders written that nobody writes as they should be now.

        A record may outdate the folder of another file, as that of a copy; and of a file that came again a
        worker may be writing what was there before.
        """
        if not all(map(self._is_taken_care_of, self._unwritten(sample, 1))):
            self.mark_outdated(sample)

    def try_last_time(self) -> None:
        """Before the end: what waits is tried now, and then left to the next start."""
        self._tries_again = False
        self._outdated = dict.fromkeys(self._outdated, 0.0)

    def collect(self) -> list[WrittenFolder]:
        """Folders whose workers have finished since the last call."""
        finished = [(folder, future) for folder, future in self._in_hand.items() if future.done()]
        return [WrittenFolder(folder.file_id, self._finish(folder, future)) for folder, future in finished]

    def take_written(self, sample: str) -> dict[int, int]:
        """What the ledger is to remember as written: `changes` by file."""
        return {number: folder.changes for number, folder in self._written.pop(sample, {}).items()}

    @property
    def samples_written(self) -> set[str]:
        """Samples with written folders that the ledger does not know of yet."""
        return set(self._written)

    def _unwritten(self, sample: str, limit: int) -> list[Folder]:
        """Folders that the ledger holds for out of date; of those that wait, at least so many."""
        others = self.in_hand + len(self._left_over) + len(self._written.get(sample, {}))
        with self._ledger.reader() as reader:
            unwritten = publications.unwritten(reader, sample, limit=limit + others)
        return [Folder(sample, name, number, changes) for number, name, changes in unwritten]

    def _is_taken_care_of(self, folder: Folder) -> bool:
        """Whether it was or is being written as it is to be, or is left to the next start."""
        last = self._written.get(folder.sample, {}).get(folder.file_id)
        is_written = last is not None and last.changes == folder.changes
        return is_written or folder in self._in_hand or folder in self._left_over

    def _begin(self, folder: Folder) -> bool:
        is_in_use = any(one[:2] == folder[:2] or one.file_id == folder.file_id for one in self._in_hand)
        if is_in_use or self._is_taken_care_of(folder):
            return False
        future = self._submit(
            tasks.write_artifacts, self._ledger.state, self._output, folder.sample, folder.name
        )
        self._in_hand[folder] = future
        future.add_done_callback(lambda _: self._wake())
        return True

    def _finish(self, folder: Folder, future: Future[float]) -> float:
        """Remember what was written, or that it must be tried again; gives the seconds it took."""
        del self._in_hand[folder]
        seconds = 0.0
        try:
            seconds = future.result()
        except (BrokenProcessPool, CancelledError):
            self._crashes[folder.file_id] = self._crashes.get(folder.file_id, 0) + 1
            if self._crashes[folder.file_id] < retry.MAX_CRASHES:
                self._outdated[folder.sample] = time.monotonic() + _RETRY_SECONDS
                return 0.0
            log.error("giving up on pictures: workers keep crashing", sample=folder.sample, name=folder.name)
        except OSError as error:
            log.warning("cannot write pictures, will retry", sample=folder.sample, reason=str(error))
            if self._tries_again:
                self._outdated[folder.sample] = time.monotonic() + _RETRY_SECONDS
            else:
                self._left_over.add(folder)
            return 0.0
        except Exception:  # a boundary, see docs/decisions/0012: it costs the pictures of one file
            log.exception("internal error, giving up on pictures", sample=folder.sample, name=folder.name)
        self._written.setdefault(folder.sample, {})[folder.file_id] = folder
        return seconds
