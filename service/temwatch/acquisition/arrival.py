"""From a file that was found to what the ledger is told of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from temwatch.acquisition import assignment
from temwatch.acquisition.scan import Found
from temwatch.config import Config
from temwatch.ledger import Arrival


def arrival(config: Config, root: Path, found: Found, source: str) -> Arrival:
    """What the ledger is told of a file that was found."""
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
