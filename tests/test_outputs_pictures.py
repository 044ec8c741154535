"""The three pictures: sizes, grey values, colours, scale bar."""

import doctest

import numpy as np
import pytest
from PIL import Image

from temwatch import fonts
from temwatch.descriptors import NAMES
from temwatch.domain import Analysis, Method, Particle, Reason, Region, Rejection
from temwatch.outputs import pictures

METHOD = Method(segmentation="", separation="none", parameters=(), software_version="0")


def load(path):
    with Image.open(path) as picture:
        return np.array(picture)


def disc(row, column, radius, *, separated=False):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return Region(
        origin_px=(row - radius, column - radius), mask=x**2 + y**2 <= radius**2, separated=separated
    )


def particle(region, *, overlapping=False):
    return Particle(descriptors=dict.fromkeys(NAMES, 1.0), overlapping=overlapping, region=region)


@pytest.fixture
def analysis():
    regions = [disc(60, 60, 20), disc(60, 140, 20, separated=True), disc(60, 200, 12)]
    mask = np.zeros((256, 320), bool)
    for region in [*regions, disc(150, 200, 9)]:
        (row, column), (height, width) = region.origin_px, region.mask.shape
        mask[row : row + height, column : column + width] |= region.mask
    removed = np.zeros_like(mask)
    removed[240, 300] = True
    return Analysis(
        mask=mask,
        particles=(particle(regions[0]), particle(regions[1]), particle(regions[2], overlapping=True)),
        rejections=(Rejection(region=disc(150, 200, 9), reason=Reason.NOT_SEPARABLE),),
        method=METHOD,
        pixel_size_nm=0.2,
        removed=removed,
    )


def test_the_three_pictures(tmp_path, analysis):
    """Full size; the mask is 0 and 255 without a scale bar; each kind has its colour on the outline."""
    image = np.random.default_rng(0).normal(100, 5, (256, 320)).astype(np.float32)
    pictures.write_pictures(tmp_path, "Au_1", image, analysis)
    assert ["Au_1_mask.png", "Au_1_micrograph.png", "Au_1_overlay.png"] == sorted(
        p.name for p in tmp_path.iterdir()
    )
    mask, overlay, grey = (load(tmp_path / f"Au_1_{kind}.png") for kind in ("mask", "overlay", "micrograph"))
    assert np.array_equal(mask, analysis.mask.astype(np.uint8) * 255)
    assert pictures.ALONE == tuple(overlay[60, 40])
    assert pictures.SEPARATED == tuple(overlay[60, 120])
    assert pictures.OVERLAPPING == tuple(overlay[60, 188])
    assert pictures.REJECTED == tuple(overlay[150, 191])
    assert pictures.REMOVED == tuple(overlay[240, 300])
    assert tuple(overlay[60, 60]) == (grey[60, 60],) * 3


def test_views_can_be_made_again_from_the_published_micrograph(tmp_path, analysis):
    """The overlay does not need the original file."""
    image = np.random.default_rng(0).normal(100, 5, (256, 320)).astype(np.float32)
    pictures.write_pictures(tmp_path, "a", image, analysis)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with Image.open(tmp_path / "a_micrograph.png") as published:
        pictures.write_views(tmp_path, "a", published, analysis)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("size", [(256, 256), (1024, 1024), (4096, 4096), (600, 2000)])
def test_the_scale_bar_has_the_length_it_says(size):
    """White pixels of the bar's row times the pixel size are the round length."""
    picture = Image.new("L", size[::-1], 128)
    pictures.draw_scale_bar(picture, 0.1)
    array = np.array(picture)
    row = max(range(size[0]), key=lambda y: (array[y] == 245).sum())
    length_nm = pictures.round_length_nm(size[1] * 0.1 / 5)
    assert round(length_nm / 0.1) == (array[row] == 245).sum()
    assert 0.1 < length_nm / (size[1] * 0.1) < 0.4


def test_a_tiny_or_flat_micrograph_is_no_trouble(tmp_path):
    """It has no room for a scale bar, and no contrast to stretch."""
    analysis = Analysis(
        mask=np.zeros((9, 12), bool), particles=(), rejections=(), method=METHOD, pixel_size_nm=1.0
    )
    pictures.write_pictures(tmp_path, "a", np.full((9, 12), 7, np.float32), analysis)
    assert (9, 12, 3) == load(tmp_path / "a_overlay.png").shape


def test_examples():
    """What the docstrings show is so."""
    assert 0 == doctest.testmod(pictures).failed


def test_every_letter_of_a_scale_bar_is_drawn():
    """A font without the letter draws the same box for all of them."""
    font = fonts.truetype(24)
    drawn = [bytes(font.getmask(letter)) for letter in "µÅ²0\U0010ffff"]
    assert len(drawn) == len(set(drawn))
