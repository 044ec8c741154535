"""Preparation and masking on the network's device against the same in numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

import segmentation_reference as reference
from temwatch.analysis.segmentation import connected_parts, deeplab, masking, neighbours, preprocessing

SHAPES = [(1, 1), (2, 3), (5, 70), (63, 64), (257, 190)]


def micrograph(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Blobs and noise, with an offset far above the contrast."""
    random = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(random.normal(0, 1, shape), 5, mode="nearest")
    return (5000 + 30 * (blobs > 0.03) + random.normal(0, 4, shape)).astype(np.float32)


def probabilities(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Large parts with holes, and small ones."""
    random = np.random.default_rng(seed)
    wide, fine = (ndimage.gaussian_filter(random.normal(0, 1, shape), sigma) for sigma in (7, 2))
    return (1 / (1 + np.exp(-60 * wide - 9 * fine))).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_levels_and_noise_are_those_of_numpy(shape):
    images = np.stack([micrograph(shape, seed) for seed in range(3)])
    images[1] = 7
    images[2, 0, 0] = np.nan
    expected = np.stack([reference.normalised(image) for image in images])

    batch = preprocessing.prepared_batch(torch.from_numpy(images.copy()), preprocessing.NAME)

    assert np.abs(batch.pixels.numpy() - expected).max() < 1e-4
    assert batch.noise == pytest.approx([neighbours.noise(image) for image in expected], abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_originals_preparation_is_that_of_scipy(shape):
    images = np.stack([micrograph(shape, seed) for seed in range(2)])

    found = preprocessing.antema(torch.from_numpy(images.copy()))

    assert np.abs(found.numpy() - np.stack([reference.antema(image) for image in images])).max() < 2e-3


def test_order_statistics_are_exact():
    values = np.abs(np.random.default_rng(0).normal(0, 1, 5000)).astype(np.float32)
    values[:1000] = 0
    values[1000:2000] = 0.5
    ranks = [0, 999, 1000, 2500, 4998, 4999]

    assert np.sort(values)[ranks].tolist() == preprocessing.order_statistics(torch.from_numpy(values), ranks)


@pytest.mark.parametrize("seed", range(4))
def test_masks_are_those_of_scipy(seed):
    shape = (220, 300)
    probability, pixels = probabilities(shape, seed), reference.normalised(micrograph(shape, seed))
    level, dice = reference.best_threshold(probability)
    parts = reference.sure_parts(probability)

    best = masking.best_threshold(torch.from_numpy(probability))
    found = connected_parts.sure_parts(probability > 0.5, probability > 0.9)

    assert (level, dice) == pytest.approx(tuple(best), abs=1e-3)
    assert 0 < np.count_nonzero(parts) < np.count_nonzero(probability > 0.5)
    assert np.array_equal(parts, found)
    assert reference.typical_diameter_px(parts) == connected_parts.typical_diameter_px(parts)
    filled = reference.with_dark_holes(parts, pixels)
    assert np.count_nonzero(filled) > np.count_nonzero(parts)
    assert np.array_equal(filled, connected_parts.with_dark_holes(parts, pixels))


class Brightness(torch.nn.Module):
    """Dark pixels are particle."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(-4.0), requires_grad=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * self.factor


@pytest.mark.parametrize("dark", [True, False])
def test_several_at_once_are_as_each_alone_and_the_images_stay(dark):
    images = [micrograph((96, 128), seed) for seed in range(3)]
    images.insert(1, np.full((96, 128), 3, np.float32))
    copies = [image.copy() for image in images]
    description = deeplab.weights.Description(
        classes=("mask",), preprocessing=preprocessing.NAME, temwatch_version="0", half_size_from_px=40.0
    )

    together = deeplab.segmentations(Brightness(), images, description, dark=dark, together=4)

    for found, image, copy in zip(together, images, copies, strict=True):
        (alone,) = deeplab.segmentations(Brightness(), [image], description, dark=dark)
        assert np.array_equal(alone.mask, found.mask)
        assert np.array_equal(image, copy)
    assert [bool(found.mask.any()) for found in together] == [True, False, True, True]
