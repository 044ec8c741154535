"""Columns for the statistics of growing samples: each call reads only the new rows of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics.summary import SUMMARISED
from temwatch.ledger import Reader, publications


@dataclass(slots=True)
class _Columns:
    generation: int
    through_id: int = 0
    count: int = 0
    buffer: NDArray[np.float64] = field(default_factory=lambda: np.empty((len(SUMMARISED), 0)))


class IncrementalStatistics:
    """Columns of particles.csv that statistics are made of, per sample; at most 16 bytes a number."""

    def __init__(self) -> None:
        self._samples: dict[str, _Columns] = {}

    def columns(self, reader: Reader, sample: str) -> dict[str, NDArray[np.float64]]:
        """Return the same as `reader.particle_columns(sample, SUMMARISED)`, reading only new rows."""
        generation = publications.generations(reader, sample)[1]
        cached = self._samples.get(sample)
        if cached is None or cached.generation != generation:  # rows that were read have changed
            cached = self._samples[sample] = _Columns(generation)
        new = reader.particle_columns(sample, SUMMARISED, after_id=cached.through_id)
        cached.through_id = publications.last_id(reader, sample)
        end = cached.count + len(new[SUMMARISED[0]])
        if end > cached.buffer.shape[1]:  # doubling copies each number once on average
            grown = np.empty((len(SUMMARISED), max(1024, 2 * end)))
            grown[:, : cached.count] = cached.buffer[:, : cached.count]
            cached.buffer = grown
        for row, name in enumerate(SUMMARISED):
            cached.buffer[row, cached.count : end] = new[name]
        cached.count = end
        return {name: cached.buffer[row, :end] for row, name in enumerate(SUMMARISED)}

    def forget(self, sample: str) -> None:
        """Free the memory of a sample that no longer grows."""
        self._samples.pop(sample, None)
