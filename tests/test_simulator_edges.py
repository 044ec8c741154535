"""What decides how an edge looks beside focus and dose: shells, soft surfaces, movement, detectors, halos."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from temwatch.simulator import Settings, detector, imaging, shapes, shells, simulate_micrograph
from temwatch.simulator.specimen import Body, project
from temwatch.training.edge_settings import MIXTURES, draw_edge_settings

PLAIN = Settings(
    size_px=192,
    pixel_size_nm=0.13,
    families=("ellipses",),
    particles=6,
    diameter_mean_nm=5.2,
    overlap="none",
    defocus_nm=-100.0,
    dose_e_per_px=200.0,
)
SHELL = replace(PLAIN, shell_share=1.0, shell_nm=1.0)


def flat(level=1.0, size_px=192):
    return np.full((size_px, size_px), level, np.float32)


def quiet(**others):
    """A detector that adds nothing of its own."""
    settings = replace(PLAIN, blur_px=0.0, gain_variation=0.0, readout_noise_e=0.0, defects_per_million=0.0)
    return replace(settings, counts_per_electron=50.0, **others)


def correlation(image):
    """Of neighbours in a row."""
    return np.corrcoef(image[:, 1:].ravel().astype(float), image[:, :-1].ravel().astype(float))[0, 1]


@pytest.mark.parametrize(
    "others",
    [
        {"tail_share": 0.3},
        {"noise_correlation_px": 1.0},
        {"vibration_px": 1.0},
        {"drift_px": 4.0},
        {"halo_strength": 1.0},
        {"soft_edge": 0.1},
    ],
    ids=lambda others: next(iter(others)),
)
def test_the_picture_changes_and_the_truth_does_not(others):
    """Detector, movement and softness leave every outline where it is."""
    before, after = (simulate_micrograph(settings, 4) for settings in (PLAIN, replace(PLAIN, **others)))
    np.testing.assert_array_equal(before.mask, after.mask)
    assert (before.image != after.image).mean() > 0.5


def test_a_shell_that_is_seen_belongs_to_its_particle():
    """The drawn diameter is that of the whole; the core within it has less."""
    settings = replace(SHELL, shell_density=0.5)
    solid = shapes.ellipsoid(40.0, 1.0)
    core, coat = shells.random_shell(solid, settings, np.random.default_rng(0))
    assert coat is solid
    body = project(Body(solid=solid, x_px=50, y_px=50, core=core, coat=coat))
    assert 40 == pytest.approx(math.sqrt(4 / math.pi * body.region.mask.sum()), rel=0.01)
    core_px = math.sqrt(4 / math.pi * np.count_nonzero(body.core_px > 1))
    # 1 nm is 7.7 px on both sides, give or take a fifth
    assert 17 < core_px < 33
    np.testing.assert_allclose(body.core_px + body.shell_px, body.thickness_px, atol=1e-3)


def test_a_rim_that_nobody_sees_lies_outside():
    """The particle ends with its core, and the faint rim reaches on."""
    solid = shapes.ellipsoid(40.0, 1.0)
    core, coat = shells.random_shell(solid, replace(SHELL, shell_density=0.02), np.random.default_rng(0))
    assert core is solid
    body = project(Body(solid=solid, x_px=50, y_px=50, core=core, coat=coat))
    assert 40 == pytest.approx(math.sqrt(4 / math.pi * body.region.mask.sum()), rel=0.01)
    assert np.count_nonzero(body.shell_px > 0) > 1.3 * np.count_nonzero(body.region.mask)


@pytest.mark.parametrize(
    ("others", "is_seen"),
    [
        ({"shell_density": 0.5}, True),
        ({"shell_density": 0.02}, False),  # not a tenth as dark as the core
        ({"shell_density": 0.5, "dose_e_per_px": 0.05}, False),  # lost in noise
        ({"shell_density": 0.5, "support_variation": 0.3}, False),  # not darker than the film's clouds
    ],
)
def test_a_shell_is_seen_where_it_stands_out(others, is_seen):
    """Against its particle, the noise and the film."""
    assert is_seen == shells.is_seen(replace(SHELL, **others), 40.0)


@pytest.mark.parametrize("density", [0.02, 0.5])
def test_a_shell_darkens_the_picture_by_its_density(density):
    """Along a line through the middle, mu times the weighted path is lost."""
    settings = replace(SHELL, shell_density=density, attenuation_per_nm=0.1, material="SiO2")
    solid, outer = shapes.ellipsoid(30.0, 1.0), shapes.ellipsoid(45.0, 1.0)
    field = imaging.empty_field(settings)
    middle = settings.size_px / 2
    body = Body(solid=solid, x_px=middle, y_px=middle, core=solid, coat=outer)
    imaging.add_particles(field, settings, [(project(body), ())])
    expected = 0.1 * 0.13 * (30 + density * 15)
    assert expected == pytest.approx(float(field.attenuation.max()), rel=0.01)


def test_a_soft_particle_fades_out():
    """At its outline it is neither as dark as inside nor gone; its mass stays."""
    sharp, soft = (replace(PLAIN, soft_edge=width, material="SiO2") for width in (0.0, 0.2))
    fields = []
    for settings in (sharp, soft):
        field = imaging.empty_field(settings)
        body = Body(solid=shapes.ellipsoid(40.0, 1.0), x_px=96, y_px=96)
        imaging.add_particles(field, settings, [(project(body), ())])
        fields.append(field.attenuation)
    outside = ndimage.distance_transform_edt(fields[0] == 0) > 1
    assert fields[1][outside].max() > 0.1 * fields[0].max()
    assert fields[0].sum() == pytest.approx(fields[1].sum(), rel=1e-3)


def test_movement_blurs_what_is_shown_and_not_the_noise():
    """Electrons are counted where they arrive; a point spread blurs their noise as well."""
    edge = flat()
    edge[:, 96:] = 0.4
    for others in ({"vibration_px": 2.0}, {"drift_px": 6.0}):
        settings = quiet(dose_e_per_px=400.0, **others)
        # the drift's direction is random: only one along the edge would leave it sharp
        image = detector.expose(edge, settings, np.random.default_rng(3)).astype(float)
        profile = image.mean(axis=0)
        steepest = -np.diff(profile).min() / (profile[10] - profile[-10])
        assert steepest < 0.5
        assert correlation(image[:, :80]) == pytest.approx(0, abs=0.03)
    blurred = detector.expose(flat(), quiet(blur_px=1.0), np.random.default_rng(3))
    assert correlation(blurred) > 0.5


def test_a_tail_of_the_point_spread_fills_up_dark_places():
    """A share of the electrons is counted some px away."""
    hole = flat()
    hole[91:101, 91:101] = 0
    dark = [
        detector.expose(hole, quiet(tail_share=share, tail_px=15.0), np.random.default_rng(1))[94:98, 94:98]
        for share in (0.0, 0.4)
    ]
    assert dark[0].mean() == 0
    assert dark[1].mean() == pytest.approx(0.4 * 200 * 50, rel=0.1)


def test_read_out_noise_is_as_strong_and_as_correlated_as_told():
    """Its strength does not depend on the correlation."""
    found = [
        detector.expose(
            flat(), quiet(readout_noise_e=40.0, noise_correlation_px=width), np.random.default_rng(2)
        )
        for width in (0.0, 1.0)
    ]
    assert found[0].std() == pytest.approx(found[1].std(), rel=0.02)
    assert correlation(found[0]) == pytest.approx(0, abs=0.03)
    assert correlation(found[1]) > 0.5


def test_sharpening_leaves_halos():
    """The bright side of an edge gets brighter, the dark one darker."""
    edge = flat()
    edge[:, 96:] = 0.4
    plain, sharpened = (
        detector.expose(
            edge, quiet(dose_e_per_px=400.0, halo_strength=strength), np.random.default_rng(5)
        ).mean(axis=0)
        for strength in (0.0, 1.0)
    )
    assert sharpened[90:96].max() > 1.15 * plain[90:96].max()
    assert sharpened[96:102].min() < 0.7 * plain[96:102].min()
    assert sharpened[10:60] == pytest.approx(plain[10:60], rel=0.02)


def test_the_edge_network_learns_from_all_of_these():
    """Each is there in some of its micrographs, and most have none."""
    rng = np.random.default_rng(0)
    draws = [draw_edge_settings(rng, MIXTURES[0]) for _ in range(300)]
    for name in ("shell_nm", "soft_edge", "tail_share", "noise_correlation_px", "drift_px", "halo_strength"):
        share = np.mean([getattr(one, name) > 0 for one in draws])
        assert 0.03 < share < 0.35, name
    seen = [shells.is_seen(one, one.diameter_mean_nm / one.pixel_size_nm) for one in draws if one.shell_share]
    assert {True, False} == set(seen)
