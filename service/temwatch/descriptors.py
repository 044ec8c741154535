"""The one table of descriptors: what is measured of a particle, how, in which unit, and where it is shown.

A new descriptor is one new entry at the end of `DESCRIPTORS`, and nothing else. Columns of the tables, the
ledger's SQL, the API, statistics, words of page and report and the definitions in docs/measurement.md follow
(docs/decisions/0014). Definitions: ISO 9276-6. This module imports nothing of temwatch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from operator import attrgetter
from typing import NamedTuple

SQL_TYPE = "REAL"
"""A descriptor is one real number of one particle, NULL where an older version did not measure it."""

SIZE = "equivalent_diameter_nm"
"""The descriptor that is meant where only `size` is said, and that areas and volumes as weights come from."""

SHAPE = "circularity"
"""The descriptor that the size is plotted against."""


class Outline(NamedTuple):
    """What one trace around a region yields; lengths in px, areas in px, the centroid in pixel indices.

    Attributes
    ----------
    area
        Area inside the outline; of a bare mask the number of pixels. Pixels of holes do not count.
    centroid_row, centroid_column
        Centre of mass; 0 is the centre of the crop's first pixel.
    perimeter
        Length of the outer outline: the minimum-length polygon between the pixels on both sides of it,
        lengthened by what it cuts off at its bends. Mean error over sub-pixel positions: discs of r >= 6 px
        below 0.2 %, ellipses 0.3 %, rectangles with a short side of 20 px or more 1 %.
    hull_perimeter
        Perimeter of the convex hull, measured the same way.
    hull_area
        Number of pixels whose centres lie in the convex hull of the region's pixel centres.
    feret_min, feret_max
        Smallest and largest distance between parallel tangents, on pixel corners.
    origin_row, origin_column
        Place of the crop's first pixel in the micrograph.
    visible_fraction
        Share of the outline that was seen; the rest was completed when a clump was separated.
    contrast
        1 less the brightness of the particle over that of its surroundings; NaN without a picture.
    confidence
        Probability that it is a particle; NaN without a network's probabilities.
    """

    area: float
    centroid_row: float
    centroid_column: float
    perimeter: float
    hull_perimeter: float
    hull_area: float
    feret_min: float
    feret_max: float
    origin_row: int = 0
    origin_column: int = 0
    visible_fraction: float = 1.0
    contrast: float = math.nan
    confidence: float = math.nan


def centroid_x(outline: Outline) -> float:
    """Centre of mass, px from the left edge: the first pixel has its centre at half a pixel."""
    return outline.origin_column + outline.centroid_column + 0.5


def centroid_y(outline: Outline) -> float:
    """Centre of mass, px from the top edge."""
    return outline.origin_row + outline.centroid_row + 0.5


def equivalent_diameter(outline: Outline) -> float:
    """Diameter of the disc of equal area, px (ISO 9276-6)."""
    return math.sqrt(4 * outline.area / math.pi)


def moved_diameter(outline: Outline, distance: float) -> float:
    """Equivalent diameter, px, after moving the outline outwards by `distance` px (inwards: less than 0).

    Steiner's formula, exact for convex regions as long as any of them is left.
    """
    area = outline.area + distance * outline.perimeter + math.pi * distance**2
    # inwards the formula grows again once nothing is left
    if distance < 0 and outline.perimeter < 2 * math.pi * -distance:
        return 0.0
    return math.sqrt(4 * max(area, 0.0) / math.pi)


def circularity(outline: Outline) -> float:
    """4 pi area / perimeter^2: 1 for a disc, pi / 4 for a square (ISO 9276-6)."""
    return 4 * math.pi * outline.area / outline.perimeter**2


def convexity(outline: Outline) -> float:
    """Perimeter of the convex hull / perimeter, both measured the same way: 1 for any convex region."""
    return outline.hull_perimeter / outline.perimeter


def solidity(outline: Outline) -> float:
    """Area / area of the convex hull, both in pixels: 1 for the pixels of any convex shape (ISO 9276-6)."""
    return outline.area / outline.hull_area


def aspect_ratio(outline: Outline) -> float:
    """Maximum / minimum Feret diameter, at least 1."""
    return outline.feret_max / outline.feret_min


class Shown(Flag):
    """Where a descriptor is shown, besides its column in particles.csv, particles.parquet and the API."""

    NOWHERE = 0
    STATISTICS = auto()
    """summary.json, and the sheet `statistics` of the workbook"""
    TERMINAL = auto()
    """the table that a command prints at its end"""
    POPULATION = auto()
    """histograms: the choices of the page, `descriptor=` of the API, the report"""
    WORKBOOK_CHART = auto()
    """the sheet `charts` of the workbook"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """One number that is measured of every particle.

    Attributes
    ----------
    name
        Its column; ends in the unit.
    label
        Its words on page, report, workbook and charts.
    meaning
        One line for the documentation and the metadata of particles.parquet.
    equation
        The formula as docs/measurement.md shows it, if one line holds it.
    formula
        From the outline in px to the value in px.
    power
        1 for a length, 2 for an area, 0 for a ratio: the value in px times this power of the pixel size is
        the value in nm.
    limits
        Between which the values lie by definition; a smooth density ends there.
    digits
        Significant digits in csv; statistics of a population count the same rounded values.
    shown
        Where people meet it.
    rank
        Where it stands among the others there: low ones first.
    """

    name: str
    label: str
    meaning: str
    formula: Callable[[Outline], float]
    power: int
    equation: str = ""
    limits: tuple[float, float] = (0.0, math.inf)
    digits: int = 7
    shown: Shown = Shown.NOWHERE
    rank: int = 100

    @property
    def unit(self) -> str:
        """Its unit in words; empty for a ratio."""
        return ("", "nm", "nm²")[self.power]


_ALL = Shown.STATISTICS | Shown.TERMINAL | Shown.POPULATION

# in the order of the columns, which is public: an entry keeps its place, a new one comes last
DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="centroid_x_nm",
        label="centroid x",
        meaning="centre of mass, from the left edge; pixel (0, 0) has its centre at half a pixel",
        equation="(mean index + ½) *p*",
        formula=centroid_x,
        power=1,
    ),
    Descriptor(
        name="centroid_y_nm",
        label="centroid y",
        meaning="centre of mass, from the top edge",
        equation="(mean index + ½) *p*",
        formula=centroid_y,
        power=1,
    ),
    Descriptor(
        name="area_nm2",
        label="area",
        meaning="area inside the outline; of a bare mask the number of pixels times the area of a pixel",
        equation="*A*",
        formula=attrgetter("area"),
        power=2,
        shown=_ALL,
        rank=4,
    ),
    Descriptor(
        name="equivalent_diameter_nm",
        label="equivalent diameter",
        meaning="diameter of the disc of equal area, sqrt(4 area / pi)",
        equation="√(4 *A* / π)",
        formula=equivalent_diameter,
        power=1,
        shown=_ALL | Shown.WORKBOOK_CHART,
        rank=1,
    ),
    Descriptor(
        name="feret_min_nm",
        label="minimum Feret diameter",
        meaning="smallest distance between parallel tangents of the outline",
        equation="over all angles, by rotating calipers",
        formula=attrgetter("feret_min"),
        power=1,
        shown=_ALL,
        rank=2,
    ),
    Descriptor(
        name="feret_max_nm",
        label="maximum Feret diameter",
        meaning="largest distance between parallel tangents of the outline",
        equation="over all angles, by rotating calipers",
        formula=attrgetter("feret_max"),
        power=1,
        shown=_ALL,
        rank=3,
    ),
    Descriptor(
        name="aspect_ratio",
        label="aspect ratio",
        meaning="maximum Feret diameter / minimum Feret diameter",
        equation="*F*max / *F*min ≥ 1",
        formula=aspect_ratio,
        power=0,
        limits=(1.0, math.inf),
        shown=_ALL,
        rank=9,
    ),
    Descriptor(
        name="perimeter_nm",
        label="perimeter",
        meaning="length of the outline",
        equation="*P*, see below",
        formula=attrgetter("perimeter"),
        power=1,
        shown=Shown.STATISTICS | Shown.TERMINAL,
        rank=5,
    ),
    Descriptor(
        name="circularity",
        label="circularity",
        meaning="4 pi area / perimeter^2, 1 for a disc",
        equation="4 π *A* / *P*²",
        formula=circularity,
        power=0,
        limits=(0.0, 1.0),
        shown=_ALL | Shown.WORKBOOK_CHART,
        rank=6,
    ),
    Descriptor(
        name="convexity",
        label="convexity",
        meaning="perimeter of the convex hull / perimeter, 1 for any convex shape",
        equation="*P*hull / *P* ≤ 1",
        formula=convexity,
        power=0,
        limits=(0.0, 1.0),
        shown=Shown.STATISTICS | Shown.TERMINAL,
        rank=7,
    ),
    Descriptor(
        name="solidity",
        label="solidity",
        meaning="area / area of the convex hull, 1 for any convex shape",
        equation="*A* / *A*hull ≤ 1",
        formula=solidity,
        power=0,
        limits=(0.0, 1.0),
        shown=Shown.STATISTICS,
        rank=8,
    ),
    Descriptor(
        name="visible_fraction",
        label="visible fraction of the outline",
        meaning="share of the outline that was seen, 1 for a particle that stands alone",
        equation="of a separated particle: share of its outline that is the clump's",
        formula=attrgetter("visible_fraction"),
        power=0,
        limits=(0.0, 1.0),
    ),
    Descriptor(
        name="equivalent_diameter_low_nm",
        label="equivalent diameter, lower limit",
        meaning="equivalent diameter with the outline one pixel further in",
        equation="√(4 (*A* − *P p* + π *p*²) / π)",
        formula=lambda outline: moved_diameter(outline, -1.0),
        power=1,
    ),
    Descriptor(
        name="equivalent_diameter_high_nm",
        label="equivalent diameter, upper limit",
        meaning="equivalent diameter with the outline one pixel further out",
        equation="√(4 (*A* + *P p* + π *p*²) / π)",
        formula=lambda outline: moved_diameter(outline, 1.0),
        power=1,
    ),
    Descriptor(
        name="contrast",
        label="contrast",
        meaning="darkening against the surroundings, 0 to 1; empty without a picture",
        equation="1 − brightness of the particle / brightness around it",
        formula=attrgetter("contrast"),
        power=0,
        limits=(0.0, 1.0),
    ),
    Descriptor(
        name="confidence",
        label="confidence",
        meaning="probability that it is a particle, 0 to 1; empty without a network",
        equation="logistic regression, see below",
        formula=attrgetter("confidence"),
        power=0,
        limits=(0.0, 1.0),
    ),
)

BY_NAME = {descriptor.name: descriptor for descriptor in DESCRIPTORS}
NAMES = tuple(BY_NAME)


def measure_outline(outline: Outline, pixel_size_nm: float) -> dict[str, float]:
    """Every descriptor by its name, in nm, nm² or without a unit."""
    # it runs for every particle: the powers are taken once, not for each descriptor
    scale = (1.0, pixel_size_nm, pixel_size_nm**2)
    return {one.name: one.formula(outline) * scale[one.power] for one in DESCRIPTORS}


def shown(where: Shown) -> tuple[Descriptor, ...]:
    """The descriptors that are shown there, in the order in which people read them."""
    return tuple(sorted((one for one in DESCRIPTORS if where in one.shown), key=lambda one: one.rank))
