"""A file of the benchmark as it enters the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from temwatch.ledger import Arrival


def arrival(path: Path, sample: str) -> Arrival:
    """What the ledger stores of a file that was found now."""
    status = path.stat()
    return Arrival(
        root=str(path.parent),
        path=path.name,
        sample=sample,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        source="startup",
        detected_at=datetime.now(UTC),
    )
