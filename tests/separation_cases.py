"""Masks with known truth and the score of what a method finds on them.

Particles may overlap, so they are matched as crops, best overlap first, one to one; the intersection over
union of a match is at least one half. Truth on the border of the micrograph, and what matches it best, does
not count: the method drops border particles.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ELLIPSES = {
    "low": ("A1024_low", "B1024_low"),
    "medium": ("A1024_medium", "B1024_medium", "C2048_medium", "D2048_medium"),
    "high": ("A1024_high", "B1024_high"),
}
CASES = (*(name for names in ELLIPSES.values() for name in names), "F1024_rods")

Placed = tuple[int, int, NDArray[np.bool_]]


class Score(NamedTuple):
    recall: float
    precision: float
    count_error: float
    diameter_bias: float

    @property
    def f1(self) -> float:
        return 2 * self.recall * self.precision / max(self.recall + self.precision, 1e-9)


def load_mask(folder: Path, name: str) -> NDArray[np.bool_]:
    with Image.open(folder / "separation" / f"{name}_mask.png") as picture:
        return np.asarray(picture) > 0


def load_particles(folder: Path, name: str, which: str) -> tuple[list[Placed], float]:
    """Particles as (row, column, mask), and the pixel size in nm; `which` is truth or antema."""
    with np.load(folder / "separation" / f"{name}_{which}.npz") as data:
        offset, bits = data["offset"], data["bits"]
        particles = [
            (
                int(row),
                int(column),
                np.unpackbits(bits[start:stop], count=height * width).reshape(height, width).astype(bool),
            )
            for (row, column, height, width), start, stop in zip(
                data["bbox"], offset[:-1], offset[1:], strict=True
            )
        ]
        return particles, float(data["px"])


def placed(analysis) -> list[Placed]:
    return [(*particle.region.origin_px, particle.region.mask) for particle in analysis.particles]


def overlaps(first: list[Placed], second: list[Placed]) -> list[tuple[float, int, int]]:
    """(intersection over union, index, index) of all pairs that meet, best first."""
    boxes = np.array([(r, c, r + m.shape[0], c + m.shape[1]) for r, c, m in second]).reshape(-1, 4)
    areas = [np.count_nonzero(mask) for *_, mask in second]
    found = []
    for i, (row, column, mask) in enumerate(first):
        bottom, right = row + mask.shape[0], column + mask.shape[1]
        meets = (boxes[:, 0] < bottom) & (boxes[:, 2] > row) & (boxes[:, 1] < right) & (boxes[:, 3] > column)
        for j in np.flatnonzero(meets):
            r, c, other = second[j]
            top, left = max(row, r), max(column, c)
            end, side = min(bottom, boxes[j, 2]), min(right, boxes[j, 3])
            shared = np.count_nonzero(
                mask[top - row : end - row, left - column : side - column]
                & other[top - r : end - r, left - c : side - c]
            )
            if shared:
                found.append((shared / (np.count_nonzero(mask) + areas[j] - shared), i, int(j)))
    return sorted(found, reverse=True)


def score(truth: list[Placed], found: list[Placed], shape: tuple[int, int]) -> Score:
    def on_border(particle: Placed) -> bool:
        row, column, mask = particle
        return (
            row == 0 or column == 0 or row + mask.shape[0] >= shape[0] or column + mask.shape[1] >= shape[1]
        )

    def diameter(particle: Placed) -> float:
        return float(np.sqrt(np.count_nonzero(particle[2])))

    found = [particle for particle in found if not on_border(particle)]
    ignored = [on_border(particle) for particle in truth]
    pairs = overlaps(truth, found)
    best: dict[int, int] = {}
    for _, i, j in pairs:
        best.setdefault(j, i)
    counted = {j for j in range(len(found)) if not (j in best and ignored[best[j]])}
    expected = max(ignored.count(False), 1)
    matches: dict[int, int] = {}
    for overlap, i, j in pairs:
        free = i not in matches and j not in matches.values()
        if overlap >= 0.5 and not ignored[i] and j in counted and free:
            matches[i] = j
    return Score(
        recall=len(matches) / expected,
        precision=len(matches) / max(len(counted), 1),
        count_error=len(counted) / expected - 1,
        diameter_bias=float(
            np.mean([diameter(found[j]) / diameter(truth[i]) - 1 for i, j in matches.items()] or [np.nan])
        ),
    )
