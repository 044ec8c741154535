"""Settings refuse what cannot be simulated; draws cover the range that a network has to hold over."""

from dataclasses import replace

import numpy as np
import pytest

from temwatch.errors import UsageError
from temwatch.simulator import HIGH_RESOLUTION, SURVEY, Settings, random_settings, simulate_micrograph

DRAWS = [random_settings(seed, size_px=640) for seed in range(400)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size_px", 0),
        ("pixel_size_nm", -0.1),
        ("dose_e_per_px", float("nan")),
        ("particles", -1),
        ("material", "Xx"),
        ("families", ()),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, value):
    """One line that names the setting."""
    with pytest.raises(UsageError, match=name):
        replace(Settings(), **{name: value})


@pytest.mark.parametrize("settings", [Settings(), SURVEY, HIGH_RESOLUTION], ids=["default", "survey", "hr"])
def test_the_same_seed_gives_the_same_micrograph(settings):
    """Pixels and truth; another seed gives another specimen."""
    small = replace(settings, size_px=256, particles=10)
    first, second, other = (simulate_micrograph(small, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert (first.image != other.image).mean() > 0.5


def test_draws_cover_the_range():
    """Pixel sizes, doses, sizes in px, defocus of both signs, families and overlaps."""
    pixel_sizes = [s.pixel_size_nm for s in DRAWS]
    assert min(pixel_sizes) < 0.025
    assert max(pixel_sizes) > 1.6
    diameters_px = [s.diameter_mean_nm / s.pixel_size_nm for s in DRAWS]
    assert min(diameters_px) < 9
    assert max(diameters_px) > 300
    doses = [s.dose_e_per_px for s in DRAWS]
    assert min(doses) < 5
    assert max(doses) > 700
    assert {True, False} == {s.defocus_nm < 0 for s in DRAWS}
    assert {"none", "low", "medium", "high"} == {s.overlap for s in DRAWS}
    assert {"ellipses", "facetted", "rods"} == {family for s in DRAWS for family in s.families}
    contrasts = [-np.expm1(-s.attenuation_per_nm * s.diameter_mean_nm) for s in DRAWS]
    assert min(contrasts) < 0.05
    assert max(contrasts) > 0.9
    assert DRAWS[17] == random_settings(17, size_px=640)


@pytest.mark.parametrize("seed", range(12))
def test_any_draw_can_be_simulated(seed):
    """No corner of the range fails, and no image is blank or saturated."""
    micrograph = simulate_micrograph(random_settings(seed, size_px=192), seed)
    assert (192, 192) == micrograph.image.shape
    assert np.ptp(micrograph.image) > 0
    assert (micrograph.image == 65535).mean() < 0.001


def test_annotations_are_marked():
    """Letters and scale bar change the pixels that are marked and no others; the truth stays."""
    settings = replace(Settings(), size_px=256, particles=8)
    plain = simulate_micrograph(settings, 8)
    burned = simulate_micrograph(replace(settings, annotations=True), 8)
    assert plain.annotation is None
    assert 0.002 < burned.annotation.mean() < 0.2
    np.testing.assert_array_equal(plain.image[~burned.annotation], burned.image[~burned.annotation])
    assert (plain.image[burned.annotation] != burned.image[burned.annotation]).mean() > 0.9
    np.testing.assert_array_equal(plain.mask, burned.mask)
