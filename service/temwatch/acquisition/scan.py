"""Which files lie below a folder: what the intake and `temwatch analyse` rely on."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that matches, as a scan saw it; a folder with such a name has size and time 0."""

    path: str
    size_bytes: int
    mtime_ns: int


def scan(
    root: Path,
    patterns: Sequence[str],
    *,
    below: str = "",
    recursive: bool = True,
    skip: Collection[Path] = (),
    pass_over: Callable[[str], bool] = lambda _: False,
    answered: Callable[[], None] = lambda: None,
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
    pass_over : callable
        True for a path that is neither examined nor found again: listing a folder costs little, examining a
        file costs a system call, on a share a round trip.
    answered : callable
        Called whenever the file system has answered.

    Raises
    ------
    OSError
        Where `root / below` itself cannot be listed; what lies further down and cannot is logged.
    """
    wanted = re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns)).match
    inside = root.resolve()
    if below and (root / below).resolve() != inside / below:
        return  # named through a link, by an event: a whole scan finds its files at their own place
    visited = {identity for folder in skip if (identity := _identity(folder))}
    stack = [(below, _identity(root / below))]
    while stack:
        folder, identity = stack.pop()
        if identity in visited:
            continue
        visited |= {identity} if identity else set()
        prefix = f"{folder}/" if folder else ""
        try:
            with os.scandir(root / folder) as entries:
                # first of all, since most files of a large folder are passed over at every scan
                listed = [
                    entry for entry in entries if not (pass_over(prefix + entry.name) and _is_file(entry))
                ]
        except OSError as error:
            if folder == below:
                raise
            log.warning("cannot list folder", folder=folder, reason=error.strerror)
            continue
        answered()
        for entry in sorted(listed, key=lambda entry: entry.name):
            name = entry.name
            if name.startswith("."):
                continue
            path = prefix + name
            matches = wanted(name.lower())
            try:
                if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(inside):
                    continue
                if entry.is_dir():
                    status = entry.stat()
                    # through a link at last, so that a file is found at its own place; that place may lie
                    # outside of a part, so a part is never left by a link
                    if recursive and not (below and entry.is_symlink()):
                        place = 0 if entry.is_symlink() else len(stack)
                        stack.insert(place, (path, (status.st_dev, status.st_ino)))
                    if matches:
                        yield FoundFile(path, 0, 0)
                elif matches:
                    status = entry.stat()
                    answered()
                    yield FoundFile(path, status.st_size, status.st_mtime_ns)
            except OSError as error:  # it vanished, or a dangling link
                log.debug("cannot examine entry", path=path, reason=error.strerror)


def look(root: Path, path: str) -> FoundFile | None:
    """One file as it is now, or None where it is gone."""
    try:
        status = (root / path).stat()
    except OSError:
        return None
    if stat.S_ISDIR(status.st_mode):
        return FoundFile(path, 0, 0)
    return FoundFile(path, status.st_size, status.st_mtime_ns)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
