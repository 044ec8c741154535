"""From a file that was found to what the ledger keeps of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from temwatch.acquisition import assignment
from temwatch.acquisition.rules import rule_for
from temwatch.acquisition.scan import FoundFile, Skipped, log_skipped, look, scan
from temwatch.config import Config
from temwatch.errors import LedgerError
from temwatch.formats import READERS
from temwatch.ledger import Arrival, Ledger, queue

log = structlog.get_logger(__name__)


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
        ctime_ns=found.ctime_ns,
        inode=found.inode or None,
        mounted=found.mounted,
        written_again=found.written_again,
        source=source,
        detected_at=datetime.now(UTC),
        excluded_by=rule_for(found.path, config.watch.exclude),
    )


def add_found(
    ledger: Ledger, config: Config, root: Path, found: Sequence[FoundFile], source: str
) -> list[Skipped]:
    """Add files to the ledger in one transaction; where that fails, each by itself.

    Returns
    -------
    list of Skipped
        Files that the ledger cannot take.

    Raises
    ------
    LedgerError
        Nothing can be added: the ledger itself cannot be written.
    """
    try:
        queue.add_all(ledger, [arrival(config, root, item, source) for item in found])
    except (LedgerError, sqlite3.OperationalError, sqlite3.InternalError):
        raise
    except Exception as error:  # a boundary, see docs/decisions/0012: it costs one entry
        if type(error) is sqlite3.DatabaseError:
            raise  # the ledger is damaged
        if len(found) > 1:
            return [skipped for item in found for skipped in add_found(ledger, config, root, [item], source)]
        log.exception("internal error", path=found[0].path)
        return [Skipped(found[0].path, "internal", f"internal error: {type(error).__name__}: {error}")]
    return []


def arrivals_at(
    path: Path,
    config: Config,
    patterns: Sequence[str],
    skipped: Callable[[Skipped], None] = log_skipped,
) -> list[Arrival]:
    """Everything that one absolute path names, whether complete or not.

    A folder is a watched root of its own, and what matches `patterns` is found below it. The root of a file
    is its parent, and its name does not matter. `skipped` is called as by `scan`.

    Raises
    ------
    OSError
        The folder cannot be listed.
    """
    if path.is_dir() and path.suffix.lower() not in READERS:
        root, device = path, path.stat().st_dev
        entries = scan(path, patterns, skip=(config.output.folder,), skipped=skipped)
        found = [replace(item, mounted=item.device != device) for item in entries]
    else:
        root, found = path.parent, [look(path.parent, path.name) or _dangling(path)]
    return [arrival(config, root, item, "startup") for item in found]


def _dangling(link: Path) -> FoundFile:
    return FoundFile(link.name, 0, 0, 0)
