"""Output folders: mask, overlay and table of a file, made by workers after its rows are recorded.

The ledger knows which folders are out of date, so that a killed service makes up for them at its next start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from temwatch.engine import tasks
from temwatch.ledger import Ledger, publications

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 2.0
_MAX_CRASHES = 3


class Folder(NamedTuple):
    """An output folder that is being brought up to date, to where the file's `changes` stand."""

    sample: str
    name: str
    file_id: int
    changes: int


class ArtifactWriter:
    """Keeps the output folders in step with the ledger, one task a folder at a time."""

    def __init__(
        self,
        ledger: Ledger,
        output: Path,
        submit: Callable[..., Future[Any]],
        post: Callable[[Future[Any], Folder], None],
    ) -> None:
        self.patient = True  # else the next run makes up for what cannot be written
        self._ledger = ledger
        self._output = output
        self._submit = submit
        self._post = post
        self._in_hand: set[tuple[str, str]] = set()
        self._written: dict[str, dict[int, Folder]] = {}
        self._left: dict[str, float] = {}  # samples with folders that nobody has taken up, and when to look
        self._crashes: dict[int, int] = {}

    @property
    def in_hand(self) -> int:
        """Folders that are being written."""
        return len(self._in_hand)

    @property
    def busy(self) -> bool:
        """Whether something is being written, or was and the ledger does not know it yet."""
        return bool(self._in_hand or self._written)

    @property
    def waits(self) -> bool:
        """Whether there is more to come that takes time."""
        return bool(self._in_hand or self._left)

    def is_complete(self, sample: str) -> bool:
        """Whether every folder of a sample is up to date; where one is not, it will be taken up."""
        if any(folder_sample == sample for folder_sample, _ in self._in_hand) or sample in self._written:
            return False
        with self._ledger.reader() as reader:
            left = bool(publications.unwritten(reader, sample, limit=1))
        if left:
            self._left.setdefault(sample, 0.0)
        return not left

    def take(self, sample: str, file_id: int) -> bool:
        """Have the folder of one file written, where it is out of date and nobody writes it."""
        with self._ledger.reader() as reader:
            found = publications.unwritten(reader, sample, file_id=file_id)
        return any(self._begin(Folder(sample, name, number, changes)) for number, name, changes in found)

    def take_left(self, room: int) -> None:
        """Take up folders that a kill, a full disk or a rebuild has left out of date."""
        now = time.monotonic()
        for sample, due in list(self._left.items()):
            if now < due or self.in_hand >= room:
                continue
            with self._ledger.reader() as reader:
                found = publications.unwritten(reader, sample, limit=room + self.in_hand)
            waiting = [Folder(sample, name, number, changes) for number, name, changes in found]
            if not [self._begin(folder) for folder in waiting if self.in_hand < room] or not waiting:
                del self._left[sample]

    def try_once_more(self) -> None:
        """The end is near: what waits is tried now, and then left to the next start."""
        self.patient = False
        self._left = dict.fromkeys(self._left, 0.0)

    def look(self, sample: str) -> None:
        """There may be folders of this sample that are out of date."""
        self._left[sample] = 0.0

    def _begin(self, folder: Folder) -> bool:
        key = folder.sample, folder.name
        known = self._written.get(folder.sample, {}).get(folder.file_id)
        if key in self._in_hand or (known is not None and known.changes == folder.changes):
            return False
        self._in_hand.add(key)
        future = self._submit(tasks.furnish, self._ledger.state, self._output, folder.sample, folder.name)
        future.add_done_callback(lambda done: self._post(done, folder))
        return True

    def done(self, future: Future[Any], folder: Folder) -> float:
        """Remember what was written, or that it is to be tried again; gives the seconds it took."""
        self._in_hand.discard((folder.sample, folder.name))
        seconds = 0.0
        try:
            seconds = future.result()
        except BrokenProcessPool:
            self._crashes[folder.file_id] = self._crashes.get(folder.file_id, 0) + 1
            if self._crashes[folder.file_id] < _MAX_CRASHES:
                self._left[folder.sample] = time.monotonic() + _RETRY_SECONDS
                return 0.0
            log.error("no pictures: workers die of them", sample=folder.sample, name=folder.name)
        except OSError as error:
            log.warning("pictures cannot be written, trying again", sample=folder.sample, reason=str(error))
            if self.patient:
                self._left[folder.sample] = time.monotonic() + _RETRY_SECONDS
            return 0.0
        self._written.setdefault(folder.sample, {})[folder.file_id] = folder
        return seconds

    def written(self, sample: str) -> dict[int, int]:
        """What is to be told to the ledger: `changes` by file."""
        return {number: folder.changes for number, folder in self._written.pop(sample, {}).items()}

    def samples(self) -> set[str]:
        """Samples of which the ledger is to be told something."""
        return set(self._written)
