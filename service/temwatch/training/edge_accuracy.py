"""How true outlines are, by data set: against the edges that the pictures show, and against labels.

The first needs no labels, so it works on the micrographs of any laboratory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from temwatch import formats
from temwatch.analysis.measurement.shape import with_outlines
from temwatch.analysis.refinement.yardstick import edge_distances
from temwatch.analysis.segmentation import neighbours, preprocessing
from temwatch.domain import Image, Particle, Region, Segmentation
from temwatch.errors import InputError, UsageError
from temwatch.training.datasets import PICTURES, grey

_CONVEX = 0.93
"""Convexity from which a particle that was found whole is taken for a single one."""
_MARGIN_PX = 8
"""Nearer to the border there is not enough picture to look for an edge."""
_ANY_PIXEL_SIZE_NM = 1.0
"""For a file that states none: everything here is in px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartiles:
    """Number of values, their median, and the quartiles below and above it; NaN where there are none."""

    number: int
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlines:
    """The outlines of one micrograph.

    `edge_distances_px` as `distances_px`, `diameter_ratios` as `scores.ParticleCounts`.
    """

    data_set: str
    edge_distances_px: NDArray[np.float64]
    diameter_ratios: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeAccuracy:
    """The outlines of a data set."""

    data_set: str
    edge_distance_px: Quartiles
    diameter_ratio: Quartiles


def quartiles(values: ArrayLike) -> Quartiles:
    """Median and quartiles of any numbers."""
    known = np.asarray(values, float)
    low, median, high = np.percentile(known, (25, 50, 75)) if known.size else (math.nan,) * 3
    return Quartiles(number=known.size, low=float(low), median=float(median), high=float(high))


def distances_px(image: Image, found: Segmentation, particles: Iterable[Particle]) -> NDArray[np.float64]:
    """Distance of the outline of each single particle from the steepest edge; outside is positive.

    Parameters
    ----------
    image : float32, (y, x)
        Particles dark; any offset and gain.
    found : Segmentation
        Where it has no level, the outlines lie half-way between the pixels of its mask and those around.
    particles
        What was resolved from it; those that touch others or the border, or whose edge is lost in noise, are
        left out.
    """
    singles = [
        particle.region
        for particle in particles
        if not particle.separated
        and particle.convexity > _CONVEX
        and _is_inside(particle.region, found.mask.shape)
    ]
    if not singles:
        return np.empty(0)
    if found.level is None:
        singles = with_outlines(singles, np.where(found.mask, np.uint8(255), np.uint8(0)))
    distances = edge_distances(image, neighbours.noise(image), singles)
    return distances[~np.isnan(distances)]


def _is_inside(region: Region, shape: tuple[int, ...]) -> bool:
    first, last = np.array(region.origin_px), np.add(region.origin_px, region.mask.shape)
    return bool((first >= _MARGIN_PX).all() and (last <= np.array(shape) - _MARGIN_PX).all())


def by_data_set(outlines: Iterable[Outlines]) -> list[EdgeAccuracy]:
    """Pool micrographs of one data set, in the order of their first ones."""
    sets: dict[str, list[Outlines]] = {}
    for one in outlines:
        sets.setdefault(one.data_set, []).append(one)
    return [
        EdgeAccuracy(
            data_set=name,
            edge_distance_px=quartiles(np.concatenate([one.edge_distances_px for one in members])),
            diameter_ratio=quartiles(list(chain.from_iterable(one.diameter_ratios for one in members))),
        )
        for name, members in sets.items()
    ]


def as_json(sets: Sequence[EdgeAccuracy]) -> list[dict[str, Any]]:
    """Ready for json.dumps; undefined figures are null."""
    return [
        {
            name: {key: None if math.isnan(number) else number for key, number in value.items()}
            if isinstance(value, dict)
            else value
            for name, value in asdict(one).items()
        }
        for one in sets
    ]


def as_table(sets: Sequence[EdgeAccuracy]) -> str:
    """One line per data set: medians, and the quartiles in brackets."""
    width = max([len("data set"), *(len(one.data_set) for one in sets)])
    lines = [
        "outlines, as the service itself reports them: medians (quartiles)",
        f"  {'data set':{width}}  {'outside the steepest edge, px':>30}  {'of':>5}"
        f"  {'diameter / that of the label':>28}  {'of':>5}",
    ]
    for one in sets:
        edge, ratio = one.edge_distance_px, one.diameter_ratio
        lines.append(
            f"  {one.data_set:{width}}  {_spread(edge, '+.2f'):>30}  {edge.number:5}"
            f"  {_spread(ratio, '.3f'):>28}  {ratio.number:5}"
        )
    return "\n".join(lines)


def _spread(values: Quartiles, form: str) -> str:
    if not values.number:
        return "-"
    return f"{values.median:{form}} ({values.low:{form}} to {values.high:{form}})"


def find_unlabelled(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Name of the data set, which is that of the folder, and path of every micrograph.

    Raises
    ------
    UsageError
        A path does not exist, or there is no micrograph in a folder.
    """
    for path in paths:
        if path.is_dir():
            files = sorted(
                file for file in path.rglob("*") if file.suffix.lower() in {*formats.READERS, *PICTURES}
            )
            if not files:
                raise UsageError(f"--unlabelled {path}: holds no micrograph")
            yield from ((path.resolve().name, file) for file in files)
        elif path.is_file():
            yield path.resolve().parent.name, path
        else:
            raise UsageError(f"--unlabelled {path}: no such file or folder")


def read_unlabelled(path: Path) -> Image:
    """A micrograph of any format, normalised; of a stack the first frame.

    Raises
    ------
    InputError, UsageError
        It cannot be read, or is no micrograph.
    """
    if path.suffix.lower() in formats.READERS.keys() - formats.UNCALIBRATED:  # those may be in colour
        try:
            image = formats.open_source(path, pixel_size_nm=_ANY_PIXEL_SIZE_NM).load(0)
        except InputError as error:
            raise UsageError(f"{path}: {error}") from None
    else:
        image = grey(path)
    return preprocessing.normalised(image)
