"""What a network, or any segmenter, is worth on labelled micrographs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from temwatch.analysis import pipeline
from temwatch.domain import Image, Region, Segmentation
from temwatch.training import scores
from temwatch.training.data import Labelled


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """One micrograph: what was found, and how it compares. `counts` is None without instance labels."""

    item: Labelled
    segmentation: Segmentation
    pixels: scores.Pixels
    boundary_f1: float
    counts: scores.Counts | None


def evaluate(
    segment: Callable[[Sequence[Image]], list[Segmentation]],
    items: Iterable[Labelled],
    separate: Callable[[Segmentation], Sequence[Region]] = scores.watershed,
) -> Iterator[Evaluated]:
    """Segment one micrograph after the other and hold each against its truth.

    Parameters
    ----------
    segment
        `Segmenter.segment`, or a network's; it gets normalised images.
    items
        Micrographs with their truth.
    separate
        Takes the particles out of a segmentation; by default a plain watershed, which weights are
        chosen by.
    """
    for item in items:
        (found,) = segment([np.asarray(item.image, np.float32)])
        yield compare(item, found, separate)


def pipeline_regions(found: Segmentation) -> list[Region]:
    """The particles that the service itself would report, despeckling apart."""
    analysis = pipeline.resolve(found.mask, pixel_size_nm=1.0, contacts=found.contacts)
    return [particle.region for particle in analysis.particles]


def compare(
    item: Labelled,
    found: Segmentation,
    separate: Callable[[Segmentation], Sequence[Region]] = scores.watershed,
) -> Evaluated:
    """Hold a segmentation against the truth, in pixels and in particles."""
    truth = np.asarray(item.labels > 0)
    counts = None
    if item.instances:
        counts = scores.particles(separate(found), scores.regions(item.labels), truth.shape)
    return Evaluated(
        item=item,
        segmentation=found,
        pixels=scores.pixels(found.mask, truth),
        boundary_f1=scores.boundary_f1(found.mask, truth),
        counts=counts,
    )


def summary(results: Sequence[Evaluated]) -> dict[str, float]:
    """Measures over all pixels and particles together, and means over micrographs where the name says so."""
    pooled = reduce(add, (result.pixels for result in results))
    counted = [result.counts for result in results if result.counts is not None]
    per_micrograph = [result.pixels.measures()["iou_particle"] for result in results]
    particle_f1 = [counts.measures()["particle_f1"] for counts in counted if counts.truth + counts.found]
    measures = pooled.measures() | {
        "iou_particle_per_micrograph": _mean(per_micrograph),
        "boundary_f1_per_micrograph": _mean([result.boundary_f1 for result in results]),
    }
    if counted:
        measures |= reduce(add, counted).measures()
        measures["particle_f1_per_micrograph"] = _mean(particle_f1)
    return measures


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
