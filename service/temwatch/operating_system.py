"""What differs between Linux, macOS and Windows, as far as `analyse`, `report`, `export` and Python meet it.

The service itself is for Linux.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import IO, Any, Literal

from temwatch.errors import StartError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import resource

HAS_PROC = sys.platform == "linux"
"""Whether `/proc` tells of processes and threads."""

PROCESS_START: Literal["forkserver", "spawn"] = "forkserver" if sys.platform == "linux" else "spawn"
"""How `multiprocessing` starts processes: Windows cannot fork, and libraries of macOS do not survive it."""

if sys.platform == "win32":
    WITHOUT_WAITING = os.O_BINARY | os.O_NOINHERIT
else:
    WITHOUT_WAITING = os.O_NONBLOCK | os.O_CLOEXEC
"""Flags to open a file with; a pipe or a device in its place is not waited for."""

_LOCKED_BYTE = 2**30  # Windows lets nobody read a byte that is locked: one far behind the text
_MOST_PROCESSES = 61  # Windows waits for at most 63 things at once, and Python for two beside its processes


def need_linux(command: str) -> None:
    """Refuse a command that runs or checks the service.

    Raises
    ------
    StartError
        This is not Linux.
    """
    if sys.platform != "linux":
        raise StartError(
            f"temwatch {command} needs Linux, where the service runs; "
            "analyse, report, export and the Python functions work here"
        )


def usable_cores() -> int:
    """Cores that this process may use; a container or a systemd unit may allow fewer than there are."""
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    elif sys.platform == "win32":
        cores = min(cores, _MOST_PROCESSES)
    return cores


def lower_priority(niceness: int) -> None:
    """Let others go first; Windows has no such scale."""
    if sys.platform != "win32":
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def lock(stream: IO[Any], *, shared: bool = False) -> None:
    """Lock a file until it is closed, for this process alone or for all that share it.

    Raises
    ------
    BlockingIOError
        Another process has locked it.
    """
    if sys.platform == "win32":
        place = os.lseek(stream.fileno(), 0, os.SEEK_CUR)
        os.lseek(stream.fileno(), _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from None
        finally:
            os.lseek(stream.fileno(), place, os.SEEK_SET)
    else:
        fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows opens no folder and sees to it itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_mapped(path: Path) -> None:
    """Remove a file that some process may have mapped: Windows refuses, and it stays for a later cleaning."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        if sys.platform != "win32":
            raise


def memory_bytes() -> int:
    """Memory of the machine."""
    if sys.platform == "win32":
        status = _MemoryStatus()
        status.length = ctypes.sizeof(status)
        if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            raise ctypes.WinError()
        return int(status.total_bytes)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of sysinfoapi.h."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load_percent", ctypes.c_uint32),
        ("total_bytes", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 6),
    )


def own_limits() -> list[tuple[int, int]]:
    """Bytes that `ulimit -v` and `ulimit -d` allow this process, each with those that it uses already."""
    found: list[tuple[int, int]] = []
    if sys.platform != "win32":
        for limit, place in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
            most = resource.getrlimit(limit)[0]
            if most != resource.RLIM_INFINITY:
                found.append((most, _used_bytes(place) if HAS_PROC else 0))
    return found


def _used_bytes(place: int) -> int:
    """What counts against a limit of this process, by its place in `statm`."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[place]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") if sys.platform != "win32" else 0
