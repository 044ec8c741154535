"""The bar of copies and repeats over the range of simulated micrographs, and on real ones."""

import os

import numpy as np
import pytest
from PIL import Image

from exposure_cases import EXPORTS, Area, in_8_bit
from temwatch.analysis.exposures import area
from temwatch.analysis.exposures.fingerprint import is_copy, take_fingerprint
from temwatch.simulator import random_settings

SEEDS = int(os.environ.get("TEMWATCH_EXPOSURE_SEEDS", "24"))
FIRST_SEED = int(os.environ.get("TEMWATCH_EXPOSURE_FIRST_SEED", "0"))


def taken(image):
    return take_fingerprint(np.asarray(image, np.float32))


@pytest.mark.slow
def test_no_independent_exposures_are_copies_and_copies_are_found():
    """Of one area without and with drift, and of others; every export of five kinds a seed."""
    wrong, missed, exports, repeats, others, before = [], [], 0, 0, [], None
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        shown = Area(random_settings(seed, size_px=576), seed)
        image = shown.expose()
        one, still, drifted = taken(image), taken(shown.expose()), taken(shown.expose((40, 25)))
        wrong += [seed for other in (still, drifted, before) if other is not None and is_copy(one, other)]
        repeats += area.is_same_area(one.area, still.area) + area.is_same_area(one.area, drifted.area)
        others += [
            seed for other in (before,) if other is not None and area.is_same_area(one.area, other.area)
        ]
        names = list(EXPORTS)
        for name in (names[(seed + step) % len(names)] for step in (0, 3, 6, 9, 12)):
            exports += 1
            if not is_copy(one, taken(EXPORTS[name](image))):
                missed.append((seed, name))
        before = one
    print(f"{SEEDS} areas: false copies {wrong}, missed {missed} of {exports} exports,", end=" ")
    print(f"repeats found {repeats} of {2 * SEEDS}, false repeats {others}")
    assert [] == wrong
    assert [] == others
    assert len(missed) <= max(1, 0.01 * exports)
    assert repeats >= SEEDS


def pictures(folder):
    return [
        np.asarray(Image.open(path).convert("L"))
        for path in sorted(folder.iterdir())
        if path.suffix != ".csv"
    ]


@pytest.mark.slow
def test_frames_of_one_area_are_never_copies(data_folder):
    """Real ones, of little contrast, each against those near it in time."""
    frames = [taken(image) for image in pictures(data_folder / "in_situ_gold_750C" / "frames")]
    found = [
        (first, second)
        for first in range(len(frames))
        for second in range(first + 1, min(first + 4, len(frames)))
        if is_copy(frames[first], frames[second])
    ]
    assert [] == found


@pytest.mark.slow
def test_exports_of_real_micrographs_are_found(data_folder):
    """Also where the micrograph itself was a JPEG; no two of the others are copies."""
    images = pictures(data_folder / "nominal_gold")[::3]
    found = [taken(image) for image in images]
    for number, (image, one) in enumerate(zip(images, found, strict=True)):
        for export in (in_8_bit, EXPORTS["scale bar"], EXPORTS["gamma 0.6"]):
            assert is_copy(one, taken(export(image.astype(float)))), number
        assert not any(is_copy(one, other) for other in found[:number])
