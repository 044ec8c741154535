"""How far each sample has got, for those who wait until it has come to rest."""

from __future__ import annotations

from dataclasses import dataclass

from temwatch.ledger.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleProgress:
    """A sample at one moment; equal where nothing has happened in between.

    Parameters
    ----------
    last_id : int
        Its last row of micrographs.csv, 0 before the first.
    generation, sequence_generation : int
        Counted up where published rows change, those of its sequences apart.
    linked_id : int
        Its last frame that was linked, 0 without any.
    pending : bool
        Whether files wait or are being analysed.
    """

    last_id: int
    generation: int
    sequence_generation: int
    linked_id: int
    pending: bool


def progress(reader: Reader) -> dict[str, SampleProgress]:
    """Every sample that has files, by the name of its folder."""
    rows = reader.connection.execute(
        """SELECT s.sample,
                (SELECT coalesce(max(m.id), 0) FROM micrographs m WHERE m.sample = s.sample), s.generation,
                (SELECT coalesce(sum(q.generation), 0) FROM sequences q WHERE q.sample = s.sample),
                (SELECT coalesce(max((SELECT max(f.id) FROM followed f WHERE f.sequence_id = q.id)), 0)
                    FROM sequences q WHERE q.sample = s.sample),
                EXISTS (SELECT 1 FROM files f WHERE f.sample = s.sample AND f.status = 'pending')
            FROM samples s WHERE EXISTS (SELECT 1 FROM files f WHERE f.sample = s.sample)"""
    )
    return {
        row[0]: SampleProgress(
            last_id=row[1],
            generation=row[2],
            sequence_generation=row[3],
            linked_id=row[4],
            pending=bool(row[5]),
        )
        for row in rows
    }
