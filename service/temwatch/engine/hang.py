"""Notices what is busy and does not advance: stopped, or waiting for a share or a device that is gone.

The mark of progress is time on a processor, however short: whoever computes, reads or writes leaves it, and
whoever waits for an answer that never comes does not. So long honest work is never taken for a hang. Only
Linux tells of it; elsewhere nothing is replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from temwatch.operating_system import HAS_PROC

HANG_SECONDS = 120.0
"""Without a mark for so long, a worker or a thread is replaced."""

TELL_SECONDS = 60.0
"""Without a mark for so long, readiness and metrics report it."""

LOOK_SECONDS = 5.0
"""How often the marks are read."""

Mark = tuple[str, ...]


def process_mark(pid: int) -> Mark:
    """Processor time of a process and all its threads; empty where it has ended."""
    marks: list[str] = []
    with suppress(OSError):
        for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
            marks.append(_time(task))
    return tuple(marks)


def thread_mark(thread_id: int) -> Mark:
    """Processor time of one thread of this process."""
    with suppress(OSError):
        return (_time(Path(f"/proc/self/task/{thread_id}")),)
    return ()


def _time(task: Path) -> str:
    """Nanoseconds on a processor, and how often it got one; without them the kernel counts in ticks."""
    try:
        run_ns, _, times = (task / "schedstat").read_text().split()
    except (FileNotFoundError, ValueError):
        return " ".join((task / "stat").read_text().rpartition(")")[2].split()[11:13])
    return f"{run_ns} {times}"


class ProgressWatch:
    """How long each busy worker has left no mark."""

    def __init__(self) -> None:
        self._marks: dict[Hashable, Mark] = {}
        self._silent_s: dict[Hashable, float] = {}
        self._looked_s = time.monotonic()

    def look(self, busy: Mapping[Hashable, Mark]) -> dict[Hashable, float]:
        """Compare marks with those of the last look; gives the seconds without progress by worker.

        The time between two looks counts only so far: where this process was stopped, so were the others.
        """
        now_s = time.monotonic()
        passed_s = min(now_s - self._looked_s, 2 * LOOK_SECONDS)
        self._looked_s = now_s
        self._silent_s = {
            key: self._silent_s.get(key, 0.0) + passed_s if self._marks.get(key) == mark else 0.0
            for key, mark in busy.items()
        }
        self._marks = dict(busy)
        return self._silent_s


class SurvivorList:
    """Workers that were killed and have not ended: in a read that nothing interrupts."""

    def __init__(self) -> None:
        self._pids: set[int] = set()

    def add(self, pids: Iterable[int]) -> None:
        """Remember killed workers."""
        self._pids |= set(pids)

    def count(self) -> int:
        """How many there still are."""
        self._pids = {pid for pid in self._pids if not _has_ended(pid)}
        return len(self._pids)


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@dataclass(frozen=True, slots=True)
class HangReport:
    """What must be replaced: worker processes, with their files in hand, and perhaps the segmentation."""

    processes: frozenset[int] = frozenset()
    files: frozenset[int] = frozenset()
    segmentation: bool = False


class HangDetector:
    """Looks at all workers of the engine.

    Parameters
    ----------
    processes : callable
        Busy worker processes, and the file that each has in hand.
    threads : callable
        Threads that segment. One may wait for the lock that another holds, so all of them have to be silent.
    helpers : callable
        Threads that compute for those; while they do, those wait and leave no mark of their own.
    """

    def __init__(
        self,
        processes: Callable[[], Mapping[int, int | None]],
        threads: Callable[[], Collection[int]],
        helpers: Callable[[], Collection[int]] = tuple,
    ) -> None:
        self._processes = processes
        self._threads = threads
        self._helpers = helpers
        self._watch = ProgressWatch()
        self._survivors = SurvivorList()
        self._looked_s = 0.0
        self.workers_hung = 0
        self.hanging_s = 0.0

    def look(self) -> HangReport:
        """What has not advanced for too long; nothing between two looks."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_SECONDS or not HAS_PROC:
            return HangReport()
        self._looked_s = now_s
        processes, threads = self._processes(), self._threads()
        marks: dict[Hashable, Mark] = {("process", pid): process_mark(pid) for pid in processes}
        if threads:
            of_helpers = [mark for number in sorted(self._helpers()) for mark in thread_mark(number)]
            marks |= {("thread", number): (*thread_mark(number), *of_helpers) for number in threads}
        silent_s = self._watch.look(marks)
        of_processes = {pid: silent_s["process", pid] for pid in processes}
        of_threads = min((silent_s["thread", number] for number in threads), default=0.0)
        silent = [pid for pid, seconds in of_processes.items() if seconds >= TELL_SECONDS]
        hung = frozenset(pid for pid in silent if of_processes[pid] >= HANG_SECONDS)
        self.hanging_s = max([of_threads, *of_processes.values()])
        self.workers_hung = len(silent) + (len(threads) if of_threads >= TELL_SECONDS else 0)
        self.workers_hung += self._survivors.count()
        self._survivors.add(hung)
        files = frozenset(file for pid in hung if (file := processes[pid]) is not None)
        return HangReport(hung, files, of_threads >= HANG_SECONDS)
