"""Scores of a segmenter on labelled micrographs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis import pipeline
from temwatch.choices import SeparationMethod
from temwatch.config import SeparationSettings
from temwatch.domain import Image, Particle, Region, Segmentation
from temwatch.training import edge_accuracy, scores
from temwatch.training.datasets import LabelledMicrograph

Separate = Callable[[Segmentation], Sequence[Region]]
Resolve = Callable[[Segmentation], Sequence[Particle]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """The scores of one micrograph.

    `counts` are particles separated by the reference method, `service_counts` by the service's own pipeline;
    both are None without instance labels, the second also where it was not requested. `edge_distances_px` are
    those of `edge_accuracy`, of the service's single particles; they need no labels.
    """

    item: LabelledMicrograph
    segmentation: Segmentation
    pixels: scores.PixelConfusion
    boundary_f1: float
    counts: scores.ParticleCounts | None
    service_counts: scores.ParticleCounts | None = None
    edge_distances_px: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def evaluate(
    segment: Callable[[Sequence[Image]], list[Segmentation]],
    items: Iterable[LabelledMicrograph],
    separate: Separate = scores.watershed,
    service: Resolve | None = None,
) -> Iterator[Evaluation]:
    """Segment one micrograph after the other and compare each with its truth.

    Parameters
    ----------
    segment
        `Segmenter.segment`, or a network's; it gets normalised images.
    items
        Micrographs with their truth.
    separate
        Finds the particles of a segmentation; by default a plain watershed, by which the best weights are
        selected.
    service
        Finds the particles that are counted separately: `pipeline_particles`.
    """
    for item in items:
        (found,) = segment([np.asarray(item.image, np.float32)])
        yield compare(item, found, separate, service)


def pipeline_particles(found: Segmentation, method: SeparationMethod | None = None) -> list[Particle]:
    """The particles that the service itself would report, with the speckle limit of the reference method.

    Parameters
    ----------
    found
        Mask, contacts and level.
    method
        A key of `SEPARATORS`; without it the service's default.
    """
    # half a pixel below the limit: the pipeline rounds the area up
    diameter = math.sqrt((scores.MIN_AREA_PX - 0.5) * 4 / math.pi)
    settings = SeparationSettings(min_diameter_nm=diameter)
    if method is not None:
        settings = settings.model_copy(update={"method": method})
    analysis = pipeline.resolve_segmentation(found, pixel_size_nm=1.0, settings=settings)
    return list(analysis.particles)


def compare(
    item: LabelledMicrograph,
    found: Segmentation,
    separate: Separate = scores.watershed,
    service: Resolve | None = None,
) -> Evaluation:
    """Compare a segmentation with the truth, in pixels and in particles."""
    truth = np.asarray(item.labels > 0)
    counts = service_counts = None
    reported = None if service is None else service(found)
    if item.instances:
        particles = scores.regions(item.labels)
        counts = scores.match_particles(separate(found), particles, truth.shape)
        if reported is not None:
            regions = [particle.region for particle in reported]
            service_counts = scores.match_particles(regions, particles, truth.shape)
    return Evaluation(
        item=item,
        segmentation=found,
        pixels=scores.pixel_confusion(found.mask, truth),
        boundary_f1=scores.boundary_f1(found.mask, truth),
        counts=counts,
        service_counts=service_counts,
        edge_distances_px=edge_accuracy.distances_px(
            np.asarray(item.image, np.float32), found, reported or ()
        ),
    )


def outlines(results: Iterable[Evaluation]) -> list[edge_accuracy.Outlines]:
    """What is known of the outlines of each micrograph."""
    return [
        edge_accuracy.Outlines(
            data_set=result.item.name.rpartition("/")[0] or result.item.name,
            edge_distances_px=result.edge_distances_px,
            diameter_ratios=result.service_counts.diameter_ratios if result.service_counts else (),
        )
        for result in results
    ]


def summary(results: Sequence[Evaluation]) -> dict[str, float]:
    """Scores over all pixels and particles together, and means over micrographs where the name says so.

    Names that begin with `service_` are for the particles of the service's own pipeline.
    """
    pooled = reduce(add, (result.pixels for result in results))
    counted = [result.counts for result in results if result.counts is not None]
    serviced = [result.service_counts for result in results if result.service_counts is not None]
    per_micrograph = [result.pixels.measures()["iou_particle"] for result in results]
    measures = pooled.measures() | {
        "iou_particle_per_micrograph": _mean(per_micrograph),
        "boundary_f1_per_micrograph": _mean([result.boundary_f1 for result in results]),
    }
    return measures | _particles(counted) | service_names(_particles(serviced))


def service_names(measures: dict[str, float]) -> dict[str, float]:
    """The same measures under the names that the service's own pipeline has in a summary."""
    return {f"service_{name}": value for name, value in measures.items()}


def _particles(counted: Sequence[scores.ParticleCounts]) -> dict[str, float]:
    if not counted:
        return {}
    f1 = [counts.measures()["particle_f1"] for counts in counted if counts.truth + counts.found]
    return reduce(add, counted).measures() | {"particle_f1_per_micrograph": _mean(f1)}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
