"""From a mask to particles: speckles, holes, the border rule, contacts, rejections, arguments."""

import numpy as np
import pytest

import temwatch
from analytic_shapes import disc, on_canvas, rectangle
from temwatch.analysis.measurement.units import disc_area_px
from temwatch.analysis.pipeline import describe
from temwatch.config import SeparationSettings
from temwatch.domain import Reason
from temwatch.errors import UsageError


def reasons(analysis):
    return [rejection.reason for rejection in analysis.rejections]


def test_smallest_area_is_that_of_a_disc_rounded_up():
    assert disc_area_px(0.5, 0.05) == 79
    assert disc_area_px(0.5, 0.5) == 1
    assert disc_area_px(0.5, 10.0) == 1
    assert disc_area_px(0, 0.05) == 0


def test_region_of_exactly_the_smallest_area_is_kept():
    """Half a nanometre at 0.25 nm a pixel: four pixels are a particle, three a speckle."""
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:4, 2:4] = True
    mask[10, 10:13] = True
    analysis = temwatch.resolve(mask, pixel_size_nm=0.25)
    assert [particle.region.origin_px for particle in analysis.particles] == [(2, 2)]
    assert reasons(analysis) == [Reason.TOO_SMALL]
    assert analysis.rejections[0].region.origin_px == (10, 10)
    assert analysis.removed is not None
    assert np.argwhere(analysis.removed).tolist() == [[10, 10], [10, 11], [10, 12]]
    np.testing.assert_array_equal(mask & ~analysis.removed, analysis.mask)


def test_holes_are_closed_strictly_below_the_smallest_area():
    mask = on_canvas((60, 120), (disc(20), 5, 5), (disc(20), 5, 60))
    mask[25, 25:28] = False
    mask[25:27, 80:82] = False
    analysis = temwatch.resolve(mask, pixel_size_nm=0.25)
    assert analysis.mask[25, 25:28].all()
    assert not analysis.mask[25:27, 80:82].any()


def test_notch_of_the_border_is_not_a_hole():
    mask = np.ones((30, 30), dtype=bool)
    mask[0, 10] = False
    assert not temwatch.resolve(mask, pixel_size_nm=0.1).mask[0, 10]


def test_particle_on_the_border_is_rejected_and_stays_in_the_mask():
    mask = on_canvas((80, 80), (disc(10), 0, 30), (disc(10), 40, 30))
    analysis = temwatch.resolve(mask, pixel_size_nm=0.1)
    assert len(analysis.particles) == 1
    assert reasons(analysis) == [Reason.TOUCHES_BORDER]
    np.testing.assert_array_equal(mask, analysis.mask)


def test_what_the_end_of_the_recorded_field_cuts_is_rejected_as_on_the_border():
    """Padding is no background: what ends there goes on beyond it. The neighbour 2 px beside it is whole."""
    mask = np.zeros((60, 60), bool)
    mask[20:30, 20:30] = mask[20:30, 45:55] = True
    recorded = np.ones(mask.shape, bool)
    recorded[:, :20] = False
    analysis = temwatch.resolve(mask, pixel_size_nm=0.1, recorded=recorded)
    assert reasons(analysis) == [Reason.TOUCHES_BORDER]
    (whole,) = analysis.particles
    assert (20, 45) == whole.region.origin_px
    recorded[:, 18:20] = True
    assert 2 == len(temwatch.resolve(mask, pixel_size_nm=0.1, recorded=recorded).particles)


def test_positions_count_from_the_corner_of_the_first_pixel():
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:14, 20:30] = True
    (particle,) = temwatch.resolve(mask, pixel_size_nm=0.5).particles
    assert (particle.centroid_x_nm, particle.centroid_y_nm) == (12.5, 6.0)
    assert (particle.feret_min_nm, particle.area_nm2) == (2.0, 10.0)


def test_convexity_below_the_threshold_labels_a_particle_as_overlapping():
    mask = on_canvas((100, 160), (disc(20), 20, 20), (disc(20), 20, 55), (disc(15), 30, 110))
    analysis = temwatch.resolve(mask, pixel_size_nm=0.1, separate="none")
    assert [particle.overlapping for particle in analysis.particles] == [True, False]
    assert not any(particle.separated for particle in analysis.particles)


def test_clumps_of_low_convexity_or_many_holes_can_be_excluded_whole():
    cross = on_canvas((100, 100), (rectangle(70, 6), 47, 15), (rectangle(6, 70), 15, 47))
    strict = SeparationSettings(min_convexity=0.8)
    assert reasons(temwatch.resolve(cross, pixel_size_nm=0.1, settings=strict)) == [Reason.LOW_CONVEXITY]
    mesh = np.zeros((100, 100), dtype=bool)
    mesh[10:90, 10:90] = True
    mesh[15:85:12, 15:85:12] = False
    mesh[16:86:12, 15:85:12] = False
    mesh[10:20, 84:90] = False
    few = SeparationSettings(max_holes=10, convexity_threshold=1.0)
    assert reasons(temwatch.resolve(mesh, pixel_size_nm=1.0, settings=few)) == [Reason.TOO_MANY_HOLES]


def test_contacts_part_particles_that_share_a_side():
    """No outline shows where two squares side by side meet; the network may."""
    mask = np.zeros((60, 100), dtype=bool)
    mask[10:40, 10:70] = True
    contacts = np.zeros_like(mask)
    contacts[8:42, 38:41] = True
    analysis = temwatch.resolve(mask, pixel_size_nm=0.1, contacts=contacts)
    assert len(analysis.particles) == 2
    assert all(particle.separated for particle in analysis.particles)
    assert sum(np.count_nonzero(particle.region.mask) for particle in analysis.particles) == mask.sum()


def test_contacts_that_part_nothing_change_nothing():
    mask = on_canvas((60, 60), (disc(20), 10, 10))
    contacts = np.zeros_like(mask)
    contacts[30, 20:26] = True
    (particle,) = temwatch.resolve(mask, pixel_size_nm=0.1, contacts=contacts).particles
    np.testing.assert_array_equal(disc(20), particle.region.mask)


def test_numbers_count_as_true_where_they_are_not_zero():
    mask = on_canvas((60, 60), (disc(10), 10, 10))
    expected = temwatch.resolve(mask, pixel_size_nm=0.1).table()
    for same in (
        mask.astype(np.uint8) * 255,
        mask.astype(np.int32) * 7,
        mask.tolist(),
        mask[:, ::-1][:, ::-1],
    ):
        assert expected.equals(temwatch.resolve(same, pixel_size_nm=0.1).table())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": np.zeros((3, 4, 5))}, "2D"),
        ({"mask": np.zeros((0, 5))}, "empty"),
        ({"mask": np.array([["a"]])}, "real numbers"),
        ({"pixel_size_nm": 0}, "more than 0"),
        ({"pixel_size_nm": -1.0}, "more than 0"),
        ({"pixel_size_nm": 5e-10}, "more than 0.0001"),
        ({"pixel_size_nm": 5e7}, "less than 1e"),
        ({"pixel_size_nm": float("nan")}, "more than 0"),
        ({"separate": "magic"}, "uecs"),
        ({"contacts": np.zeros((3, 3))}, "shape"),
        ({"recorded": np.zeros((3, 3))}, "shape"),
    ],
)
def test_arguments_that_cannot_work_are_refused_with_a_reason(arguments, message):
    usable = {"mask": np.zeros((9, 9)), "pixel_size_nm": 0.1} | arguments
    with pytest.raises(UsageError, match=message):
        temwatch.resolve(usable.pop("mask"), **usable)


def test_method_names_every_parameter():
    settings = SeparationSettings(min_diameter_nm=0.7)
    method = describe(None, settings)
    assert method.separation == "uecs"
    assert method.software_version == temwatch.__version__
    assert dict(method.parameters)["separation.min_diameter_nm"] == 0.7
    assert method.digest != describe(None, SeparationSettings()).digest


def test_image_is_segmented_with_the_segmenter_that_is_given():
    from temwatch.domain import Segmentation, Segmenter

    segmenter = Segmenter(
        name="dark",
        segment=lambda images: [Segmentation(mask=image < 0.5) for image in images],
        parameters=(("level", 0.5),),
    )
    image = 1.0 - on_canvas((60, 60), (disc(10), 10, 10))
    analysis = temwatch.analyse(image, pixel_size_nm=0.1, segmenter=segmenter, separate="none")
    assert len(analysis.particles) == 1
    assert (analysis.method.segmentation, analysis.method.separation) == ("dark", "none")
    assert dict(analysis.method.parameters)["segmentation.level"] == 0.5


def test_table_has_a_row_a_particle():
    mask = on_canvas((80, 80), (disc(10), 10, 10), (disc(8), 40, 40))
    table = temwatch.resolve(mask, pixel_size_nm=0.1).table()
    assert table["particle"].tolist() == [1, 2]
    assert table["bbox_width_px"].tolist() == [21, 17]
    assert table["sample"].isna().all()
