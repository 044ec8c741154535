"""Copies of one exposure agree in their noise; exposures of one area only in what they show."""

import time
from dataclasses import replace

import numpy as np
import pytest

from exposure_cases import EXPORTS, SETTINGS, Area, in_8_bit
from temwatch import simulator
from temwatch.analysis.exposures import area, fingerprint
from temwatch.analysis.exposures.fingerprint import COARSE_SHAPE, find_kin, is_copy, take_fingerprint


def taken(image):
    return take_fingerprint(np.asarray(image, np.float32))


@pytest.fixture(scope="module")
def areas():
    """Two areas of one specimen."""
    return [Area(SETTINGS, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def exposure(areas):
    return areas[0].expose()


@pytest.mark.parametrize("export", EXPORTS)
def test_an_export_is_a_copy(exposure, export):
    """Whichever of the two is met first."""
    one, other = taken(exposure), taken(EXPORTS[export](exposure))
    assert is_copy(one, other)
    assert is_copy(other, one)


@pytest.mark.parametrize("drift_px", [(0, 0), (3, 5), (60, 90)])
def test_another_exposure_of_the_area_is_no_copy_but_a_repeat(areas, exposure, drift_px):
    """Drifted or not, also as 8-bit exports."""
    other = areas[0].expose(drift_px)
    for export in (np.asarray, in_8_bit):
        one, another = taken(exposure), taken(export(other))
        assert not is_copy(one, another)
        assert area.is_same_area(one.area, another.area)
        assert area.is_same_area(another.area, one.area)


def test_another_area_is_neither(areas, exposure):
    """Although specimen, microscope and camera are the same."""
    one, other = taken(exposure), taken(areas[1].expose())
    assert not is_copy(one, other)
    assert not area.is_same_area(one.area, other.area)


@pytest.mark.parametrize(
    "seed",
    [200024, pytest.param(200201, marks=pytest.mark.slow), pytest.param(200314, marks=pytest.mark.slow)],
)
def test_a_film_seen_far_above_the_noise_is_no_copy(seed):
    """Its details agree in all bands; only the order of pixels, and the means of a JPEG, tell the noise."""
    area_seen = Area(simulator.random_settings(seed, size_px=576), seed)
    one, other = area_seen.expose(), area_seen.expose()
    for export in (np.asarray, EXPORTS["jpeg"], EXPORTS["half size"], EXPORTS["jpeg of half size"]):
        assert not is_copy(taken(one), taken(export(other)))
        assert is_copy(taken(one), taken(export(one)))


def test_hard_clipping_of_a_noisy_micrograph_hides_no_copy():
    """Every block has clipped pixels then."""
    noisy = Area(simulator.random_settings(100004, size_px=576), 100004).expose()
    for export in ("clipped", "gamma 0.6", "gamma 1.8"):
        assert is_copy(taken(noisy), taken(EXPORTS[export](noisy)))
        assert is_copy(taken(EXPORTS["whole range"](noisy)), taken(EXPORTS[export](noisy)))


def test_what_rounding_left_is_no_evidence():
    """Frames of so little contrast that eight bits hide their noise agree in the specimen alone."""
    quiet = Area(replace(SETTINGS, dose_e_per_px=4000.0, gain_variation=0.0, defects_per_million=0.0), 3)
    one, other = ((quiet.expose() / 2000).round() for _ in range(2))
    assert not is_copy(taken(one), taken(other))


def test_one_particle_fits_any_other():
    """It is no evidence of an area, wherever it lies."""
    y, x = np.mgrid[:512, :512]
    random = np.random.default_rng(0)
    for place in ((256, 256), (200, 330)):
        field = [
            random.normal(100, 3, (512, 512)) - 60 * ((x - column) ** 2 + (y - row) ** 2 < 50**2)
            for row, column in ((256, 256), place)
        ]
        assert not area.is_same_area(taken(field[0]).area, taken(field[1]).area)


def test_a_regular_array_fits_at_many_places():
    """Two fields of one array are not taken for one area."""
    y, x = np.mgrid[:512, :512]
    random = np.random.default_rng(0)
    array = [
        random.normal(100, 3, (512, 512))
        - 30 * (np.cos(2 * np.pi * (x - shift) / 48) + np.cos(2 * np.pi * (y - 2 * shift) / 48) > 1)
        for shift in (0, 17)
    ]
    assert not area.is_same_area(taken(array[0]).area, taken(array[1]).area)


def test_blank_fields_are_of_no_area():
    """Nor copies of each other, although camera and illumination are the same."""
    blank = replace(SETTINGS, particles=1, diameter_mean_nm=0.05, diameter_sd_nm=0.0)
    one, other = (
        taken(simulator.simulate_micrograph(replace(blank, size_px=512), seed).image) for seed in (1, 2)
    )
    assert not is_copy(one, other)
    assert not area.is_same_area(one.area, other.area)


def test_it_comes_out_of_the_ledger_as_it_went_in(exposure):
    """In a few kilobytes."""
    given = taken(exposure[:300])
    packed = given.pack()
    assert len(packed) < 20_000
    found = fingerprint.unpack(packed)
    np.testing.assert_array_equal(given.area, found.area)
    assert given.was_jpeg == found.was_jpeg
    for size in ("full", "half"):
        for name in ("signs", "order", "brightness"):
            one, other = (getattr(getattr(whole, size), name) for whole in (given, found))
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(64, 64), (64, 700), (700, 65), (513, 511)])
def test_an_image_of_any_shape_has_one(shape):
    """A constant one, too; it is kin of nothing."""
    image = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    assert is_copy(taken(image), taken(image))
    blank = taken(np.zeros(shape))
    assert not is_copy(blank, blank)
    assert not area.is_same_area(blank.area, blank.area)
    assert take_fingerprint(image[:, :63]) is None


def test_kin_is_found_among_thousands_in_little_time(areas, exposure):
    """A first search ranks all of them; a copy comes before a repeat."""
    known = [taken(areas[1].expose()), taken(areas[0].expose((3, 5))), taken(in_8_bit(exposure))]
    random = np.random.default_rng(0)
    many = random.integers(-60, 60, (3000, *COARSE_SHAPE)).astype(np.int8)
    for place, one in zip((10, 2000, 2999), known, strict=True):
        many[place] = np.frombuffer(one.coarse, np.int8).reshape(COARSE_SHAPE)

    def load(place):
        return {10: known[0], 2000: known[1], 2999: known[2]}.get(place, known[0])

    started = time.process_time()
    assert (2999, None) == find_kin(taken(exposure), many, load)
    assert (None, 2000) == find_kin(taken(exposure), many[:2999], load)
    assert (None, None) == find_kin(taken(exposure), many[:2000], load)
    assert time.process_time() - started < 3
