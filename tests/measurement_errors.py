"""Definitions of the descriptors and their errors on analytic shapes, as docs/measurement.md states them.

python tests/measurement_errors.py writes both tables there anew.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytic_shapes import Pixels, disc, ellipse, ellipse_perimeter, rectangle, regular_polygon
from temwatch import descriptors
from temwatch.analysis.measurement import shape
from temwatch.descriptors import DESCRIPTORS

DOCUMENT = Path(__file__).parents[1] / "docs" / "measurement.md"
END = "<!-- end of table -->\n"

RADII = (3, 4, 5, 7, 10, 20, 50, 100)
ELLIPSES = ((8, 5), (15, 5), (20, 10), (40, 12), (60, 30))
RECTANGLES = ((10, 10), (20, 10), (60, 10), (20, 20), (60, 40))
POLYGONS = ((3, 30), (4, 30), (5, 30), (6, 30), (8, 30))

POSITIONS = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), *np.random.default_rng(0).random((57, 2)).tolist()]
TURNS = np.linspace(0, 1, len(POSITIONS), endpoint=False)


class Family(NamedTuple):
    """A shape drawn at any angle and sub-pixel position, and its exact values in px."""

    name: str
    draw: Callable[[float, tuple[float, float]], Pixels]
    area: float
    perimeter: float
    feret_min: float
    feret_max: float


class Errors(NamedTuple):
    """Per drawing: relative errors of area, perimeter and circularity; those of Feret diameters in px."""

    area: NDArray[np.float64]
    perimeter: NDArray[np.float64]
    circularity: NDArray[np.float64]
    highest_circularity: float
    feret_min_px: NDArray[np.float64]
    feret_max_px: NDArray[np.float64]
    convexity: float
    solidity: float


def families() -> Iterator[Family]:
    for r in RADII:
        yield Family(
            f"disc, r = {r}", lambda _, at, r=r: disc(r, at), math.pi * r**2, math.tau * r, 2 * r, 2 * r
        )
    for a, b in ELLIPSES:
        yield Family(
            f"ellipse, half axes {a} and {b}",
            lambda turn, at, a=a, b=b: ellipse(a, b, math.pi * turn, at),
            math.pi * a * b,
            ellipse_perimeter(a, b),
            2 * b,
            2 * a,
        )
    for a, b in RECTANGLES:
        yield Family(
            f"rectangle, {a} x {b}",
            lambda turn, at, a=a, b=b: rectangle(a, b, math.pi * turn, at),
            a * b,
            2 * (a + b),
            min(a, b),
            math.hypot(a, b),
        )
    for sides, radius in POLYGONS:
        step = math.tau / sides
        corners = [(math.cos(step * k), math.sin(step * k)) for k in range(sides)]
        yield Family(
            f"regular polygon, {sides} corners at r = {radius}",
            lambda turn, at, n=sides, r=radius, step=step: regular_polygon(n, r, step * turn, at),
            sides / 2 * radius**2 * math.sin(step),
            2 * sides * radius * math.sin(step / 2),
            radius * (2 * math.cos(step / 2) if sides % 2 == 0 else 1 + math.cos(step / 2)),
            radius * max(math.dist(a, b) for a in corners for b in corners),
        )


def errors(family: Family) -> Errors:
    found = [shape.outline(family.draw(turn, at)) for turn, at in zip(TURNS.tolist(), POSITIONS, strict=True)]
    circularity = np.array([descriptors.circularity(outline) for outline in found])
    return Errors(
        area=np.array([outline.area for outline in found]) / family.area - 1,
        perimeter=np.array([outline.perimeter for outline in found]) / family.perimeter - 1,
        circularity=circularity / (4 * math.pi * family.area / family.perimeter**2) - 1,
        highest_circularity=float(circularity.max()),
        feret_min_px=np.array([outline.feret_min for outline in found]) - family.feret_min,
        feret_max_px=np.array([outline.feret_max for outline in found]) - family.feret_max,
        convexity=min(descriptors.convexity(outline) for outline in found),
        solidity=min(descriptors.solidity(outline) for outline in found),
    )


def table() -> str:
    lines = [
        "| shape, px | area, % | perimeter, % | circularity, % | highest circularity "
        "| minimum Feret, px | maximum Feret, px | lowest convexity | lowest solidity |",
        "|---|" + "---:|" * 8,
    ]
    for family in families():
        found = errors(family)
        cells = (
            family.name,
            _spread(100 * found.area),
            _spread(100 * found.perimeter),
            _spread(100 * found.circularity),
            f"{found.highest_circularity:.3f}",
            _spread(found.feret_min_px),
            _spread(found.feret_max_px),
            f"{found.convexity:.3f}",
            f"{found.solidity:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def definitions() -> str:
    lines = ["| column | definition | formula |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.meaning} | {one.equation} |" for one in DESCRIPTORS]
    return "\n".join(lines) + "\n"


TABLES = {"definitions": definitions, "errors": table}


def documented(name: str) -> str:
    return _split(DOCUMENT.read_text(encoding="utf-8"), name)[1]


def _split(text: str, name: str) -> tuple[str, str, str]:
    """A text before, in and after a table."""
    before, mark, rest = text.partition(f"<!-- table: {name} -->\n")
    there, end, after = rest.partition(END)
    return before + mark, there, end + after


def _spread(values: NDArray[np.float64]) -> str:
    """Mean, and what 95 % of the drawings do not exceed."""
    mean = round(float(values.mean()), 1) + 0.0  # no -0.0
    return f"{mean:+.1f} ({np.quantile(abs(values), 0.95):.1f})"


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, made in TABLES.items():
        before, _, after = _split(text, name)
        text = before + made() + after
    DOCUMENT.write_text(text, encoding="utf-8")
