"""`temwatch corrections`: edited label images become a training set, from which `train` goes on."""

import csv
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

import system
from temwatch import formats
from temwatch.analysis.segmentation import weights
from temwatch.commands import train as command
from temwatch.errors import UsageError
from temwatch.ledger import Reader
from temwatch.outputs import exports
from temwatch.training import corrections, datasets
from temwatch.training.recipes import RECIPES


@pytest.fixture(scope="module")
def exported(analysed, tmp_path_factory):
    """The label images of a sample, as exported."""
    folder = tmp_path_factory.mktemp("exported")
    with Reader(analysed / "results" / ".temwatch") as reader:
        return folder, list(exports.export(reader, folder, "Au", ["labels"]))


@pytest.fixture
def labels(exported, tmp_path):
    """A copy that may be edited."""
    return shutil.copytree(exported[0], tmp_path / "labels")


def correct(analysed, labels, data, *options):
    results = analysed / "results"
    return system.command("corrections", "--results", results, "Au", labels, "--output", data, *options)


def edit(labels, number=1, change=None):
    """What somebody does in napari: one particle taken away, one painted anew; saved as it saves it."""
    (path,) = labels.rglob(f"Au_{number:02d}_labels.ome.tif")
    planes = tifffile.imread(path).reshape(-1, *tifffile.imread(path).shape[-2:])
    flat = planes.max(0).astype(np.int32)
    flat[flat == flat[flat > 0].min()] = 0
    flat[5:20, 7:22] = 9000
    path.unlink()
    tifffile.imwrite(path.with_name(f"Au_{number:02d}_labels.tif"), flat if change is None else change(flat))
    return flat


def index(data):
    with (data / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_corrected_is_there_to_learn_from(analysed, labels, tmp_path):
    """Labels as edited, the micrograph as it was read, the sample as its source; the rest is left out."""
    flat = edit(labels)
    done = correct(analysed, labels, tmp_path / "data")
    assert (0, "") == (done.returncode, done.stderr)
    assert "1 micrograph in" in done.stdout
    assert "3 label images as exported" in done.stdout
    (item,) = datasets.load(tmp_path / "data")
    numbers = np.unique(flat)
    np.testing.assert_array_equal(np.searchsorted(numbers, flat), item.labels)
    assert (True, "Au", "data/Au_Au_01") == (item.instances, item.source, item.name)
    original = formats.read(analysed / "acquisition" / "Au" / "Au_01.dm3")
    picture = tifffile.imread(tmp_path / "data" / "images" / "Au_Au_01.tif")
    np.testing.assert_array_equal(original.image, picture)
    (row,) = index(tmp_path / "data")
    assert ("Au/Au_01.dm3", original.sha256) == (row["micrograph"], row["sha256"])


def test_nothing_corrected_writes_nothing(analysed, labels, tmp_path):
    """A network does not learn from what it found itself unless somebody says that it is right."""
    done = correct(analysed, labels, tmp_path / "data")
    assert (0, False) == (done.returncode, (tmp_path / "data").exists())
    done = correct(analysed, labels, tmp_path / "data", "--all")
    assert "4 micrographs in" in done.stdout
    assert 4 == len(datasets.load(tmp_path / "data"))


def test_a_later_correction_stands_in_place_of_the_earlier(analysed, labels, tmp_path):
    """Other micrographs of the set and columns of its index stay."""
    data = tmp_path / "data"
    correct(analysed, labels, data, "--all")
    rows = index(data)
    with (data / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "who"])
        writer.writeheader()
        writer.writerows([row | {"who": "me"} for row in rows] + [{"id": "Pt_1", "source": "Pt"}])
    edit(labels, 2)
    assert 0 == correct(analysed, labels, data).returncode
    after = index(data)
    assert [*(row["id"] for row in rows), "Pt_1"] == [row["id"] for row in after]
    assert {"Au_Au_02", "Pt_1"} == {row["id"] for row in after if row["who"] != "me"}
    labels_of = {item.name: item.labels for item in datasets.load(data)}
    assert labels_of["data/Au_Au_02"][5:20, 7:22].min() > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda flat: flat[:-1], "has the shape"),
        (lambda flat: -flat, "whole numbers"),
        (lambda flat: flat + 0.5, "whole numbers"),
        (lambda flat: np.dstack([flat] * 3).astype(np.uint8), "has the shape"),
        (lambda flat: flat > 0, "whole numbers"),
    ],
)
def test_what_is_no_label_image_is_named(analysed, labels, tmp_path, change, said):
    """One line each; the others are written all the same."""
    edit(labels, 1, change)
    edit(labels, 2)
    done = correct(analysed, labels, tmp_path / "data")
    assert 1 == done.returncode
    assert 1 == len(done.stderr.splitlines())
    assert "Au_01_labels.tif" in done.stderr
    assert said in done.stderr
    assert ["data/Au_Au_02"] == [item.name for item in datasets.load(tmp_path / "data")]


def test_whole_numbers_of_other_types_are_labels(analysed, labels, tmp_path):
    """ImageJ saves 32 bits as floating point; one plane more in front of it does no harm."""
    edit(labels, 1, lambda flat: flat.astype(np.float32)[np.newaxis])
    assert 0 == correct(analysed, labels, tmp_path / "data").returncode
    assert 1 == len(datasets.load(tmp_path / "data"))


def test_files_that_fit_to_nothing(analysed, labels, tmp_path):
    """An unknown name, two of one micrograph, no folder, nothing in it."""
    tifffile.imwrite(labels / "other.tif", np.zeros((4, 4), np.uint8))
    done = correct(analysed, labels, tmp_path / "data")
    assert (1, True) == (done.returncode, "other.tif: Au has no analysed micrograph" in done.stderr)
    (path,) = labels.rglob("Au_01_labels.ome.tif")
    shutil.copy(path, labels / "Au_01.tif")
    assert 2 == correct(analysed, labels, tmp_path / "data").returncode
    assert 2 == correct(analysed, tmp_path / "nowhere", tmp_path / "data").returncode
    (tmp_path / "empty").mkdir()
    assert "no label image" in correct(analysed, tmp_path / "empty", tmp_path / "data").stderr


def test_a_micrograph_that_is_gone(analysed, labels, tmp_path, monkeypatch):
    """Or another file by now: labels do not fit to it."""
    edit(labels)
    monkeypatch.setattr("temwatch.training.corrections.originals.image", lambda _: None)
    done = correct(analysed, labels, tmp_path / "data")
    assert (1, True) == (done.returncode, "Au/Au_01.dm3 is gone" in done.stderr)


def test_of_bright_particles_the_negative_is_learned(analysed, labels, tmp_path):
    """As the network sees them."""
    edit(labels)
    options = {"unchanged_too": False, "bright": True, "advance": lambda: None}
    with Reader(analysed / "results" / ".temwatch") as reader:
        corrections.write(reader, "Au", labels, tmp_path / "data", **options)
    original = formats.read(analysed / "acquisition" / "Au" / "Au_01.dm3").image
    np.testing.assert_array_equal(-original, tifffile.imread(tmp_path / "data" / "images" / "Au_Au_01.tif"))


def _items(folder, number):
    """A data set of one source."""
    (folder / "images").mkdir(parents=True)
    (folder / "instances").mkdir()
    for place in range(number):
        for kind in ("images", "instances"):
            Image.fromarray(np.eye(20, dtype=np.uint8)).save(folder / kind / f"{place}.png")
    return datasets.load(folder)


def test_one_source_is_divided_by_micrograph_and_it_is_said(tmp_path):
    """Several sources are divided as ever."""
    items = _items(tmp_path / "Au", 5)
    (training, validation), said = datasets.divide_any(items, (0.8, 0.2), 0)
    assert (4, 1) == (len(training), len(validation))
    assert sorted(item.name for item in items) == sorted(item.name for item in training + validation)
    assert "by micrograph" in said
    assert "one source (Au)" in said
    others = [replace(item, source=str(number)) for number, item in enumerate(items)]
    assert (datasets.divide(others, (0.8, 0.2), 0), "") == datasets.divide_any(others, (0.8, 0.2), 0)


@pytest.mark.parametrize(("number", "shares"), [(1, (0.8, 0.2)), (2, (0.6, 0.2, 0.2))])
def test_too_few_micrographs_serve_for_every_part(tmp_path, number, shares):
    """A score is then of what was learned, and it is said."""
    items = _items(tmp_path / "Au", number)
    parts, said = datasets.divide_any(items, shares, 0)
    assert [items] * len(shares) == parts
    assert "learned from" in said


def test_training_starts_from_the_shipped_weights(tmp_path):
    """`--start-from default` finds them, and takes the recipe that is of their network."""
    recipe, start_from = command.beginning(SimpleNamespace(recipe=None, start_from="default"))
    assert RECIPES["refine"] is recipe
    assert weights.default_weights() == start_from
    assert recipe.architecture == weights.read(start_from).description.architecture
    own = tmp_path / "own.safetensors"
    assert (RECIPES["paper"], own) == command.beginning(SimpleNamespace(recipe=None, start_from=own))
    assert (RECIPES["temwatch"], None) == command.beginning(
        SimpleNamespace(recipe="temwatch", start_from=None)
    )


def test_a_checkout_without_weights_says_so(monkeypatch):
    """One line."""
    monkeypatch.setattr(command.weights, "default_weights", lambda: None)
    with pytest.raises(UsageError, match="--start-from default"):
        command.beginning(SimpleNamespace(recipe=None, start_from="default"))


def test_micrographs_of_equal_names_stand_beside_each_other(analysed, labels, tmp_path):
    """`Au` with `Au_01` and another sample with a name that ends so; corrected again, each keeps its name."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "index.csv").write_text("id,source,micrograph,sha256\nAu_Au_01,Au_Au,Au_Au/01.dm3,12\n")
    edit(labels)
    assert 0 == correct(analysed, labels, data).returncode
    names = ["Au_Au_01", "Au_Au_01_2"]
    assert names == [row["id"] for row in index(data)]
    assert ["Au_Au_01_2.tif"] == [path.name for path in (data / "images").iterdir()]
    assert 0 == correct(analysed, labels, data).returncode
    assert names == [row["id"] for row in index(data)]


def test_an_index_that_is_no_table_is_named_before_anything_is_written(analysed, labels, tmp_path):
    """One line and exit code 2, whatever the csv reader stumbles over."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "index.csv").write_text('id,source\n"' + 200_000 * "x")
    edit(labels)
    done = correct(analysed, labels, data)
    assert (2, 1) == (done.returncode, done.stderr.count("\n"))
    assert "index.csv: is no csv text" in done.stderr
    assert not (data / "images").exists()
