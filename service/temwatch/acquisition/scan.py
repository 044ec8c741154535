"""Which files lie below a folder: what the intake and `temwatch analyse` rely on.

Whatever a directory entry is, it becomes a `FoundFile` with values that the ledger takes, or a `Skipped` with
a reason.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from temwatch.formats import READERS, UNCALIBRATED

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that matches, as a scan saw it.

    What is no file but has such a name (a folder, a pipe, a device) has size and times 0: they change with
    each use, and it becomes one row with a reason. `ctime_ns` is when content, size, time or name last
    changed: a file that is saved again with equal size and time has a new one. `written_again` is True where
    only an event tells of that. `inode` and `device` are where its content lies, and a file that is `mounted`
    lies on another device than the watched folder.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    written_again: bool = False
    inode: int = 0
    device: int = 0
    mounted: bool = False

    @property
    def state(self) -> tuple[int, int, int]:
        """What changes when the file does."""
        return self.size_bytes, self.mtime_ns, self.ctime_ns

    @property
    def has_coarse_time(self) -> bool:
        """Whether its file system counts in steps of 10 ms to 2 s, as those of memory cards do.

        It may then keep no time of the last change that nobody can set.
        """
        return self.ctime_ns != 0 and self.ctime_ns % _COARSE_NS == 0


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """Files that are not found again: `states` by path, as `FoundFile.state` gives them.

    Where they are `examined`, one that has changed is found, and those of `again` are in any case.
    `on_entries` is called with the paths of all entries of a folder, and how many of them are in `states`.
    """

    states: Mapping[str, tuple[int, int, int | None]]
    examined: bool
    again: Collection[str] = ()
    on_entries: Callable[[list[str], int], None] = lambda *_: None

    def changed_entries(
        self, entries: Iterable[os.DirEntry[str]], prefix: str, answered: Callable[[], None]
    ) -> tuple[list[os.DirEntry[str]], bool]:
        """The entries of a folder that are to be looked at, and whether others were passed over.

        Most files of a large folder are passed over at every scan: of 20,000 each costs a part of its idle
        time. So each is looked up once, and nothing of ours is called for it unless it is examined.
        """
        states = self.states
        there = list(entries)
        paths = [prefix + entry.name for entry in there]
        listed = {path: entry for path, entry in zip(paths, there, strict=True) if path not in states}
        self.on_entries(paths, len(paths) - len(listed))
        if self.again:
            again = self.again
            listed |= {path: entry for path, entry in zip(paths, there, strict=True) if path in again}
        if self.examined:
            for path, entry in zip(paths, there, strict=True):
                if path not in listed:
                    if not _is_unchanged(entry, states[path]):
                        listed[path] = entry
                    answered()
        else:
            listed |= {prefix + entry.name: entry for entry in _no_files(there)}
        return list(listed.values()), len(listed) < len(paths)


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that was not examined; `code` is in errors.SKIP_CODES."""

    path: str
    code: str
    reason: str


_COARSE_NS = 10_000_000

# what somebody may have saved in place of a micrograph, and would wait for in vain
_OTHER_FORMATS = {".bmp", ".dm5", ".gif", *READERS}
_BESIDE_MICROGRAPHS = ".png"  # plots and masks, where files that match lie beside them

_CODES = {
    errno.ELOOP: "link_loop",
    errno.ENAMETOOLONG: "path_too_long",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
}


def log_skipped(skipped: Skipped) -> None:
    """Name an entry that was skipped in the log."""
    log.warning("entry skipped", path=skipped.path, reason=skipped.reason)


def scan(
    root: Path,
    patterns: Sequence[str],
    *,
    below: str = "",
    recursive: bool = True,
    skip: Collection[Path] = (),
    known: KnownFiles | None = None,
    answered: Callable[[], None] = lambda: None,
    skipped: Callable[[Skipped], None] = log_skipped,
) -> Iterator[FoundFile]:
    """Every file below `root` whose name matches, hidden names and the folders in `skip` left out.

    Symbolic links are followed only where they stay within `root`, and those to folders only by a whole scan.

    Parameters
    ----------
    root, patterns
        The watched folder, and what names have to look like; case does not matter.
    below, recursive
        Begin in this folder below `root`; with or without the folders in it.
    skip : collection of Path
        Folders that are not entered.
    known : KnownFiles, optional
        What is not found again. Listing a folder costs little, examining a file costs a system call, on a
        share a round trip.
    answered : callable
        Called whenever the file system has answered.
    skipped : callable
        Called with each entry that cannot be examined, each folder that cannot be listed, and once a folder
        for each format of pictures that is not read, or not among the patterns.

    Raises
    ------
    OSError
        Where `root / below` itself cannot be listed.
    """
    wanted = re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns)).match
    inside = Path(os.path.realpath(root))  # unlike `resolve`, it ends at a loop of links
    if below and Path(os.path.realpath(root / below)) != inside / below:
        return  # named through a link, by an event: a whole scan finds its files at their own place
    visited = {identity for folder in skip if (identity := _identity(folder))}
    known = known or KnownFiles({}, examined=False)
    stack = [(below, _identity(root / below))]
    while stack:
        folder, identity = stack.pop()
        if identity in visited:
            continue
        visited |= {identity} if identity else set()
        prefix = f"{folder}/" if folder else ""
        try:
            with os.scandir(root / folder) as entries:
                listed, has_matches = known.changed_entries(entries, prefix, answered)
        except OSError as error:
            if folder == below:
                raise
            skipped(_because(folder, error))
            continue
        answered()
        others: set[str] = set()
        for entry in sorted(listed, key=lambda entry: entry.name):
            name = entry.name
            if name.startswith("."):
                continue
            path = prefix + name
            matches = wanted(name.lower())
            try:
                is_link = entry.is_symlink()
                if is_link and not Path(os.path.realpath(entry.path)).is_relative_to(inside):
                    skipped(Skipped(path, "link_outside", "leads out of the watched folder"))
                    continue
                if entry.is_dir():
                    status = entry.stat()
                    # through a link at last, so that a file is found at its own place; that place may lie
                    # outside of a part, so a part is never left by a link
                    if recursive and not (below and is_link):
                        stack.insert(0 if is_link else len(stack), (path, (status.st_dev, status.st_ino)))
                    if matches:
                        yield found_file(path, status)
                elif matches:
                    has_matches = True
                    status = entry.stat()
                    answered()
                    yield found_file(path, status)
                elif (suffix := Path(name).suffix.lower()) in _OTHER_FORMATS:
                    others.add(suffix)
            except FileNotFoundError:
                if entry.is_symlink():  # else it has vanished
                    skipped(Skipped(path, "dangling_link", "is a link to nothing"))
            except OSError as error:
                skipped(_because(path, error))
            except Exception as error:  # a boundary, see docs/decisions/0012: it costs one entry
                log.exception("internal error", path=path)
                skipped(Skipped(path, "internal", f"internal error: {type(error).__name__}: {error}"))
        if has_matches:
            others.discard(_BESIDE_MICROGRAPHS)
        for suffix in sorted(others):
            skipped(Skipped(f"{prefix}*{suffix}", "other_format", _not_read(suffix)))


def _not_read(suffix: str) -> str:
    """Why files of this extension are passed over, and what would help."""
    reason = f"{suffix[1:]} files are not read"
    if suffix not in READERS:
        return reason
    remedy = f'add "*{suffix}" to [watch] patterns'
    if suffix not in UNCALIBRATED:
        return f"{reason}; {remedy}"
    return (
        f"{reason} without a pixel size, as they state none; give it with --pixel-size NM,"
        f" or {remedy} and set [samples] pixel_size_nm"
    )


def look(root: Path, path: str) -> FoundFile | None:
    """One file as it is now, or None where it is gone."""
    try:
        status = (root / path).stat()
    except OSError:
        return None
    return found_file(path, status)


def found_file(path: str, status: os.stat_result) -> FoundFile:
    """The one place where what a file system says of a file comes in."""
    if not stat.S_ISREG(status.st_mode):
        return FoundFile(path, 0, 0, 0)
    return FoundFile(
        path,
        _int64(status.st_size),
        _int64(status.st_mtime_ns),
        _int64(status.st_ctime_ns),
        inode=_int64(status.st_ino),
        device=status.st_dev,
    )


def _int64(value: int) -> int:
    """A number as the ledger stores it.

    Nanoseconds end in the year 2262, but a broken clock does not. Beyond, numbers begin again at the other
    end, so that two that differ still do.
    """
    return (value + 2**63) % 2**64 - 2**63


def _because(path: str, error: OSError) -> Skipped:
    reason = error.strerror or type(error).__name__
    return Skipped(path, _CODES.get(error.errno or 0, "input_output"), reason)


def _no_files(entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    """Folders, links, pipes and the like, as the list of a folder has them; where it does not say, all."""
    try:
        return [entry for entry in entries if not entry.is_file(follow_symlinks=False)]
    except OSError:
        return entries


def _is_unchanged(entry: os.DirEntry[str], state: tuple[int, int, int | None]) -> bool:
    """Whether a file is as it was; where that is not plain, it is looked at."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    is_file = stat.S_ISREG(status.st_mode)
    return is_file and (status.st_size, status.st_mtime_ns, status.st_ctime_ns) == state


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
