"""Masks and regions come back bit for bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from temwatch.domain import Region
from temwatch.ledger.packing import pack_mask, pack_regions, unpack_mask, unpack_regions

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@given(MASKS)
def test_masks(mask):
    back = unpack_mask(pack_mask(mask), mask.shape)
    assert (mask.dtype, mask.tolist()) == (back.dtype, back.tolist())


@given(st.lists(st.builds(Region, origin_px=st.tuples(st.integers(0, 99), st.integers(0, 99)), mask=MASKS)))
def test_regions(regions):
    boxes = [(*r.origin_px[::-1], *r.mask.shape[::-1], r.separated) for r in regions]
    back = unpack_regions(pack_regions(regions), boxes)
    assert [(r.origin_px, r.mask.tolist()) for r in regions] == [(r.origin_px, r.mask.tolist()) for r in back]


def test_a_mask_packs_to_a_fraction_of_its_bits():
    """2048 px with a disc: 4 MB of booleans become a few kB."""
    y, x = np.mgrid[:2048, :2048]
    assert len(pack_mask((y - 1000) ** 2 + (x - 900) ** 2 < 500**2)) < 10_000
