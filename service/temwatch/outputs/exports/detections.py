"""Particles of analysed micrographs with their outlines, as every export of outlines needs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.measurement.polygons import measured_polygon
from temwatch.analysis.measurement.shape import with_outlines
from temwatch.domain import Particle, Status
from temwatch.ledger import MicrographRow, Reader, analyses
from temwatch.outputs.tables import Advance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detection:
    """One particle of particles.csv: its number there, and its outline as `measured_polygon` gives it."""

    number: int
    particle: Particle
    polygon: NDArray[np.float64]


def analysed(reader: Reader, sample: str, advance: Advance) -> Iterator[MicrographRow]:
    """Micrographs and frames of a sample that have a result, in the order of micrographs.csv."""
    for row in reader.micrographs(sample):
        if row.status is Status.DONE:
            yield row
        advance()


def detections(reader: Reader, row: MicrographRow) -> list[Detection]:
    """The particles of an analysed micrograph, in the order of particles.csv."""
    particles = analyses.particles(reader, row.id)
    numbers = [number for (number,) in reader.particle_values(row.id, ("number",))]
    regions = with_outlines((particle.region for particle in particles), analyses.level(reader, row.id))
    return [
        Detection(
            number=number,
            particle=replace(particle, region=region),
            polygon=measured_polygon(region),
        )
        for number, particle, region in zip(numbers, particles, regions, strict=True)
    ]
