"""napari opens results and micrographs by the reader that the manifest names; napari itself is not needed."""

import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

import temwatch
import throwaway_environment
from temwatch.formats import READERS, UNCALIBRATED

PACKAGE = Path(temwatch.__file__).parent
MANIFEST = yaml.safe_load((PACKAGE / "napari.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def get_reader():
    """The function that the manifest names."""
    (command,) = MANIFEST["contributions"]["commands"]
    module, name = command["python_name"].split(":")
    return getattr(importlib.import_module(module), name)


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
    assert f"{about['name']} particles" == labels["name"]


def test_what_is_not_of_temwatch_is_left_to_others(get_reader, tmp_path):
    (tmp_path / "a.txt").touch()
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "a.txt")) is None
    assert get_reader(str(tmp_path / "none.dm3")) is None


@pytest.mark.slow
def test_npe2_accepts_the_manifest_and_reads_by_it(analysed, tmp_path):
    """napari's own plugin engine finds the reader and calls it, in an environment with this one beside it."""
    python = throwaway_environment.install(tmp_path / "environment", "npe2")
    path = analysed / "acquisition" / "Au" / "Au_01.dm3"
    code = f"""
import json, sys
from npe2 import PluginManager, PluginManifest, read
sys.path += {[entry for entry in sys.path if entry]!r}
manifest = PluginManifest.from_file({str(PACKAGE / "napari.yaml")!r})
manifest.validate_imports()
PluginManager.instance().register(manifest)
((data, about, kind),) = read([{str(path)!r}], stack=False)
print(json.dumps([list(data.shape), kind, list(about["scale"])]))
"""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    expected = temwatch.read(path)
    scale = [expected.pixel_size_nm] * 2
    assert [list(expected.image.shape), "image", scale] == json.loads(done.stdout.splitlines()[-1])


def test_napari_is_not_imported(get_reader):
    """Nor anything of its plugin engine."""
    assert get_reader
    code = "import sys, temwatch.outputs.napari_reader as one; print({'napari', 'npe2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "set()" == done.stdout.strip()
