"""Outlines on their edges, with the weights that come with temwatch, and what is refused as weights."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy import ndimage

from temwatch.analysis.refinement import edge_network
from temwatch.analysis.refinement.contours import FEWEST_POINTS, Contours
from temwatch.analysis.refinement.edge_network import FORMAT, REACH, EdgeNetwork, wrapped
from temwatch.analysis.refinement.level import OUTLINE
from temwatch.analysis.refinement.refine import refined
from temwatch.analysis.refinement.rows import blocks
from temwatch.analysis.refinement.strips import CHANNELS
from temwatch.analysis.segmentation import preprocessing, weights
from temwatch.errors import WeightsError
from temwatch.simulator.micrograph import simulate_micrograph
from temwatch.simulator.settings import Settings


@pytest.fixture(scope="module")
def net() -> EdgeNetwork:
    return edge_network.load(weights.find_edges())[0]


def simulated(defocus_nm=-100.0, dose_e_per_px=60.0):
    """Single discs of 40 px."""
    settings = Settings(
        size_px=320,
        pixel_size_nm=0.13,
        families=("ellipses",),
        particles=10,
        diameter_mean_nm=5.2,
        diameter_sd_nm=0.3,
        aspect_ratio_mean=1.02,
        overlap="none",
        defocus_nm=defocus_nm,
        dose_e_per_px=dose_e_per_px,
    )
    return simulate_micrograph(settings, 7)


def seen(micrograph):
    return preprocessing.prepared(micrograph.image.astype(np.float32), preprocessing.NAME)


def diameter_ratios(micrograph, level):
    """Found over true, of particles away from the border; a pixel on an outline counts by its level."""
    places, count = ndimage.label(ndimage.binary_dilation(micrograph.mask, iterations=4))
    border = np.concatenate((places[0], places[-1], places[:, 0], places[:, -1]))
    inner = np.setdiff1d(np.arange(1, count + 1), border)
    assert len(inner) >= 5
    return np.sqrt(ndimage.sum(level / 255, places, inner) / ndimage.sum(micrograph.mask, places, inner))


@pytest.mark.parametrize(("defocus_nm", "dose_e_per_px"), [(0.0, 60), (-250.0, 60), (-250.0, 12)])
def test_a_disc_that_was_drawn_too_large_comes_back(net, defocus_nm, dose_e_per_px):
    """Its mask is 10 % off, its outline in the end 1.5 % at most."""
    micrograph = simulated(defocus_nm, dose_e_per_px)
    mask = ndimage.binary_dilation(micrograph.mask, iterations=2)
    image = seen(micrograph)
    ratios = diameter_ratios(micrograph, refined(image.pixels, image.noise, mask, net))
    assert np.median(ratios) == pytest.approx(1, abs=0.015)
    assert ratios == pytest.approx(1, abs=0.04)


def test_the_same_picture_gives_the_same_outlines_at_any_exposure(net):
    """And again, byte for byte."""
    micrograph = simulated()
    image = seen(micrograph)
    first, second = (refined(image.pixels, image.noise, micrograph.mask, net) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    brighter = preprocessing.prepared(3 * micrograph.image.astype(np.float32) + 500, preprocessing.NAME)
    third = refined(brighter.pixels, brighter.noise, micrograph.mask, net)
    assert np.abs(first.astype(int) - third).max() <= 4


def test_products_of_matrices_give_what_the_network_gives(net):
    """Of contours of many lengths, in one block and in several, and of the fewest points there are."""
    rng = np.random.default_rng(3)
    lengths = np.array([FEWEST_POINTS, 40, 700, 13, 900, 3000, FEWEST_POINTS])
    begin = np.concatenate(([0], np.cumsum(lengths)))
    strips = rng.normal(size=(CHANNELS, begin[-1])).astype(np.float32)
    step_px = rng.uniform(1, 3, len(lengths)).astype(np.float32)
    points = np.zeros((begin[-1], 2), np.float32)
    contours = Contours(points, points, begin, step_px, step_px, np.zeros(len(lengths), bool))
    index, owner, is_inner = (torch.from_numpy(part) for part in wrapped(begin))
    expected = net(
        torch.from_numpy(strips)[:, index][None], owner, torch.zeros(7, dtype=torch.int64), is_inner
    )
    expected = expected[:, is_inner[REACH:-REACH]].numpy() * np.repeat(step_px, lengths)
    distance, scale = edge_network.offsets(net, strips, contours)
    np.testing.assert_allclose(distance, expected[0], atol=1e-3)
    assert (scale > 0).all()
    assert len(scale) == begin[-1]


@pytest.mark.parametrize("contours", [1, 2, 9])
def test_blocks_are_of_whole_contours_and_leave_none_out(contours):
    """A contour that is longer than a block is one by itself."""
    begin = np.concatenate(([0], np.cumsum(np.random.default_rng(contours).integers(12, 90, contours))))
    starts = blocks(begin, 60)
    assert [0, contours] == [starts[0], starts[-1]]
    for first, last in pairwise(starts):
        assert last == first + 1 or begin[last] - begin[first] <= 60


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (64, 64)])
def test_nothing_and_single_pixels_stay_what_they_are(net, shape):
    """There is no edge to look for."""
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    mask = np.zeros(shape, bool)
    assert not refined(image, 1.0, mask, net).any()
    mask[0, 0] = mask[-1, shape[1] // 2] = True
    np.testing.assert_array_equal(refined(image, 1.0, mask, net) > OUTLINE, mask)


def test_a_mask_that_covers_all_still_does(net):
    """All of its contour lies on the border."""
    image = np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32)
    level = refined(image, 1.0, np.ones((30, 40), bool), net)
    assert (level > OUTLINE).mean() > 0.95


def test_weights_come_back_as_they_were_saved(tmp_path):
    """With their digest beside them."""
    torch.manual_seed(0)
    path = tmp_path / "edges.safetensors"
    edge_network.save(net := EdgeNetwork(), path)
    found, sha256 = edge_network.load(path)
    assert [sha256, path.name] == path.with_name(path.name + ".sha256").read_text().split()
    assert not found.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[name])


def refusal(path):
    with pytest.raises(WeightsError) as error:
        edge_network.load(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_other_files_are_refused_in_one_line(tmp_path):
    """Missing, of another format or network, not finite, damaged, or replaced."""
    assert "No such file" in refusal(tmp_path / "none")
    path, net = tmp_path / "edges.safetensors", EdgeNetwork()
    state = net.state_dict()
    for metadata in (None, {"format": "temwatch-1"}, {"format": "temwatch-edges-2"}):
        safetensors.torch.save_file(state, path, metadata=metadata)
        assert FORMAT in refusal(path)
    header = {"format": FORMAT}
    safetensors.torch.save_file({"inp.weight": state["inp.weight"]}, path, metadata=header)
    assert "another network" in refusal(path)
    safetensors.torch.save_file(EdgeNetwork(width=8).state_dict(), path, metadata=header)
    assert "another network" in refusal(path)
    safetensors.torch.save_file(state | {"inp.bias": state["inp.bias"] * math.nan}, path, metadata=header)
    assert "damaged" in refusal(path)
    for content in (
        b"",
        b"\xff" * 8,
        b"{}",
        (2).to_bytes(8, "little") + b"[]",
        weights_cut_short(net, tmp_path),
    ):
        path.write_bytes(content)
        assert "damaged" in refusal(path)
    edge_network.save(net, path)
    path.with_name(path.name + ".sha256").write_text("0" * 64 + "  edges.safetensors\n")
    assert "damaged or replaced" in refusal(path)


def weights_cut_short(net, folder):
    edge_network.save(net, folder / "whole")
    return (folder / "whole").read_bytes()[:-100]
