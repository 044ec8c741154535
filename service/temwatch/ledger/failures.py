"""Files that have failed since somebody last asked."""

from __future__ import annotations

from dataclasses import dataclass

from temwatch.ledger.reader import Reader
from temwatch.names import as_text, from_stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A file that could not be analysed; its path is below the watched folder."""

    row_id: int
    micrograph: str
    reason: str


def last_row(reader: Reader) -> int:
    """Number of the last row of all samples, 0 before the first."""
    return int(reader.value("SELECT coalesce(max(id), 0) FROM micrographs"))


def failures_after(reader: Reader, row_id: int, limit: int) -> list[Failure]:
    """Files that failed in rows after this one, oldest first; at most `limit`."""
    rows = reader.connection.execute(
        """SELECT m.id, f.path, m.reason FROM micrographs m JOIN files f ON f.id = m.file_id
            WHERE m.id > ? AND m.status = 'failed' ORDER BY m.id LIMIT ?""",
        (row_id, limit),
    )
    return [
        Failure(row_id=id, micrograph=as_text(from_stored(path)), reason=reason) for id, path, reason in rows
    ]
