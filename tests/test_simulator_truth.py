"""The truth is exact: masks, overlaps, contacts, thicknesses and the file that keeps them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temwatch.simulator import Settings, save_truth, shapes, simulate_mask, simulate_micrograph
from temwatch.simulator.specimen import Body, arrange, project, shared_pixels
from temwatch.simulator.truth import overlaps, truth_of


@settings(max_examples=60, deadline=None)
@given(
    diameter_px=st.floats(5, 120),
    x_px=st.floats(-3, 3),
    y_px=st.floats(-3, 3),
    aspect_ratio=st.floats(1, 3),
    angle_rad=st.floats(0, math.pi),
)
def test_a_pixel_belongs_to_a_particle_that_covers_its_centre(
    diameter_px, x_px, y_px, aspect_ratio, angle_rad
):
    """At every sub-pixel place, size and angle; pixel (0, 0) has its centre at (0.5, 0.5)."""
    body = Body(solid=shapes.ellipsoid(diameter_px, aspect_ratio), x_px=x_px, y_px=y_px, angle_rad=angle_rad)
    projection = project(body)
    rows, columns = np.indices(projection.region.mask.shape)
    y = rows + projection.region.origin_px[0] + 0.5 - y_px
    x = columns + projection.region.origin_px[1] + 0.5 - x_px
    u = math.cos(angle_rad) * x + math.sin(angle_rad) * y
    v = math.cos(angle_rad) * y - math.sin(angle_rad) * x
    long, short = diameter_px / 2 * aspect_ratio**0.5, diameter_px / 2 * aspect_ratio**-0.5
    level = (u / long) ** 2 + (v / short) ** 2
    certain = np.abs(level - 1) > 1e-4
    np.testing.assert_array_equal((level < 1)[certain], projection.region.mask[certain])


@pytest.mark.parametrize("radius_px", [10, 25.3, 100])
def test_area_and_volume_of_a_sphere(radius_px):
    """Pixels add up to the disc, thicknesses to the ball; single discs scatter by the pixel grid."""
    rng = np.random.default_rng(0)
    areas, volumes = [], []
    for _ in range(10):
        x_px, y_px = rng.uniform(0, 1, 2)
        projection = project(Body(solid=shapes.ellipsoid(2 * radius_px, 1.0), x_px=x_px, y_px=y_px))
        areas.append(np.count_nonzero(projection.region.mask))
        volumes.append(projection.thickness_px.sum())
    assert math.pi * radius_px**2 == pytest.approx(np.mean(areas), rel=0.1 / radius_px)
    assert 4 / 3 * math.pi * radius_px**3 == pytest.approx(np.mean(volumes), rel=0.05 / radius_px)


def test_equivalent_diameter_of_every_family():
    """Rods and facetted particles have the projected area that was asked for."""
    rng = np.random.default_rng(1)
    solids = [shapes.rod(60, ratio) for ratio in (1.5, 3, 6)]
    solids += [shapes.facetted(60, rng) for _ in range(40)]
    for solid in solids:
        mask = project(Body(solid=solid, x_px=0.2, y_px=0.7, angle_rad=rng.uniform(0, 7))).region.mask
        assert 60 == pytest.approx(2 * math.sqrt(np.count_nonzero(mask) / math.pi), rel=0.03)


def test_roughness_moves_the_outline():
    """A deviation of two pixels all around is a disc with a radius larger by two."""
    body = Body(
        solid=shapes.ellipsoid(80, 1.0), x_px=0.3, y_px=0.6, roughness_px=np.full(64, 2.0, np.float32)
    )
    area = np.count_nonzero(project(body).region.mask)
    assert math.pi * 42**2 == pytest.approx(area, rel=0.005)


def test_outlines_are_as_rough_as_told():
    """Roughness is the rms deviation over the radius."""
    settings = Settings(particles=20, families=("ellipses",), diameter_sd_nm=0.0, roughness=0.03)
    for body, _ in arrange(settings, np.random.default_rng(3)):
        assert 0.03 * 4.5 / 2 / 0.1 == pytest.approx(body.roughness_px.std(), rel=0.01)
        assert 0 == pytest.approx(body.roughness_px.mean(), abs=1e-3)


def test_particles_at_the_border_are_cut_there_and_nowhere_else():
    """Regions are tight crops inside the field; overlap with another particle cuts nothing."""
    disc = shapes.ellipsoid(40, 1.0)
    places = [(5.0, 50.0), (60.0, 50.0), (75.0, 50.0), (-100.0, 50.0)]
    truth = truth_of([project(Body(solid=disc, x_px=x, y_px=y)) for x, y in places], 100, 0.5)
    cut, first, second = truth.particles
    assert (0, (40, 25)) == (cut.origin_px[1], cut.mask.shape)
    assert np.count_nonzero(first.mask) == np.count_nonzero(second.mask)
    assert 200 < shared_pixels(first, second)
    for region, thickness_nm in zip(truth.particles, truth.thicknesses_nm, strict=True):
        assert region.mask.shape == thickness_nm.shape
        assert all(region.mask.any(axis=axis).all() for axis in (0, 1))
    assert 20 == pytest.approx(truth.thicknesses_nm[1].max(), rel=0.01)


def test_contacts_of_two_discs_run_along_their_chord():
    """Two equal discs that overlap meet on the line half-way between them, two pixels wide."""
    disc = shapes.ellipsoid(40, 1.0)
    truth = truth_of([project(Body(solid=disc, x_px=x, y_px=50)) for x in (35.0, 65.0)], 100, 1.0)
    rows, columns = np.nonzero(truth.contacts)
    assert {49, 50} == set(columns.tolist())
    half_chord = math.sqrt(20**2 - 15**2)
    assert 2 * half_chord == pytest.approx(np.ptp(rows) + 1, abs=2)
    assert not (truth.contacts & ~truth.mask).any()


@pytest.mark.parametrize(("gap_px", "touching"), [(0.0, True), (1.5, False)])
def test_particles_that_touch_have_contacts_and_separate_ones_have_none(gap_px, touching):
    """A gap of background, however narrow, is no contact."""
    disc = shapes.ellipsoid(40, 1.0)
    places = (30.0, 70.0 + gap_px)
    truth = truth_of([project(Body(solid=disc, x_px=x, y_px=50)) for x in places], 110, 1.0)
    assert touching == truth.contacts.any()
    assert 0 == shared_pixels(*truth.particles)


def test_cubes_can_touch_along_whole_sides():
    """Side on side the contact is as long as a side, and no pixel belongs to both."""
    normals = np.concatenate([np.eye(3), -np.eye(3)])
    solid = shapes.polyhedron(normals, np.ones(6), 40 * math.sqrt(4 / math.pi))
    turned = {"solid": solid, "angle_rad": math.radians(30)}
    x_px, y_px = 50 + 40 * math.cos(math.radians(30)), 50 + 40 * math.sin(math.radians(30))
    truth = truth_of(
        [project(Body(x_px=50, y_px=50, **turned)), project(Body(x_px=x_px, y_px=y_px, **turned))], 150, 1.0
    )
    assert 0 == shared_pixels(*truth.particles)
    rows, columns = np.nonzero(truth.contacts)
    assert 40 == pytest.approx(math.hypot(np.ptp(rows), np.ptp(columns)), abs=3)


def test_side_contacts_are_as_frequent_as_told():
    """With every attachment a side contact, longer contacts share less."""

    def shared_and_contacts(side_contact_share):
        settings = Settings(
            size_px=512,
            particles=40,
            families=("facetted",),
            overlap="low",
            side_contact_share=side_contact_share,
            roughness=0.0,
        )
        truth = truth_of([p for _, p in arrange(settings, np.random.default_rng(2))], 512, 0.1)
        return sum(count for *_, count in overlaps(truth.particles)), np.count_nonzero(truth.contacts)

    (shared_on_sides, on_sides), (shared_anyhow, anyhow) = shared_and_contacts(1.0), shared_and_contacts(0.0)
    assert shared_on_sides / on_sides < 0.5 * shared_anyhow / anyhow


def test_a_particle_lies_inside_another_only_when_asked():
    """`inside_share` puts particles into others; without it none is."""

    def nested(inside_share):
        settings = Settings(
            size_px=512, particles=40, diameter_sd_nm=2.0, overlap="high", inside_share=inside_share
        )
        regions = [p.region for _, p in arrange(settings, np.random.default_rng(4))]
        return sum(
            shared_pixels(first, second) == np.count_nonzero(first.mask)
            for first in regions
            for second in regions
            if first is not second
        )

    assert 0 == nested(0.0)
    assert nested(0.5) > 3


def test_saved_truth_has_the_documented_format(tmp_path):
    """Boxes, byte ranges and packed bits give back every particle."""
    truth = simulate_mask("ellipses", "high", 256, 7)
    save_truth(tmp_path / "a_truth.npz", truth)
    with np.load(tmp_path / "a_truth.npz") as saved:
        assert (256, 256) == tuple(saved["shape"])
        assert truth.pixel_size_nm == float(saved["px"])
        assert (np.int32, np.int64, np.uint8) == tuple(
            saved[name].dtype for name in ("bbox", "offset", "bits")
        )
        assert len(truth.particles) + 1 == len(saved["offset"])
        for number, region in enumerate(truth.particles):
            top, left, height, width = saved["bbox"][number]
            start, stop = saved["offset"][number : number + 2]
            mask = np.unpackbits(saved["bits"][start:stop], count=height * width).reshape(height, width)
            assert region.origin_px == (top, left)
            np.testing.assert_array_equal(region.mask, mask)


def test_no_particles_are_a_truth_too(tmp_path):
    """An empty field can be simulated, saved and loaded."""
    empty = simulate_micrograph(Settings(size_px=128, particles=0), 0)
    save_truth(tmp_path / "empty.npz", empty)
    assert (0, False, False) == (len(empty.particles), empty.mask.any(), empty.contacts.any())
    with np.load(tmp_path / "empty.npz") as saved:
        assert (0, 4) == saved["bbox"].shape


def test_the_mask_is_the_union_of_the_particles():
    """Nothing more, nothing less; and the image has its shape."""
    found = simulate_micrograph(replace(Settings(size_px=256), particles=12, overlap="medium"), 5)
    union = np.zeros_like(found.mask)
    for region in found.particles:
        (top, left), (height, width) = region.origin_px, region.mask.shape
        union[top : top + height, left : left + width] |= region.mask
    np.testing.assert_array_equal(union, found.mask)
    assert found.mask.shape == found.image.shape
