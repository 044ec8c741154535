"""Watershed of the distance transform: disjoint parts, none lost, and scikit-image's basins."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed as reference

import temwatch
from analytic_shapes import disc, ellipse, on_canvas, rectangle
from separation_cases import ELLIPSES
from separation_report import figures, golden
from temwatch import simulator
from temwatch.analysis.separation import watershed
from temwatch.analysis.separation.distance import squared_distances
from temwatch.config import SeparationSettings
from temwatch.domain import Reason, Region

CORNERS = np.ones((3, 3))


def separate(mask, origin=(10, 20), shape=(500, 500)):
    clump = Region(origin_px=origin, mask=mask)
    found, given_up = watershed.separate(clump, shape=shape, min_area_px=1, settings=SeparationSettings())
    assert not given_up
    return clump, found


def cover(clump, parts):
    """How many parts hold each pixel of the clump's crop."""
    counts = np.zeros(clump.mask.shape, dtype=int)
    for part in parts:
        row, column = (here - there for here, there in zip(part.origin_px, clump.origin_px, strict=True))
        counts[row : row + part.mask.shape[0], column : column + part.mask.shape[1]] += part.mask
    return counts


@pytest.mark.parametrize(
    "mask",
    [
        on_canvas((41, 69), (disc(20), 0, 0), (disc(20), 0, 28)),
        on_canvas((72, 79), (disc(20), 0, 0), (disc(18), 2, 34), (disc(19), 33, 17)),
        on_canvas((61, 110), (ellipse(30, 14, 0.4), 0, 0), (ellipse(24, 12, 1.9), 3, 50)),
    ],
)
def test_parts_are_disjoint_connected_and_hold_every_pixel(mask):
    clump, parts = separate(mask)
    assert len(parts) > 1
    np.testing.assert_array_equal(clump.mask.astype(int), cover(clump, parts))
    for part in parts:
        assert part.separated
        assert 1 == ndimage.label(part.mask, CORNERS)[1]


@pytest.mark.parametrize("distance", [24, 28, 34, 39])
def test_two_discs_are_cut_halfway(distance):
    """Equal discs: the line where they are cut lies in the middle, to a pixel."""
    clump, parts = separate(on_canvas((41, 41 + distance), (disc(20), 0, 0), (disc(20), 0, distance)))
    assert 2 == len(parts)
    half = np.count_nonzero(clump.mask) / 2
    assert [np.count_nonzero(part.mask) for part in parts] == pytest.approx([half, half], rel=0.05)


def test_peak_that_stands_out_by_less_than_the_depth_is_no_particle():
    """Discs of 20 px: the waist of half height h is 20 - h below the centres, two pixels at h = 18."""
    for distance, expected in ((16, 1), (20, 2)):
        waist = np.sqrt(20**2 - (distance / 2) ** 2)
        assert (20 - waist > watershed.PARAMETERS.depth_px) == (expected == 2)
        clump, parts = separate(
            on_canvas((41, 41 + distance), (disc(20), 0, 0), (disc(20), 0, distance)), origin=(5, 5)
        )
        assert expected == len(parts)
        if expected == 1:
            assert parts == [clump]


def test_discs_of_different_size_are_cut_nearer_to_the_small_one():
    mask = on_canvas((61, 100), (disc(30), 0, 0), (disc(12), 18, 56))
    _, parts = separate(mask)
    assert [np.count_nonzero(part.mask) for part in parts] == pytest.approx(
        [disc(30).sum(), disc(12).sum()], rel=0.06
    )


def test_touching_squares_are_separated_where_they_share_a_part_of_a_side():
    _, parts = separate(on_canvas((60, 64), (rectangle(30, 30), 0, 0), (rectangle(30, 30), 24, 30)))
    assert 2 == len(parts)


def test_result_does_not_depend_on_orientation():
    mask = on_canvas(
        (90, 80), (ellipse(20, 14, 0.5), 5, 5), (disc(15), 20, 27), (ellipse(18, 12, 1.9), 38, 15)
    )
    expected = sorted(np.count_nonzero(part.mask) for part in separate(mask)[1])
    assert 3 == len(expected)
    for turned in (np.rot90(mask), mask[::-1], mask.T):
        assert expected == sorted(np.count_nonzero(part.mask) for part in separate(turned)[1])


def test_beyond_the_border_of_the_micrograph_nothing_is_known():
    """The disc that the border halves has its peak there: it goes, and its neighbour stays whole."""
    mask = on_canvas((120, 160), (disc(20), 40, 30), (disc(20), 40, 64))[:, 50:]
    analysis = temwatch.resolve(mask, pixel_size_nm=0.1, separate="watershed")
    assert [Reason.TOUCHES_BORDER] == [rejection.reason for rejection in analysis.rejections]
    (particle,) = analysis.particles
    assert "watershed" == particle.separated_by
    assert particle.equivalent_diameter_nm == pytest.approx(4.0, rel=0.03)


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((1, 1), dtype=bool),
        np.ones((1, 90), dtype=bool),
        np.eye(40, dtype=bool),
        np.indices((30, 30)).sum(0) % 2 == 0,
        np.pad(np.zeros((30, 30), dtype=bool), 3, constant_values=True),
        np.ones((500, 500), dtype=bool),
    ],
)
def test_degenerate_clumps_lose_nothing(mask):
    shape = (500, 500) if mask.shape == (500, 500) else (600, 600)
    clump, parts = separate(mask, origin=(0, 0) if mask.shape == shape else (30, 40), shape=shape)
    np.testing.assert_array_equal(clump.mask.astype(int), cover(clump, parts))


@pytest.mark.parametrize("overlap", ["low", "high"])
def test_basins_are_those_of_scikit_image(overlap):
    """As many as extended maxima of the same depth, and 99 % of the pixels in the same one."""
    mask = np.pad(simulator.simulate_mask("ellipses", overlap, 512, seed=3).mask, 1)
    squared = squared_distances(mask)
    depth = np.sqrt(squared)
    peaks = local_maxima(reconstruction(depth - watershed.PARAMETERS.depth_px, depth)) & mask
    theirs = reference(-depth, ndimage.label(peaks, CORNERS)[0], connectivity=2, mask=mask)
    ours = watershed.basins(squared, watershed.PARAMETERS.depth_px)
    # a speck that is nowhere deeper than that has no peak there, and is kept here
    deep = np.isin(ours, np.unique(ours[depth > watershed.PARAMETERS.depth_px])) & mask
    assert theirs.max() == len(np.unique(ours[deep]))
    shared = np.zeros((ours.max() + 1, theirs.max() + 1), dtype=int)
    np.add.at(shared, (ours[deep], theirs[deep]), 1)
    assert shared.max(axis=0).sum() > 0.99 * np.count_nonzero(deep)


@pytest.mark.data
@pytest.mark.parametrize(
    ("level", "recall", "precision"), [("low", 0.98, 0.94), ("medium", 0.84, 0.9), ("high", 0.38, 0.7)]
)
def test_share_of_the_truth_that_is_found(data_folder, level, recall, precision):
    """At least what a watershed of this kind was measured to reach on these masks."""
    found = figures([golden(data_folder, name) for name in ELLIPSES[level]], "watershed")
    assert found.recall >= recall
    assert found.precision >= precision
