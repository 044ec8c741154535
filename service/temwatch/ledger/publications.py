"""What was published of a sample, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime

from temwatch.ledger.reader import Reader
from temwatch.ledger.rows import EditedTable, Publication
from temwatch.ledger.supersede import make_stale
from temwatch.ledger.writer import Ledger

_COLUMNS = tuple(field.name for field in fields(Publication))


def generations(reader: Reader, sample: str) -> tuple[int, int]:
    """Generation of a sample's rows, and of those of them that are particles or rejections."""
    row = reader.connection.execute(
        "SELECT generation, particles_generation FROM samples WHERE sample = ?", (sample,)
    ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def last_id(reader: Reader, sample: str) -> int:
    """Number of the sample's last row of micrographs.csv, 0 before the first."""
    return int(reader.value("SELECT max(id) FROM micrographs WHERE sample = ?", sample) or 0)


def particles_after(reader: Reader, sample: str, micrograph_id: int) -> int:
    """Number of particles of a sample on micrographs after this one."""
    return int(
        reader.value(
            """SELECT coalesce(sum(particles), 0) FROM micrographs
                WHERE sample = ? AND id > ? AND status = 'done' AND NOT excluded""",
            sample,
            micrograph_id,
        )
    )


def published(reader: Reader, sample: str) -> dict[str, Publication]:
    """How far each file of a sample was published, by the file's name."""
    rows = reader.connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM publications WHERE sample = ?", (sample,)
    )
    return {row[0]: Publication(**dict(zip(_COLUMNS, row, strict=True))) for row in rows}


def unwritten(
    reader: Reader, sample: str, *, file_id: int | None = None, limit: int = -1
) -> list[tuple[int, str, int]]:
    """Id, name and `changes` of finished files whose output folder is out of date, oldest first."""
    only, values = ("", (sample,)) if file_id is None else ("AND f.id = ?", (sample, file_id))
    return reader.connection.execute(
        f"""SELECT f.id, f.name, f.changes FROM files f
            WHERE f.sample = ? {only} AND f.written < f.changes
            AND NOT EXISTS (SELECT 1 FROM files p WHERE p.sample = f.sample AND p.name_key = f.name_key
                AND p.status = 'pending') ORDER BY f.id LIMIT ?""",
        (*values, limit),
    ).fetchall()


def record(
    ledger: Ledger,
    sample: str,
    publications: Iterable[Publication],
    written: Mapping[int, int] | None = None,
) -> None:
    """Record how far files were published, and which output folders (id: `changes`) are up to date."""
    with ledger.transaction() as connection:
        connection.executemany(
            f"INSERT OR REPLACE INTO publications (sample, {', '.join(_COLUMNS)})"
            f" VALUES (?{', ?' * len(_COLUMNS)})",
            [(sample, *(getattr(one, name) for name in _COLUMNS)) for one in publications],
        )
        connection.executemany(
            "UPDATE files SET written = ? WHERE id = ?",
            [(changes, file_id) for file_id, changes in (written or {}).items()],
        )
        connection.executemany(  # its pictures were fetched, unless it was moved once more meanwhile
            """DELETE FROM relocations
                WHERE file_id = ?1 AND EXISTS (SELECT 1 FROM files WHERE id = ?1 AND changes = ?2)""",
            [*(written or {}).items()],
        )


def note_edited(ledger: Ledger, sample: str, file: str, kept_as: str) -> None:
    """Note that a table was edited, and under which name the edited file is kept."""
    with ledger.transaction() as connection:
        connection.execute(
            "INSERT INTO edited_tables (sample, file, kept_as, noticed_at) VALUES (?, ?, ?, ?)",
            (sample, file, kept_as, datetime.now(UTC).isoformat()),
        )


def edited(reader: Reader) -> list[EditedTable]:
    """Tables that were edited, newest first."""
    rows = reader.connection.execute(
        "SELECT sample, file, kept_as, noticed_at FROM edited_tables ORDER BY noticed_at DESC"
    )
    return [
        EditedTable(sample=sample, file=file, kept_as=kept_as, noticed_at=datetime.fromisoformat(noticed_at))
        for sample, file, kept_as, noticed_at in rows
    ]


def mark_stale(ledger: Ledger, sample: str) -> None:
    """Make the next publication write every table and output folder of a sample again."""
    with ledger.transaction() as connection:
        make_stale(connection, sample, particles=True)
        connection.execute("UPDATE sequences SET generation = generation + 1 WHERE sample = ?", (sample,))
        connection.execute(
            "UPDATE files SET changes = changes + 1 WHERE sample = ? AND status <> 'superseded'", (sample,)
        )
