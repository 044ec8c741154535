"""Masks that no micrograph should give, and some will: a sound result, soon."""

import time

import numpy as np
import pytest

import temwatch
from analytic_shapes import disc
from temwatch.analysis.separation import SEPARATORS
from temwatch.config import SeparationSettings
from temwatch.domain import Reason

SIZE = 1024
SOON_S = 30
"""CPU seconds that no busy machine takes; what grows with the square of the size takes minutes."""
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


def blank():
    return np.zeros((SIZE, SIZE), dtype=bool)


def one_pixel():
    mask = blank()
    mask[5, 5] = True
    return mask


def line():
    mask = blank()
    mask[100, 10:1000] = True
    return mask


def ring():
    radius = np.hypot(ROWS - 512, COLUMNS - 512)
    return (radius < 450) & (radius > 400)


def checkerboard():
    mask = (ROWS + COLUMNS) % 2 == 0
    mask[[0, -1]] = mask[:, [0, -1]] = False
    return mask


def specks(size=SIZE, count=5000):
    mask = np.zeros((size, size), dtype=bool)
    places = np.random.default_rng(0).choice((size // 4 - 2) ** 2, count, replace=False)
    mask[4 + 4 * (places // (size // 4 - 2)), 4 + 4 * (places % (size // 4 - 2))] = True
    return mask


def one_clump(size=2048):
    """Discs of 18 px over the whole picture, most of them overlapping several others."""
    mask = np.zeros((size, size), dtype=bool)
    for row, column in np.random.default_rng(0).integers(0, size - 37, (9000, 2)):
        mask[row : row + 37, column : column + 37] |= disc(18)
    return mask


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    from temwatch.analysis.pipeline import warm_up

    warm_up(SEPARATORS)


@pytest.mark.parametrize("method", SEPARATORS)
@pytest.mark.parametrize(
    ("picture", "particles"),
    [
        (blank, 0),
        (lambda: ~blank(), 0),
        (one_pixel, 1),
        (line, 1),
        (ring, 1),
        (checkerboard, 1),
        (specks, 5000),
        (one_clump, None),
    ],
)
def test_degenerate_mask(picture, particles, method):
    mask = picture()
    started = time.process_time()
    analysis = temwatch.resolve(mask, pixel_size_nm=0.5, separate=method)
    assert time.process_time() - started < SOON_S
    if particles is not None:
        assert len(analysis.particles) == particles
    measured = analysis.table()[["area_nm2", "feret_min_nm", "perimeter_nm", "circularity", "convexity"]]
    assert np.isfinite(measured.to_numpy()).all()
    assert (measured.to_numpy() > 0).all()


def test_specks_are_rejected_one_by_one_and_fast():
    mask = specks(2048, 20000)
    started = time.process_time()
    analysis = temwatch.resolve(mask, pixel_size_nm=0.1)
    assert time.process_time() - started < SOON_S
    assert [rejection.reason for rejection in analysis.rejections] == [Reason.TOO_SMALL] * 20000
    assert not analysis.mask.any()


def test_full_picture_is_one_particle_on_the_border():
    analysis = temwatch.resolve(~blank(), pixel_size_nm=0.1)
    assert [rejection.reason for rejection in analysis.rejections] == [Reason.TOUCHES_BORDER]
    assert analysis.particle_fraction == 1


@pytest.mark.parametrize("largest", [1e18, 1e300])
@pytest.mark.parametrize("key", ["min_diameter_px", "min_diameter_nm"])
def test_a_smallest_diameter_beyond_every_picture_rejects_all(key, largest):
    """Nothing overflows."""
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    settings = SeparationSettings.model_validate({key: largest})
    found = temwatch.resolve(mask, pixel_size_nm=0.1, settings=settings)
    assert [] == list(found.particles)
