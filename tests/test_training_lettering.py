"""Letters burned into training tiles."""

import numpy as np

from temwatch.training.lettering import add_lettering


def test_letters_are_written_and_the_same_numbers_write_the_same():
    image = np.zeros((256, 256), np.float32)
    labels = np.zeros((256, 256), np.int32)
    first, again = (add_lettering(image, labels, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not image.any()
    assert 20 < np.count_nonzero(first) < image.size / 2
    assert np.abs(first).max() > 0.9


def test_letters_keep_off_particles_where_there_is_room():
    image = np.zeros((256, 256), np.float32)
    labels = np.zeros((256, 256), np.int32)
    labels[:, :128] = 1
    on_particles = on_background = 0
    for seed in range(160):
        ink = add_lettering(image, labels, np.random.default_rng(seed)) != 0
        on_particles += np.count_nonzero(ink[:, :128])
        on_background += np.count_nonzero(ink[:, 128:])
    assert on_background > 1.5 * on_particles


def test_a_tile_without_room_is_lettered_all_the_same():
    tile = add_lettering(
        np.zeros((32, 48), np.float32), np.ones((32, 48), np.int32), np.random.default_rng(1)
    )
    assert tile.shape == (32, 48)
    assert np.isfinite(tile).all()
