"""Read-only queries of a ledger, beside the writer or without one.

Nothing here holds the rows of more than one micrograph in Python objects.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.domain import Method, Reason
from temwatch.ledger.counted_particles import condition
from temwatch.ledger.rows import (
    DISMISSED,
    FILE_COLUMNS,
    MICROGRAPH_COLUMNS,
    File,
    MicrographRow,
    Receipt,
    SampleRow,
    file_from,
    method_from,
    micrograph_from,
    moment,
)
from temwatch.ledger.schema import FILE_NAME, connect_to_read
from temwatch.names import as_text, from_cell, from_stored, to_stored
from temwatch.notes import Note, kind_of, split_notes
from temwatch.particle_filter import NO_FILTER, ParticleFilter

_BATCH_ROWS = 50_000  # rows between SQLite and numpy at a time
_COUNTS = "count(*), " + ", ".join(
    f"coalesce(sum({condition}), 0)"
    for condition in (
        "status = 'done' AND NOT excluded",
        *(f"status = '{each}'" for each in ("refused", "failed", "duplicate", "superseded", "pending")),
        "status = 'done' AND excluded",
    )
)


class Reader:
    """A read-only connection to the ledger in the folder `state`; for one thread at a time.

    Opening one takes a millisecond, so that every request may have its own.

    Raises
    ------
    StartError
        There is no ledger, or it is of another version.
    """

    def __init__(self, state: Path, chosen: ParticleFilter = NO_FILTER) -> None:
        self.chosen = chosen
        """What particles fulfil to be among the rows that are read."""
        self.counted = condition(chosen)
        """The same as a condition on `particles p` that also leaves out what is excluded."""
        self.connection = connect_to_read(state / FILE_NAME)
        """For queries of the other modules of the ledger."""

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All queries within see the same state of the ledger."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.rollback()

    def value(self, query: str, *values: object) -> Any:
        """First column of the first row that a query gives, None without a row."""
        row = self.connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    # Samples and totals

    def samples(self, *, only: str | None = None) -> list[SampleRow]:
        """Every sample, or one, with the counts of its files."""
        where, values = ("", ()) if only is None else (" AND sample = ?", (only,))
        sums = ", ".join(f"sum(rejected_{reason})" for reason in Reason)
        found = {
            row[0]: row[1:]
            for row in self.connection.execute(
                f"""SELECT sample, count(*), sum(particles), max(analysed_at), group_concat(DISTINCT method),
                    {sums} FROM micrographs WHERE status = 'done' AND NOT excluded{where} GROUP BY sample""",
                values,
            )
        }
        rows = self.connection.execute(
            f"SELECT sample, {_COUNTS} FROM files WHERE true{where} GROUP BY sample ORDER BY sample", values
        )
        names = dict(self.connection.execute("SELECT sample, coalesce(name, sample) FROM samples").fetchall())
        nothing = (0, 0, None, "", *(0 for _ in Reason))
        samples = []
        for sample, *counts in rows.fetchall():
            micrographs, particles, last, methods, *rejected = found.get(sample, nothing)
            samples.append(
                SampleRow(
                    sample=sample,
                    name=as_text(names[sample]),
                    receipt=_receipt(counts),
                    micrographs=micrographs,
                    particles=particles,
                    rejected=dict(zip(Reason, rejected, strict=True)),
                    methods=tuple(sorted(methods.split(","))) if methods else (),
                    last_analysed_at=moment(last),
                )
            )
        return samples

    def sample_named(self, name: str) -> str | None:
        """The sample with this true name."""
        found = self.value("SELECT sample FROM samples WHERE name = ?", to_stored(name))
        return None if found is None else str(found)

    def find_sample(self, words: str) -> str | None:
        """The sample that a person names: by its folder, by its true name, or as a table writes that."""
        rows = self.connection.execute("SELECT sample, coalesce(name, sample) FROM samples").fetchall()
        folders = {sample: sample for sample, _ in rows}
        names = {as_text(name): str(sample) for sample, name in rows}
        words = as_text(words)
        return folders.get(words) or names.get(words) or names.get(from_cell(words))

    def receipt(self, sample: str | None = None) -> Receipt:
        """Number of files by status, of one sample or of all."""
        where, values = ("", ()) if sample is None else (" WHERE sample = ?", (sample,))
        return _receipt(self.connection.execute(f"SELECT {_COUNTS} FROM files{where}", values).fetchone())

    def queue_length(self) -> int:
        """Number of pending files, including those being analysed."""
        return int(self.value("SELECT count(*) FROM files WHERE status = 'pending'"))

    def oldest_pending_at(self, now: datetime) -> datetime | None:
        """When the oldest pending file was detected, at latest `now`: the clock may have been ahead."""
        oldest = moment(self.value("SELECT min(detected_at) FROM files WHERE status = 'pending'"))
        return None if oldest is None else min(oldest, now)

    def last_success_at(self) -> datetime | None:
        """When the last micrograph was analysed."""
        return moment(
            self.value("SELECT analysed_at FROM micrographs WHERE status = 'done' ORDER BY id DESC LIMIT 1")
        )

    def pending(self, limit: int = 100) -> list[File]:
        """Pending files, including those being analysed, oldest first."""
        cursor = self.connection.cursor()
        cursor.row_factory = file_from
        files: list[File] = cursor.execute(
            f"SELECT {FILE_COLUMNS} FROM files f WHERE f.status = 'pending' ORDER BY f.id LIMIT ?", (limit,)
        ).fetchall()
        return files

    def file(self, file_id: int) -> File | None:
        """One revision of a file, None if there is none with that number."""
        cursor = self.connection.cursor()
        cursor.row_factory = file_from
        found: File | None = cursor.execute(
            f"SELECT {FILE_COLUMNS} FROM files f WHERE f.id = ?", (file_id,)
        ).fetchone()
        return found

    def methods(self) -> dict[str, Method]:
        """Every method in use, by digest."""
        rows = self.connection.execute("SELECT digest, json FROM methods ORDER BY digest")
        return {digest: method_from(text) for digest, text in rows}

    def micrographs_by_method(self) -> dict[tuple[str, str], int]:
        """Number of analysed micrographs and frames, by their sample and the digest of their method."""
        rows = self.connection.execute(
            "SELECT sample, method, count(*) FROM micrographs WHERE status = 'done' GROUP BY sample, method"
        )
        return {(sample, method): count for sample, method, count in rows}

    # Micrographs

    def micrographs(self, sample: str, *, after_id: int = 0) -> Iterator[MicrographRow]:
        """Rows of a sample in the order of micrographs.csv, those after the row `after_id`."""
        return self._rows("WHERE m.sample = ? AND m.id > ? ORDER BY m.id", sample, after_id)

    def row_count(self, sample: str) -> int:
        """Number of rows that `micrographs` gives."""
        return int(self.value("SELECT count(*) FROM micrographs WHERE sample = ?", sample))

    def micrographs_named(self, sample: str, name: str) -> Iterator[MicrographRow]:
        """Rows of a sample whose results lie in the output folder `name`."""
        return self._rows(
            "WHERE m.sample = ? AND f.sample = m.sample AND f.name = ? ORDER BY m.id", sample, name
        )

    def recent(self, limit: int = 20, *, sample: str | None = None) -> list[MicrographRow]:
        """The last rows of all samples, or of one, newest first."""
        if sample is None:
            return list(self._rows("ORDER BY m.id DESC LIMIT ?", limit))
        return list(self._rows("WHERE m.sample = ? ORDER BY m.id DESC LIMIT ?", sample, limit))

    def troubles(self, limit: int = 20) -> list[MicrographRow]:
        """The last rows of files that failed or were refused and were not dismissed, newest first."""
        return list(
            self._rows(
                "WHERE m.status IN ('failed', 'refused') AND NOT f.excluded ORDER BY m.id DESC LIMIT ?", limit
            )
        )

    def trouble_counts(self) -> tuple[int, int]:
        """Number of refused and of failed files that nobody has dismissed, by excluding them."""
        count = "SELECT count(*) FROM files WHERE status = ? AND NOT excluded"
        return int(self.value(count, "refused")), int(self.value(count, "failed"))

    def without_result(self, limit: int = 20) -> list[MicrographRow]:
        """The last row of each file that is neither done nor pending, newest first."""
        return list(
            self._rows(
                """WHERE f.status NOT IN ('done', 'pending')
                    AND m.id = (SELECT max(id) FROM micrographs WHERE file_id = f.id)
                    ORDER BY m.id DESC LIMIT ?""",
                limit,
            )
        )

    def notes(self) -> dict[Note, tuple[int, str]]:
        """Every kind of note that is not dismissed: how many rows have it, and the path of the last one."""
        rows = self.connection.execute(
            f"""SELECT m.notes, m.notes_of_record, CASE WHEN f.gone THEN '{Note.FILE_GONE}' ELSE '' END gone,
                {DISMISSED} dismissed, count(*), f.path, max(m.id) AS last
                FROM micrographs m JOIN files f ON f.id = m.file_id
                WHERE m.status <> 'superseded' AND (m.notes <> '' OR m.notes_of_record <> '' OR f.gone)
                GROUP BY m.notes, m.notes_of_record, gone, dismissed ORDER BY last"""
        )
        found: dict[Note, tuple[int, str]] = {}
        for *texts, dismissed, count, path, _ in rows:
            notes = {note for text in texts for note in split_notes(text)} - {*split_notes(dismissed or "")}
            for kind in {kind_of(note) for note in notes}:
                found[kind] = (found.get(kind, (0, ""))[0] + count, from_stored(path))
        return {kind: found[kind] for kind in Note if kind in found}

    def micrograph(self, micrograph_id: int) -> MicrographRow | None:
        """One row, None if there is none with that number."""
        return next(self._rows("WHERE m.id = ?", micrograph_id), None)

    def _rows(self, condition: str, *values: object) -> Iterator[MicrographRow]:
        cursor = self.connection.cursor()
        cursor.row_factory = micrograph_from
        yield from cursor.execute(
            f"SELECT {MICROGRAPH_COLUMNS} FROM micrographs m JOIN files f ON f.id = m.file_id {condition}",
            values,
        )

    # Rows for tables and pages

    def particle_values(self, micrograph_id: int, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Chosen columns of the particles of one micrograph; `number` is the particle's number."""
        return self._particle_values(micrograph_id, columns, self.counted)

    def excluded_values(self, micrograph_id: int, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """The same of the particles that somebody has excluded."""
        return self._particle_values(micrograph_id, columns, "p.excluded")

    def _particle_values(
        self, micrograph_id: int, columns: Sequence[str], condition: str
    ) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            f"""SELECT {", ".join(columns)} FROM particles p
                WHERE micrograph_id = ? AND {condition} ORDER BY number""",
            (micrograph_id,),
        ).fetchall()

    def rejection_values(self, micrograph_id: int, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Chosen columns of the rejections of one micrograph; `number` is the rejection's number."""
        return self.connection.execute(
            f"SELECT {', '.join(columns)} FROM rejections WHERE micrograph_id = ? ORDER BY number",
            (micrograph_id,),
        ).fetchall()

    def particle_count(self, sample: str) -> int:
        """Number of rows of particles.csv of a sample."""
        return int(
            self.value(
                f"""SELECT count(*) FROM micrographs m JOIN particles p ON p.micrograph_id = m.id
                    WHERE m.sample = ? AND m.status = 'done' AND NOT m.excluded AND {self.counted}""",
                sample,
            )
        )

    def particle_columns(
        self, sample: str, columns: Sequence[str], *, after_id: int = 0
    ) -> dict[str, NDArray[np.float64]]:
        """Columns of the particles of a sample in the order of particles.csv; NaN where one is empty.

        `after_id` leaves out the micrographs up to this one.
        """
        cursor = self.connection.execute(
            f"""SELECT {", ".join(f"p.{column}" for column in columns)} FROM micrographs m
                JOIN particles p ON p.micrograph_id = m.id
                WHERE m.sample = ? AND m.id > ? AND m.status = 'done' AND NOT m.excluded AND {self.counted}
                ORDER BY m.id, p.number""",
            (sample, after_id),
        )
        table = number_table(cursor, len(columns))
        return {column: np.ascontiguousarray(table[:, index]) for index, column in enumerate(columns)}


def number_table(cursor: sqlite3.Cursor, columns: int) -> NDArray[np.float64]:
    """All rows of a query for numbers, (rows, columns), NaN where one is empty.

    Python objects are made for a batch of rows at a time.
    """
    blocks = [np.empty((0, columns))]
    while rows := cursor.fetchmany(_BATCH_ROWS):
        flat = np.fromiter(chain.from_iterable(rows), np.dtype(np.float64), count=len(rows) * columns)
        blocks.append(flat.reshape(len(rows), columns))
    return np.concatenate(blocks)


def _receipt(counts: Sequence[int]) -> Receipt:
    seen, done, refused, failed, duplicates, superseded, pending, excluded = counts
    return Receipt(
        seen=seen,
        done=done,
        refused=refused,
        failed=failed,
        duplicates=duplicates,
        superseded=superseded,
        pending=pending,
        excluded=excluded,
    )
