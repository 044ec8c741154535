"""Which files lie below a folder: the truth that the intake and the one-shot command go by."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
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
) -> Iterator[Found]:
    """Every file below `root` whose name matches, hidden names and the folders in `skip` left out.

    Symbolic links are followed only where they stay within `root`.

    Raises
    ------
    OSError
        Where `root / below` itself cannot be listed; what lies further down and cannot is logged.
    """
    wanted = [pattern.lower() for pattern in patterns]
    inside, avoid = root.resolve(), {folder.resolve() for folder in skip}
    stack, visited = [below], set()
    while stack:
        folder = stack.pop()
        try:
            with os.scandir(root / folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if folder == below:
                raise
            log.warning("folder cannot be listed", folder=folder, reason=error.strerror)
            continue
        for entry in listed:
            if entry.name.startswith("."):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            matches = any(fnmatch.fnmatchcase(entry.name.lower(), pattern) for pattern in wanted)
            try:
                if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(inside):
                    continue
                status = entry.stat()
                if entry.is_dir():
                    identity = (status.st_dev, status.st_ino)
                    if recursive and identity not in visited and Path(entry.path).resolve() not in avoid:
                        visited.add(identity)
                        stack.append(path)
                    if matches:
                        yield Found(path, 0, 0)
                elif matches:
                    yield Found(path, status.st_size, status.st_mtime_ns)
            except OSError as error:  # it vanished, or a dangling link
                log.debug("entry cannot be examined", path=path, reason=error.strerror)


def look(root: Path, path: str) -> Found | None:
    """One file as it is now, or None where it is gone."""
    try:
        status = (root / path).stat()
    except OSError:
        return None
    if (root / path).is_dir():
        return Found(path, 0, 0)
    return Found(path, status.st_size, status.st_mtime_ns)
