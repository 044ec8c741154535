"""Labelled micrographs: what is read, what is refused in one line, and that no source is on both sides."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from temwatch.errors import UsageError
from temwatch.training.datasets import LabelledMicrograph, divide, load


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).save(path)


def noise(shape=(40, 50)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def test_instances_keep_their_numbers_apart_and_come_normalised(tmp_path):
    labels = np.zeros((40, 50), np.uint16)
    labels[5:10, 5:10], labels[5:10, 10:15], labels[20:30, 20:30] = 7, 300, 65535
    write(tmp_path / "images" / "a.png", noise())
    write(tmp_path / "instances" / "a.png", labels)

    (item,) = load(tmp_path)

    assert [0, 1, 2, 3] == np.unique(item.labels).tolist()
    assert item.instances
    assert np.array_equal(labels > 0, item.labels > 0)
    assert -4 <= item.image.min() < item.image.max() <= 4


def test_a_picture_full_of_particle_has_no_background(tmp_path):
    write(tmp_path / "images" / "a.png", noise())
    write(tmp_path / "instances" / "a.png", np.full((40, 50), 9, np.uint16))
    assert [1] == np.unique(load(tmp_path)[0].labels).tolist()


def test_in_masks_255_is_particle_and_other_classes_are_background(tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[5:10, 5:10], mask[20:30, 20:30] = 255, 127
    write(tmp_path / "images" / "a.png", noise())
    write(tmp_path / "masks" / "a.png", mask)

    (item,) = load(tmp_path)

    assert not item.instances
    assert np.array_equal(mask == 255, item.labels > 0)


def test_masks_of_zeros_and_ones_are_taken_too(tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[5:10, 5:10] = 1
    write(tmp_path / "images" / "a.png", noise((40, 50, 3)))
    write(tmp_path / "masks" / "a.png", mask)
    assert np.count_nonzero(load(tmp_path)[0].labels) == 25


def test_a_folder_of_data_sets_is_all_of_them_and_the_index_names_sources(tmp_path):
    for name in ("one", "two"):
        for stem in ("a", "b"):
            write(tmp_path / name / "images" / f"{stem}.png", noise())
            write(tmp_path / name / "instances" / f"{stem}.png", np.zeros((40, 50), np.uint8))
    (tmp_path / "one" / "index.csv").write_text("id,doi\na,10.1/x\nb,10.1/y\n")

    found = load(tmp_path)

    assert [item.name for item in found] == ["one/a", "one/b", "two/a", "two/b"]
    assert [item.source for item in found] == ["10.1/x", "10.1/y", "two", "two"]


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_work_is_refused_in_one_line(tmp_path):
    assert "no such folder" in refusal(tmp_path / "none")
    assert "no data set" in refusal(tmp_path)

    write(tmp_path / "images" / "a.png", noise())
    assert "no data set" in refusal(tmp_path)

    (tmp_path / "masks").mkdir()
    assert "no labels of this name" in refusal(tmp_path)

    write(tmp_path / "masks" / "a.png", np.zeros((10, 10), np.uint8))
    assert "do not fit" in refusal(tmp_path)

    write(tmp_path / "masks" / "a.png", np.zeros((40, 50, 3), np.uint8))
    assert "one channel" in refusal(tmp_path)

    (tmp_path / "masks" / "a.png").write_bytes(b"nothing")
    assert "cannot be read" in refusal(tmp_path)


def test_an_empty_data_set_is_refused(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    assert "no picture" in refusal(tmp_path)


@settings(deadline=None)  # the machine may be busy
@given(
    sizes=st.lists(st.integers(1, 9), min_size=5, max_size=40),
    seed=st.integers(0, 9),
)
def test_every_micrograph_is_in_one_part_and_every_source_too(sizes, seed):
    blank = np.zeros((1, 1))
    items = [
        LabelledMicrograph(
            name=f"{source}/{n}", source=str(source), image=blank, labels=blank.astype(np.int32)
        )
        for source, size in enumerate(sizes)
        for n in range(size)
    ]

    parts = divide(items, (0.6, 0.2, 0.2), seed)

    assert sorted(item.name for item in items) == sorted(item.name for part in parts for item in part)
    sources = [{item.source for item in part} for part in parts]
    assert len(set.union(*sources)) == sum(map(len, sources))
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(part) - share * len(items)) <= max(sizes)
    assert parts == divide(items, (0.6, 0.2, 0.2), seed)
