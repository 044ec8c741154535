"""How true sizes are: diameters of simulated particles against their exact truth, cell by cell.

A cell is one kind of micrograph: size and shape of its particles, defocus, dose, pixel size, overlap.
Everything else is the same in all of them: gold at 200 kV, a spherical aberration of 1.2 mm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add
from typing import Any

import numpy as np

from temwatch.analysis.segmentation import preprocessing
from temwatch.domain import Segmenter
from temwatch.simulator import Settings, simulate_micrograph
from temwatch.simulator.settings import Family, Overlap
from temwatch.training import edge_accuracy, scores
from temwatch.training.edge_accuracy import Quartiles
from temwatch.training.evaluate import pipeline_particles

SEED = 1821
"""No micrograph of a training is drawn from it."""

COVERED = 0.1
"""Share of a micrograph that particles cover, unless that would be fewer than `FEWEST`."""
FEWEST = 20

ELLIPSES: tuple[Family, ...] = ("ellipses",)
FACETTED: tuple[Family, ...] = ("facetted",)
MIXED: tuple[Family, ...] = ("ellipses", "facetted")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyCell:
    """One kind of micrograph.

    Cells of one `group` share `target`: the bias, relative to the true diameter, that none should exceed.
    """

    group: str
    target: float
    diameter_px: int
    defocus_nm: float
    families: tuple[Family, ...] = MIXED
    dose_e_per_px: float = 60.0
    pixel_size_nm: float = 0.13
    overlap: Overlap = "none"
    size_px: int = 640

    @property
    def settings(self) -> Settings:
        """What is simulated."""
        area_px = math.pi / 4 * self.diameter_px**2
        diameter_nm = self.diameter_px * self.pixel_size_nm
        return Settings(
            size_px=self.size_px,
            pixel_size_nm=self.pixel_size_nm,
            families=self.families,
            particles=max(FEWEST, round(COVERED * self.size_px**2 / area_px)),
            diameter_mean_nm=diameter_nm,
            diameter_sd_nm=0.12 * diameter_nm,
            overlap=self.overlap,
            voltage_kV=200.0,
            cs_mm=1.2,
            aperture_mrad=20.0,
            defocus_nm=self.defocus_nm,
            dose_e_per_px=self.dose_e_per_px,
        )


_SIZES_PX = {14: 512, 20: 512, 40: 640, 50: 640, 110: 1024, 120: 1024}
"""Side of a micrograph with enough particles of a diameter, both in px."""
_UNDERFOCUS_TO_OVERFOCUS_NM = (-450.0, -200.0, -60.0, 40.0)


def _cell(group: str, target: float, diameter_px: int, defocus_nm: float, **others: Any) -> AccuracyCell:
    return AccuracyCell(
        group=group,
        target=target,
        diameter_px=diameter_px,
        defocus_nm=defocus_nm,
        size_px=_SIZES_PX[diameter_px],
        **others,
    )


def _cells() -> Iterator[AccuracyCell]:
    sizes = ((14, "14 px", 0.03), (40, "40 and 110 px", 0.012), (110, "40 and 110 px", 0.012))
    for (px, group, target), dose, focus in product(sizes, (12.0, 250.0), _UNDERFOCUS_TO_OVERFOCUS_NM):
        yield _cell(group, target, px, focus, dose_e_per_px=dose)
    for families, target in ((ELLIPSES, 0.015), (FACETTED, 0.02)):
        for focus in (-500.0, -250.0, -100.0, 0.0, 100.0):
            yield _cell(f"{families[0]} alone", target, 40, focus, families=families)
    for nm, focuses in ((0.03, (-60.0, 20.0)), (0.3, (-500.0, -100.0)), (1.0, (-1200.0, -300.0))):
        for px, focus in product((20, 50, 120), focuses):
            yield _cell("other pixel sizes", 0.025, px, focus, pixel_size_nm=nm)
    for focus in (-200.0, -50.0):
        yield _cell("medium overlap", 0.02, 40, focus, overlap="medium")


CELLS = tuple(_cells())


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAccuracy:
    """What was found in a cell.

    `truth` counts the true particles off the border, `matched` those of them with a found one at an IoU of
    one half or more, `found` the found ones. `diameter_ratio` is of the matched, found over true;
    `edge_distance_px` how far outlines of single particles lie outside the steepest edge of the picture.
    """

    cell: AccuracyCell
    truth: int
    found: int
    matched: int
    recall: float
    diameter_ratio: Quartiles
    edge_distance_px: Quartiles

    @property
    def bias(self) -> float:
        """Median error of the diameter, relative to the true one; NaN where nothing is matched."""
        return self.diameter_ratio.median - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAccuracy:
    """The cells of one group: mean and largest absolute bias, and how many of them reach the target."""

    group: str
    target: float
    cells: int
    within: int
    mean_bias: float
    largest_bias: float


def measure_cell(cell: AccuracyCell, segmenter: Segmenter, repeat: int = 1) -> CellAccuracy:
    """Simulate micrographs of one kind, analyse them as the service does, and compare.

    Parameters
    ----------
    cell
        The kind.
    segmenter
        Particles dark.
    repeat
        Number of micrographs; the same number gives the same ones.
    """
    counts, distances = [], []
    for number in range(repeat):
        truth = simulate_micrograph(cell.settings, np.random.default_rng((SEED, number)))
        image = truth.image.astype(np.float32)
        (found,) = segmenter.segment([image])
        particles = pipeline_particles(found)
        regions = [particle.region for particle in particles]
        counts.append(scores.match_particles(regions, truth.particles, truth.mask.shape))
        distances.append(edge_accuracy.distances_px(preprocessing.normalised(image), found, particles))
    pooled = reduce(add, counts)
    return CellAccuracy(
        cell=cell,
        truth=pooled.truth,
        found=pooled.found,
        matched=pooled.matched,
        recall=pooled.measures()["particle_recall"],
        diameter_ratio=edge_accuracy.quartiles(pooled.diameter_ratios),
        edge_distance_px=edge_accuracy.quartiles(np.concatenate(distances)),
    )


def by_group(results: Sequence[CellAccuracy]) -> list[GroupAccuracy]:
    """One summary per group, in the order of the cells; a cell where nothing is matched misses its target."""
    groups: dict[str, list[CellAccuracy]] = {}
    for result in results:
        groups.setdefault(result.cell.group, []).append(result)
    summaries = []
    for group, members in groups.items():
        biases = [abs(result.bias) for result in members if result.matched]
        target = members[0].cell.target
        summaries.append(
            GroupAccuracy(
                group=group,
                target=target,
                cells=len(members),
                within=sum(bias <= target for bias in biases),
                mean_bias=sum(biases) / len(biases) if biases else math.nan,
                largest_bias=max(biases, default=math.nan),
            )
        )
    return summaries
