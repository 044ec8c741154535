"""What an analysis shows in a notebook: picture with outlines, table, label images."""

import base64
import io
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from PIL import Image

import temwatch
from export_cases import NM, SHAPE, discs
from ledger_cases import segmented
from temwatch import figures
from temwatch.outputs import pictures


def drawn(ax):
    """Lines of the outlines by their label."""
    return {collection.get_label(): collection.get_segments() for collection in ax.collections}


def test_outlines_lie_on_axes_in_nm():
    _, analysis = discs()
    ax = analysis.plot()
    assert (0, SHAPE[1] * NM, SHAPE[0] * NM, 0) == (*ax.get_xlim(), *ax.get_ylim())
    lines = drawn(ax)
    assert {"separated": 2, "single": 3} == {kind: len(found) for kind, found in lines.items()}
    for line, particle in zip(lines["single"], analysis.particles[2:], strict=True):
        assert np.allclose(line.mean(0), [particle.centroid_x_nm, particle.centroid_y_nm], atol=0.1)
        assert np.array_equal(line[0], line[-1])
    pyplot.close(ax.figure)


def test_without_outlines_the_edges_of_pixels_are_drawn():
    _, analysis = segmented(seed=3)
    figure, ax = pyplot.subplots()
    assert ax is analysis.plot(ax)
    found = np.concatenate([line for lines in drawn(ax).values() for line in lines]) / analysis.pixel_size_nm
    assert np.allclose(found, np.rint(found))
    particle = analysis.particles[0].region
    edges = figures._lines(particle)
    padded = np.pad(particle.mask, 1).astype(int)
    assert len(edges) == np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    pyplot.close(figure)


def test_colours_are_those_of_the_overlay():
    published = {
        "single": pictures.ALONE,
        "separated": pictures.SEPARATED,
        "low convexity": pictures.OVERLAPPING,
        "rejected": pictures.REJECTED,
    }
    assert figures.COLOURS == {kind: to_hex(np.divide(rgb, 255)) for kind, rgb in published.items()}


@pytest.mark.parametrize("with_image", [True, False])
def test_an_analysis_shows_picture_and_table(with_image):
    segmentation, analysis = discs()
    if with_image:
        analysis = replace(analysis, image=np.where(segmentation.mask, 30.0, 200.0).astype(np.float32))
    shown = analysis._repr_html_()
    png = base64.b64decode(re.search(r"base64,([^\"]+)", shown)[1])
    with Image.open(io.BytesIO(png)) as picture:
        assert 400 < picture.width < 600
    assert "5 particles, mean equivalent diameter" in shown
    assert 6 == shown.count("<tr")


def test_an_analysis_without_particles_shows_itself():
    _, analysis = segmented(particles=0)
    assert "0 particles" in analysis._repr_html_()


def test_labels_hold_each_particle_on_one_plane():
    _, analysis = discs()
    first, second = analysis.labels(), analysis.labels(plane=1)
    assert (np.uint32, SHAPE) == (first.dtype, first.shape)
    assert {1, 2, 3, 4, 5} == (set(np.unique(first)) | set(np.unique(second))) - {0}
    for number, particle in enumerate(analysis.particles, 1):
        areas = {np.count_nonzero(plane == number) for plane in (first, second)}
        assert areas == {0, np.count_nonzero(particle.region.mask)}
    with pytest.raises(IndexError, match="2 planes"):
        analysis.labels(plane=2)


def test_labels_of_nothing_are_background():
    _, analysis = segmented(particles=0)
    assert not analysis.labels().any()


def test_importing_temwatch_loads_neither_torch_nor_pandas():
    """Nor matplotlib and numba, though it names all public functions."""
    script = (
        "import sys, temwatch; names = dir(temwatch); "
        "print([n for n in ('torch', 'pandas', 'numba', 'matplotlib', 'numpy') if n in sys.modules], *names)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert f"[] {' '.join(sorted(temwatch.__all__))}" == found.strip()
    assert "read_results" in found
