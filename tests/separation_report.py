"""What every separation method reaches on every family of masks: recall, precision, count error, bias, time.

TEMWATCH_DATA=... python tests/separation_report.py [METHOD ...] prints the table; facetted masks come from
the simulator, so that they are there without data.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import temwatch
from separation_cases import ELLIPSES, Placed, load_mask, load_particles, placed, score
from temwatch import simulator
from temwatch.analysis.separation import SEPARATORS


class Case(NamedTuple):
    """A mask with its particles; `weight` is the number of particles that count."""

    mask: NDArray[np.bool_]
    truth: list[Placed]
    pixel_size_nm: float
    weight: int


class Figures(NamedTuple):
    """Means over the cases of a family; `weighted_f1` counts each case by its particles."""

    recall: float
    precision: float
    count_error: float
    diameter_bias: float
    weighted_f1: float
    seconds: float


def golden(folder: Path, name: str) -> Case:
    mask = load_mask(folder, name)
    truth, pixel_size_nm = load_particles(folder, name, "truth")
    return Case(mask, truth, pixel_size_nm, len(truth))


def simulated(family: simulator.Family, overlap: simulator.Overlap, seed: int) -> Case:
    field = simulator.simulate_mask(family, overlap, 1024, seed)
    truth = [(*region.origin_px, region.mask) for region in field.particles]
    return Case(field.mask, truth, field.pixel_size_nm, len(truth))


def real_outlines(folder: Path) -> Iterator[Case]:
    """Instances of published bright-field figures, merged into one mask; their size in nm plays no part."""
    for path in sorted((folder / "emps_bright_field" / "instances").glob("*.png")):
        with Image.open(path) as picture:
            instances = np.asarray(picture).astype(int)
        places = ndimage.find_objects(instances)
        truth = [
            (place[0].start, place[1].start, instances[place] == number)
            for number, place in enumerate(places, 1)
            if place is not None
        ]
        height, width = instances.shape
        inner = [
            place
            for place in places
            if place is not None
            and min(place[0].start, place[1].start) > 0
            and place[0].stop < height
            and place[1].stop < width
        ]
        if inner:
            yield Case(instances > 0, truth, 0.5, len(inner))


def figures(cases: list[Case], method: str) -> Figures:
    scores, seconds = [], []
    for case in cases:
        started = time.process_time()
        analysis = temwatch.resolve(case.mask, pixel_size_nm=case.pixel_size_nm, separate=method)
        seconds.append(time.process_time() - started)
        scores.append(score(case.truth, placed(analysis), case.mask.shape))
    f1 = np.average([found.f1 for found in scores], weights=[case.weight for case in cases])
    means = np.nanmean(np.array(scores), axis=0)
    return Figures(*map(float, means), weighted_f1=float(f1), seconds=sum(seconds))


def families(folder: Path | None) -> Iterator[tuple[str, list[Case]]]:
    for level in ("low", "medium", "high"):
        if folder:
            yield f"ellipses, {level}", [golden(folder, name) for name in ELLIPSES[level]]
        yield f"facetted, {level}", [simulated("facetted", level, seed) for seed in range(3)]
    if folder:
        yield "rods", [golden(folder, "F1024_rods")]
        yield "real outlines", list(real_outlines(folder))


def main(methods: list[str]) -> None:
    folder = Path(os.environ["TEMWATCH_DATA"]) if "TEMWATCH_DATA" in os.environ else None
    print("| family | method | recall | precision | count error, % | diameter bias, % | F1 | CPU s |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name, cases in families(folder):
        for method in methods:
            found = figures(cases, method)
            print(
                f"| {name} | {method} | {found.recall:.2f} | {found.precision:.2f} "
                f"| {100 * found.count_error:+.0f} | {100 * found.diameter_bias:+.1f} "
                f"| {found.weighted_f1:.3f} | {found.seconds:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:] or list(SEPARATORS))
