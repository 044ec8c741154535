"""What must hold for any region, found by hypothesis among random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from analytic_shapes import cropped
from temwatch import descriptors
from temwatch.analysis.measurement import shape


@st.composite
def connected_regions(draw):
    """The largest 8-connected part of a smoothed random picture."""
    size = draw(array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
    noise = draw(arrays(np.bool_, size, elements=st.booleans(), fill=st.booleans()))
    picture = ndimage.uniform_filter(noise.astype(float), draw(st.sampled_from([1, 3, 5]))) >= 0.5
    labels, count = ndimage.label(picture, np.ones((3, 3)))
    if not count:
        return np.ones((1, 1), dtype=bool)
    return cropped(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


@settings(max_examples=150, deadline=None)
@given(connected_regions())
def test_turning_and_mirroring_change_nothing(mask):
    original = shape.outline(mask)
    for changed in (np.rot90(mask), np.rot90(mask, 2), mask[::-1], mask.T):
        found = shape.outline(changed)
        assert found.area == original.area
        for name in ("perimeter", "hull_perimeter", "hull_area", "feret_min", "feret_max"):
            assert getattr(found, name) == pytest.approx(getattr(original, name), rel=1e-9)


@settings(max_examples=150, deadline=None)
@given(connected_regions())
def test_descriptors_keep_to_their_bounds(mask):
    outline = shape.outline(mask)
    assert np.isfinite(outline._replace(contrast=0.0, confidence=0.0)).all()  # not of the shape
    assert 0 < descriptors.convexity(outline) <= 1
    assert 0 < descriptors.solidity(outline) <= 1
    assert descriptors.aspect_ratio(outline) >= 1
    assert 1 <= outline.feret_min <= outline.feret_max <= np.hypot(*mask.shape) + 1e-9
    assert 0 <= outline.centroid_row <= mask.shape[0] - 1


@settings(max_examples=150, deadline=None)
@given(connected_regions())
def test_hull_of_pixels_is_convex_itself(mask):
    """The pixels of a region's hull have that hull, so their convexity and solidity are exactly 1."""
    rows, columns = np.nonzero(mask)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    inside = np.ones(mask.shape, dtype=bool)
    for turn in {(a, b) for a in range(-24, 25) for b in range(-24, 25) if np.gcd(a, b) == 1}:
        inside &= turn[0] * y + turn[1] * x <= (turn[0] * rows + turn[1] * columns).max()
    assert shape.outline(mask).hull_area == inside.sum()
    hull = shape.outline(inside)
    assert descriptors.solidity(hull) == 1
    assert descriptors.convexity(hull) == 1
