"""What a network, or any segmenter, is worth on labelled micrographs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch

from temwatch.analysis.segmentation import deeplab, weights
from temwatch.domain import Region, Segmentation
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
    net: torch.nn.Module, items: Sequence[Labelled], description: weights.Description
) -> list[Evaluated]:
    """Segment every micrograph with a network in memory and compare."""
    return [
        compare(item, deeplab.segmentation_of(deeplab.probabilities(net, image(item), description)))
        for item in items
    ]


def image(item: Labelled) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The micrograph as a segmenter takes it."""
    return np.asarray(item.image, np.float32)


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
