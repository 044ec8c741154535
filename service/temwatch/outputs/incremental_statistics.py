"""The numbers of samples that are growing: only what is new is read from the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics.summary import SUMMARISED
from temwatch.ledger import Reader, publications


@dataclass(slots=True)
class _Sample:
    generation: int
    through_id: int = 0
    count: int = 0
    room: NDArray[np.float64] = field(default_factory=lambda: np.empty((len(SUMMARISED), 0)))


class Running:
    """Columns of particles.csv that statistics are made of; 8 bytes a number, twice that at most."""

    def __init__(self) -> None:
        self._samples: dict[str, _Sample] = {}

    def columns(self, reader: Reader, sample: str) -> dict[str, NDArray[np.float64]]:
        """The same as `reader.particle_columns(sample, SUMMARISED)`; costs as much as was recorded since."""
        generation = publications.generations(reader, sample)[1]
        kept = self._samples.get(sample)
        if kept is None or kept.generation != generation:  # rows that were read have changed
            kept = self._samples[sample] = _Sample(generation)
        new = reader.particle_columns(sample, SUMMARISED, after_id=kept.through_id)
        kept.through_id = publications.last_id(reader, sample)
        end = kept.count + len(new[SUMMARISED[0]])
        if end > kept.room.shape[1]:  # twice the room each time: what is there is copied once on average
            grown = np.empty((len(SUMMARISED), max(1024, 2 * end)))
            grown[:, : kept.count] = kept.room[:, : kept.count]
            kept.room = grown
        for row, name in enumerate(SUMMARISED):
            kept.room[row, kept.count : end] = new[name]
        kept.count = end
        return {name: kept.room[row, :end] for row, name in enumerate(SUMMARISED)}

    def forget(self, sample: str) -> None:
        """It has come to rest."""
        self._samples.pop(sample, None)
