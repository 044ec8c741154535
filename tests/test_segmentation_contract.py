"""What holds for every segmenter; a new one in SEGMENTERS is tested at once."""

from typing import get_args

import numpy as np
import pytest
from scipy import ndimage

from networks import description, random_network
from temwatch.analysis.segmentation import SEGMENTERS, build, deeplab, preprocessing, weights
from temwatch.choices import SegmentationMethod
from temwatch.config import SegmentationSettings

VARIANTS = [(method, "") for method in sorted(SEGMENTERS) if method != "deeplab"]
VARIANTS += [("deeplab", architecture) for architecture in weights.ARCHITECTURES]


@pytest.fixture(scope="module", params=VARIANTS, ids=" ".join)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Every method, with random weights of every network."""
    method, architecture = request.param
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    if architecture:
        described = description(architecture)
        image = preprocessing.prepared(micrograph((256, 256)), described.preprocessing).pixels
        net = random_network(architecture, len(described.classes), image)
        deeplab.save(net, path, described)
    return SegmentationSettings(method=method, weights=path, device="cpu")


def micrograph(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Dark blobs on a noisy bright background."""
    random = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(random.normal(size=shape), 8) > 0.02
    return (1000 + random.normal(0, 10, shape) - 100 * blobs).astype(np.float32)


SHAPES = [(1, 1), (1, 40), (2, 3), (33, 47), (256, 256), (130, 301)]


def test_every_choice_of_the_configuration_is_a_segmenter_and_every_segmenter_a_choice():
    assert set(get_args(SegmentationMethod)) == set(SEGMENTERS)


def test_a_batch_of_any_sizes_gives_masks_of_the_same_sizes(settings):
    found = build(settings).segment([micrograph(shape) for shape in SHAPES])

    assert [segmentation.mask.shape for segmentation in found] == SHAPES
    assert {segmentation.mask.dtype for segmentation in found} == {np.dtype(bool)}
    for segmentation in found:
        assert segmentation.contacts is None or segmentation.contacts.shape == segmentation.mask.shape


def test_an_empty_batch_gives_an_empty_list(settings):
    assert build(settings).segment([]) == []


def test_an_image_gives_the_same_mask_again_and_in_any_company(settings):
    segmenter = build(settings)
    image, other = micrograph((128, 150)), micrograph((64, 64), seed=1)

    alone = segmenter.segment([image])[0].mask
    again = build(settings).segment([other, image])[1].mask

    assert 0 < np.mean(alone) < 1
    assert np.array_equal(alone, again)


@pytest.mark.parametrize("value", [0.0, -1.0, 6e4])
def test_an_image_of_one_value_has_no_particle(settings, value):
    assert not build(settings).segment([np.full((70, 50), value, np.float32)])[0].mask.any()


def test_the_image_is_left_as_it_was(settings):
    image = micrograph((64, 64))
    before = image.copy()
    build(settings).segment([image])
    assert np.array_equal(before, image)


def test_pixels_that_are_not_finite_do_not_change_the_rest_of_the_picture(settings):
    image = micrograph((256, 256))
    holed = image.copy()
    holed[10, 10:12], holed[20, 20] = np.nan, np.inf

    whole, found = build(settings).segment([image, holed])

    assert np.mean(whole.mask == found.mask) > 0.98
    nothing = build(settings).segment([np.full((20, 20), np.nan, np.float32)])[0]
    assert not nothing.mask.any()


def test_bright_particles_are_dark_ones_with_the_sign_turned(settings):
    image = micrograph((128, 128))
    bright = build(settings.model_copy(update={"particles": "bright"}))

    assert np.array_equal(build(settings).segment([image])[0].mask, bright.segment([-image])[0].mask)


def test_gain_and_offset_of_the_detector_change_next_to_nothing(settings):
    image = micrograph((256, 256))
    one, other = build(settings).segment([image, image * 3 + 20000])
    assert np.mean(one.mask == other.mask) > 0.98


def test_what_decides_the_numbers_is_in_the_parameters(settings):
    bright = settings.model_copy(update={"particles": "bright"})
    assert build(settings).parameters != build(bright).parameters
    assert settings.method == build(settings).name
