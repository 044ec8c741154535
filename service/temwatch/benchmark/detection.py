"""The signal from which the faintest particles are found: simulated particles of 2 nm, cell by cell.

A cell is one contrast, dose, defocus and pixel size. Everything else is the same in all of them: gold's phase
on 3 nm of carbon at 300 kV, in a corrected microscope.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add

import numpy as np
from scipy import optimize

from temwatch.domain import Segmenter
from temwatch.simulator import HIGH_RESOLUTION, Settings, simulate_micrograph
from temwatch.training import scores
from temwatch.training.evaluate import pipeline_particles

SEED = 1907
"""No micrograph of a training is drawn from it."""
ROSE = 5.0
"""Signal over noise of a whole object from which an eye finds it, wherever it lies (A. Rose, J. Opt. Soc.
Am. 1948, 38, 196)."""
DIAMETER_NM = 2.0
COVERED = 0.1
"""Share of a micrograph that particles cover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionCell:
    """One kind of micrograph; `contrast` is what a particle takes from the beam at its thickest, 0 to 1."""

    contrast: float
    dose_e_per_nm2: float
    defocus_nm: float
    pixel_size_nm: float
    size_px: int

    @property
    def dose_e_per_px(self) -> float:
        """Electrons per pixel of the background."""
        return self.dose_e_per_nm2 * self.pixel_size_nm**2

    @property
    def signal_to_noise(self) -> float:
        """Contrast times the square root of the electrons that a particle's area would get without it."""
        return self.contrast * math.sqrt(self.dose_e_per_nm2 * math.pi / 4 * DIAMETER_NM**2)

    @property
    def settings(self) -> Settings:
        """What is simulated."""
        area_px = math.pi / 4 * (DIAMETER_NM / self.pixel_size_nm) ** 2
        return Settings(
            size_px=self.size_px,
            pixel_size_nm=self.pixel_size_nm,
            families=("ellipses",),
            particles=round(COVERED * self.size_px**2 / area_px),
            diameter_mean_nm=DIAMETER_NM,
            diameter_sd_nm=0.03 * DIAMETER_NM,
            overlap="none",
            voltage_kV=HIGH_RESOLUTION.voltage_kV,
            cs_mm=HIGH_RESOLUTION.cs_mm,
            defocus_nm=self.defocus_nm,
            attenuation_per_nm=-math.log1p(-self.contrast) / DIAMETER_NM,
            support_variation=0.005,
            dose_e_per_px=self.dose_e_per_px,
        )


CONTRASTS = (0.02, 0.05, 0.1, 0.3)
DOSES_E_PER_NM2 = (1000.0, 4000.0, 16000.0, 64000.0)
DEFOCUSES_NM = (-250.0, -100.0, 0.0, 50.0, 100.0)
SIZES_PX = {0.035: 768, 0.13: 512}
"""Pixel size in nm, and the side of a micrograph in which 23 and 141 particles lie."""
HIGHEST_SIGNAL_TO_NOISE = 50.0
"""Above it all are found."""


def _cells() -> Iterator[DetectionCell]:
    for (pixel_nm, size_px), contrast, dose, defocus in product(
        SIZES_PX.items(), CONTRASTS, DOSES_E_PER_NM2, DEFOCUSES_NM
    ):
        cell = DetectionCell(
            contrast=contrast,
            dose_e_per_nm2=dose,
            defocus_nm=defocus,
            pixel_size_nm=pixel_nm,
            size_px=size_px,
        )
        if cell.signal_to_noise <= HIGHEST_SIGNAL_TO_NOISE:
            yield cell


CELLS = tuple(_cells())


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDetection:
    """What was found in a cell.

    `truth` counts the true particles off the border, `matched` those of them with a found one at an IoU of
    one half or more, `found` the found ones.
    """

    cell: DetectionCell
    truth: int
    found: int
    matched: int

    @property
    def recall(self) -> float:
        """Share of the true particles that is found."""
        return self.matched / self.truth


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionLimit:
    """Signal to noise from which half and four fifths are found; NaN where no cell reaches that.

    `lowest` is the lowest that was measured; a limit that equals it may be lower still.
    """

    pixel_size_nm: float
    defocus_nm: float
    lowest: float
    half: float
    most: float


def measure_cell(cell: DetectionCell, segmenter: Segmenter, repeat: int = 1) -> CellDetection:
    """Simulate micrographs of one kind, analyse them as the service does, and count.

    Parameters
    ----------
    cell
        The kind.
    segmenter
        Particles dark.
    repeat
        Number of micrographs; the same number gives the same ones.
    """
    counts = []
    for number in range(repeat):
        truth = simulate_micrograph(cell.settings, np.random.default_rng((SEED, number)))
        (found,) = segmenter.segment([truth.image.astype(np.float32)])
        regions = [particle.region for particle in pipeline_particles(found)]
        counts.append(scores.match_particles(regions, truth.particles, truth.mask.shape))
    pooled = reduce(add, counts)
    return CellDetection(cell=cell, truth=pooled.truth, found=pooled.found, matched=pooled.matched)


def limits(results: Sequence[CellDetection]) -> list[DetectionLimit]:
    """One limit per pixel size and defocus, in the order of the cells."""
    lines: dict[tuple[float, float], list[CellDetection]] = {}
    for result in results:
        lines.setdefault((result.cell.pixel_size_nm, result.cell.defocus_nm), []).append(result)
    return [
        DetectionLimit(
            pixel_size_nm=pixel_size_nm,
            defocus_nm=defocus_nm,
            lowest=min(member.cell.signal_to_noise for member in members),
            half=_least_signal(members, 0.5),
            most=_least_signal(members, 0.8),
        )
        for (pixel_size_nm, defocus_nm), members in lines.items()
    ]


def growing_recall(results: Sequence[CellDetection]) -> tuple[list[float], list[float]]:
    """Signal to noise and recall of a curve that only grows and fits the cells best.

    Cells of one signal to noise are taken together.
    """
    cells: dict[float, list[CellDetection]] = {}
    for result in sorted(results, key=lambda result: result.cell.signal_to_noise):
        cells.setdefault(round(result.cell.signal_to_noise, 6), []).append(result)
    weights = [sum(one.truth for one in members) for members in cells.values()]
    matched = [sum(one.matched for one in members) for members in cells.values()]
    found = np.divide(matched, weights)
    return list(cells), list(map(float, optimize.isotonic_regression(found, weights=weights).x))


def _least_signal(results: Sequence[CellDetection], recall: float) -> float:
    """Signal to noise at which the growing recall passes a value."""
    signal, growing = growing_recall(results)
    after = int(np.searchsorted(growing, recall))
    if after == len(growing):
        return math.nan
    if after == 0:
        return min(result.cell.signal_to_noise for result in results)
    low, high = growing[after - 1], growing[after]
    return float(np.exp(np.interp(recall, (low, high), np.log(signal[after - 1 : after + 1]))))
