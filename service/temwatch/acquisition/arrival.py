"""From a file that was found to what the ledger keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from temwatch.acquisition import assignment
from temwatch.acquisition.scan import FoundFile, look, scan
from temwatch.config import Config
from temwatch.formats import READERS
from temwatch.ledger import Arrival


def arrival(config: Config, root: Path, found: FoundFile, source: str) -> Arrival:
    """What the ledger keeps of a file that was found."""
    place = assignment.place(
        found.path, root_name=root.name, samples=config.samples, sequences=config.sequences
    )
    return Arrival(
        root=str(root),
        path=found.path,
        sample=place.sample,
        sequence=place.sequence,
        frame=place.frame,
        position=place.position,
        size_bytes=found.size_bytes,
        mtime_ns=found.mtime_ns,
        source=source,
        detected_at=datetime.now(UTC),
    )


def arrivals_at(path: Path, config: Config, patterns: Sequence[str]) -> list[Arrival]:
    """Everything that one absolute path names, whether complete or not.

    A folder is a watched root of its own, and what matches `patterns` is found below it. The root of a file
    is its parent, and its name does not matter.

    Raises
    ------
    OSError
        The folder cannot be listed.
    """
    if path.is_dir() and path.suffix.lower() not in READERS:
        root, found = path, list(scan(path, patterns, skip=(config.output.folder,)))
    else:
        root, found = path.parent, [look(path.parent, path.name) or _dangling(path)]
    return [arrival(config, root, item, "startup") for item in found]


def _dangling(link: Path) -> FoundFile:
    status = link.lstat()
    return FoundFile(link.name, status.st_size, status.st_mtime_ns)
