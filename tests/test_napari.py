"""napari opens results and saves labels by what the manifest names; napari itself is not needed."""

import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import ome_types
import pytest
import tifffile
import yaml

import system
import temwatch
import throwaway_environment
from temwatch.formats import READERS, UNCALIBRATED

PACKAGE = Path(temwatch.__file__).parent
MANIFEST = yaml.safe_load((PACKAGE / "napari.yaml").read_text(encoding="utf-8"))


def contributed(kind):
    """The function of the only contribution of a kind that the manifest names."""
    (contribution,) = MANIFEST["contributions"][kind]
    commands = {one["id"]: one["python_name"] for one in MANIFEST["contributions"]["commands"]}
    module, name = commands[contribution["command"]].split(":")
    return getattr(importlib.import_module(module), name)


@pytest.fixture(scope="module")
def get_reader():
    return contributed("readers")


@pytest.fixture(scope="module")
def write():
    return contributed("writers")


def test_the_manifest_is_found_and_offers_every_calibrated_format():
    """By the entry point of the package; pictures without a pixel size are left to napari."""
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())["project"]
    assert {"temwatch": "temwatch:napari.yaml"} == project["entry-points"]["napari.manifest"]
    (reader,) = MANIFEST["contributions"]["readers"]
    assert {f"*{end}" for end in READERS if end not in UNCALIBRATED} == set(reader["filename_patterns"])
    assert reader["accepts_directories"]


def test_a_micrograph_is_an_image_in_nm(get_reader, analysed):
    path = str(analysed / "acquisition" / "Au" / "Au_01.dm3")
    ((image, about, kind),) = get_reader(path)(path)
    expected = temwatch.read(path)
    assert "image" == kind
    assert np.array_equal(expected.image, image)
    assert (expected.pixel_size_nm,) * 2 == about["scale"]


def test_results_are_pictures_and_labels_with_the_numbers_of_the_table(get_reader, analysed):
    """Every particle whole on one plane, with its descriptors."""
    folder = str(analysed / "results" / "Au")
    layers = get_reader(folder)(folder)
    results = temwatch.read_results(folder)
    assert ["image", "labels"] * 4 == [kind for _, _, kind in layers]
    assert [True, True] + [False] * 6 == [about["visible"] for _, about, _ in layers]
    micrograph = results.particles["micrograph"].iloc[0]
    rows = results.particles[results.particles["micrograph"] == micrograph]
    data, about, _ = layers[1]
    assert set(rows["particle"]) == set(np.unique(data)) - {0}
    assert rows["particle"].to_list() == about["features"]["index"]
    found = about["features"]["equivalent_diameter_nm"]
    assert rows["equivalent_diameter_nm"].to_list() == pytest.approx(found, rel=1e-6)
    assert rows["pixel_size_nm"].iloc[0] == pytest.approx(about["scale"][-1], rel=1e-6)


def test_the_folder_of_one_micrograph_is_that_one(get_reader, analysed):
    folder = str(next((analysed / "results" / "Au" / "micrographs").iterdir()))
    (_, about, _), (_, labels, _) = get_reader([folder])([folder])
    assert Path(folder).name == about["name"]
    assert f"{about['name']}_labels" == labels["name"]


def test_what_is_not_of_temwatch_is_left_to_others(get_reader, tmp_path):
    (tmp_path / "a.txt").touch()
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "a.txt")) is None
    assert get_reader(str(tmp_path / "none.dm3")) is None


def test_saved_labels_are_those_that_corrections_take(get_reader, write, analysed, tmp_path):
    """Under the name of the layer, with the numbers, the planes and the pixel size."""
    folder = str(next((analysed / "results" / "Au" / "micrographs").iterdir()))
    _, (data, about, _) = get_reader(folder)(folder)
    edited = np.stack([data, np.zeros_like(data)]).astype(np.int64)
    edited[0][edited[0] == edited[0].max()] = 0
    edited[1][5:20, 7:22] = 9000
    path = tmp_path / f"{about['name']}.tif"
    assert [str(path)] == write(str(path), edited, about)
    assert np.array_equal(edited, tifffile.imread(path))
    pixels = ome_types.from_tiff(path).images[0].pixels
    assert about["scale"][-1] == pytest.approx(pixels.physical_size_x)
    assert ("nm", about["scale"][-1]) == (pixels.physical_size_y_unit.value, pixels.physical_size_y)
    done = system.command(
        "corrections", "--results", analysed / "results", "Au", tmp_path, "--output", tmp_path / "data"
    )
    assert (0, "1 micrograph in") == (done.returncode, done.stdout[:15])
    (instances,) = (tmp_path / "data" / "instances").iterdir()
    assert set(np.unique(edited)) == set(np.unique(tifffile.imread(instances)))


def test_the_scale_of_a_foreign_layer_is_no_pixel_size(write, tmp_path):
    """It may be in any unit."""
    path = str(tmp_path / "a_labels.tif")
    write(path, np.eye(9, dtype=np.uint8), {"name": "a", "scale": (0.5, 0.5), "metadata": {}})
    assert ome_types.from_tiff(path).images[0].pixels.physical_size_x is None


@pytest.mark.parametrize(
    "labels", [np.full((9, 9), -1), np.full((9, 9), 0.5), np.zeros((2, 2, 9, 9), int), np.full((9, 9), 2**32)]
)
def test_what_are_no_labels_is_not_saved(write, tmp_path, labels):
    with pytest.raises(ValueError, match="labels"):
        write(str(tmp_path / "a.tif"), labels, {"name": "a"})
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_npe2_accepts_the_manifest_and_reads_and_writes_by_it(analysed, tmp_path):
    """napari's own plugin engine calls reader and writer, in an environment with this one beside it."""
    python = throwaway_environment.install(tmp_path / "environment", "npe2")
    path = analysed / "acquisition" / "Au" / "Au_01.dm3"
    code = f"""
import json, sys
from npe2 import PluginManager, PluginManifest, read, write
sys.path += {[entry for entry in sys.path if entry]!r}
import numpy as np
manifest = PluginManifest.from_file({str(PACKAGE / "napari.yaml")!r})
manifest.validate_imports()
PluginManager.instance().register(manifest)
((data, about, kind),) = read([{str(path)!r}], stack=False)
print(json.dumps([list(data.shape), kind, list(about["scale"])]))
layer = (np.eye(9, dtype=np.uint8), {{"name": "a_labels", "scale": (0.5, 0.5)}}, "labels")
write({str(tmp_path / "a_labels.tif")!r}, [layer], plugin_name="temwatch")
"""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    expected = temwatch.read(path)
    scale = [expected.pixel_size_nm] * 2
    assert [list(expected.image.shape), "image", scale] == json.loads(done.stdout.splitlines()[-1])
    assert np.array_equal(np.eye(9), tifffile.imread(tmp_path / "a_labels.tif"))


def test_napari_is_not_imported(get_reader):
    """Nor anything of its plugin engine."""
    assert get_reader
    code = "import sys, temwatch.outputs.napari_reader as one; print({'napari', 'npe2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "set()" == done.stdout.strip()


@pytest.mark.slow
@pytest.mark.timeout(1500)  # napari is large
def test_napari_itself_opens_a_sample_and_saves_a_correction(analysed, tmp_path):
    """Without a window, which needs OpenGL: results become layers, an edited one a file for corrections."""
    python = throwaway_environment.install(tmp_path / "environment", "napari", timeout=1200)
    code = f"""
import sys
sys.path += {[entry for entry in sys.path if entry]!r}
from napari.components import ViewerModel
from npe2 import PluginManager, PluginManifest
PluginManager.instance().register(PluginManifest.from_file({str(PACKAGE / "napari.yaml")!r}))
viewer = ViewerModel()
viewer.open({str(analysed / "results" / "Au")!r}, plugin="temwatch")
layer = viewer.layers["Au_01_labels"]
layer.data[..., 5:20, 7:22] = 9000
print(layer.save({str(tmp_path / "Au_01_labels.tif")!r}, plugin="temwatch"))
"""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    saved = temwatch.read_results(analysed / "results" / "Au").analysis("Au_01")
    written = tifffile.imread(tmp_path / "Au_01_labels.tif")
    assert 9000 == written.max()
    assert saved.mask.shape == written.shape[-2:]
    pixels = ome_types.from_tiff(tmp_path / "Au_01_labels.tif").images[0].pixels
    assert saved.pixel_size_nm == pytest.approx(pixels.physical_size_x)
