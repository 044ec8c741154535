"""Pixel sizes that the files of a sample state, and the files that state none."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from temwatch.ledger.supersede import IS_NEWEST
from temwatch.names import as_text

_MOST_NAMED = 3


def of(connection: sqlite3.Connection, sample: str, file_ids: Sequence[int] | None) -> list[float]:
    """Sizes that the analysed micrographs state."""
    rows = connection.execute(
        """SELECT DISTINCT file_id, coalesce(stated_pixel_size_nm,
                CASE WHEN pixel_size_source IS NULL THEN pixel_size_nm END)
            FROM micrographs WHERE sample = ? AND status IN ('done', 'duplicate') AND method IS NOT NULL""",
        (sample,),
    )
    chosen = None if file_ids is None else {*file_ids}
    return [size for number, size in rows if size is not None and (chosen is None or number in chosen)]


def missing(connection: sqlite3.Connection, sample: str, file_ids: Sequence[int] | None) -> dict[int, str]:
    """Paths of the files that were read and state no size, by id."""
    rows = connection.execute(
        f"""SELECT DISTINCT f.id, f.path FROM micrographs m JOIN files f ON f.id = m.file_id
            WHERE m.sample = ? AND {IS_NEWEST} AND (m.reason_code = 'no_pixel_size' OR (
                m.method IS NOT NULL AND m.status IN ('done', 'duplicate')
                AND m.stated_pixel_size_nm IS NULL AND m.pixel_size_source IS NOT NULL))
            ORDER BY f.id""",
        (sample,),
    )
    chosen = None if file_ids is None else {*file_ids}
    return {number: as_text(path) for number, path in rows if chosen is None or number in chosen}


def named(paths: Collection[str]) -> str:
    """Files of which none does something, in words."""
    if not paths:
        return "no micrograph of it"
    first = ", ".join(list(paths)[:_MOST_NAMED])
    return f"none of {first}" + (f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else "")
