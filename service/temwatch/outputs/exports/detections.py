"""Particles of analysed micrographs with their outlines, as every export of outlines needs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.measurement.polygons import measured_polygon
from temwatch.analysis.measurement.shape import with_outlines
from temwatch.domain import Particle, Status
from temwatch.ledger import MicrographRow, Reader, analyses, exclusions
from temwatch.outputs.tables import Advance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detection:
    """One particle of particles.csv: its number there, and its outline as `measured_polygon` gives it."""

    number: int
    particle: Particle
    polygon: NDArray[np.float64]


def sample_name(reader: Reader, sample: str) -> str:
    """The true name of a sample, as its tables show it; `sample` is the name of its folder."""
    return next((row.name for row in reader.samples(only=sample)), sample)


def analysed(reader: Reader, sample: str, advance: Advance) -> Iterator[MicrographRow]:
    """Micrographs and frames of a sample that have a result, in the order of micrographs.csv."""
    for row in reader.micrographs(sample):
        if row.status is Status.DONE:
            yield row
        advance()


def numbered_particles(reader: Reader, row: MicrographRow) -> list[tuple[int, Particle]]:
    """The particles of a micrograph with their numbers in particles.csv; excluded ones leave gaps."""
    excluded = exclusions.uncounted_numbers(reader, row.id)
    numbered = enumerate(analyses.particles(reader, row.id), 1)
    return [(number, particle) for number, particle in numbered if number not in excluded]


def detections(reader: Reader, row: MicrographRow) -> list[Detection]:
    """The particles of an analysed micrograph, in the order of particles.csv."""
    found = numbered_particles(reader, row)
    regions = with_outlines((particle.region for _, particle in found), analyses.level(reader, row.id))
    return [
        Detection(
            number=number,
            particle=replace(particle, region=region),
            polygon=measured_polygon(region),
        )
        for (number, particle), region in zip(found, regions, strict=True)
    ]
