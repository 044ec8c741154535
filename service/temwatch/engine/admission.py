"""Which files may be in hand together: as many as memory has room for, and one that kills alone."""

from __future__ import annotations

from collections.abc import Sequence

from temwatch import memory, operating_system
from temwatch.engine.job import Job, MemoryShare
from temwatch.ledger import File


class Admission:
    """Keeps account of the memory that files in hand need.

    A file takes an equal share until its header was read; one that needs more waits until there is room.
    """

    def __init__(self, workers: int) -> None:
        self._budget_bytes = memory.budget_bytes(workers or operating_system.usable_cores())
        self._needed_bytes: dict[int, int] = {}  # by file
        self._share_bytes = self._budget_bytes

    def admits(self, file: File, jobs: Sequence[Job], capacity: int) -> bool:
        """Whether a file may be started beside these jobs; a file on which a process died runs alone."""
        self._share_bytes = self._budget_bytes // max(1, capacity)
        if not jobs:
            return True
        in_use = sum(self._needs(job.file) for job in jobs)
        return not file.crashes and in_use + self._needs(file) <= self._budget_bytes

    def share(self, file: File) -> MemoryShare:
        """What a file that was admitted may take."""
        return MemoryShare(self._needs(file), self._budget_bytes)

    def remember(self, file: File, needed_bytes: int) -> None:
        """Its header says that the file needs more than its share."""
        self._needed_bytes[file.id] = needed_bytes

    def forget(self, file: File) -> None:
        """The file has its row."""
        self._needed_bytes.pop(file.id, None)

    def _needs(self, file: File) -> int:
        return self._needed_bytes.get(file.id, self._share_bytes)
