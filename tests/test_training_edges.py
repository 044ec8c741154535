"""Training of the edge network: what it learns from, a whole training of three steps, and the command."""

from __future__ import annotations

import csv
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from temwatch.analysis.refinement import edge_network
from temwatch.analysis.refinement.contours import find_contours, moved, subdivided
from temwatch.analysis.refinement.level import draw_level
from temwatch.analysis.segmentation.weights import EDGES_NAME
from temwatch.cli import main
from temwatch.errors import Interrupted, UsageError
from temwatch.training import edge_examples
from temwatch.training.edge_examples import (
    edge_offsets,
    make_examples,
    perturbed,
    rough_mask,
    signed_distance,
)
from temwatch.training.edge_settings import MIXTURES, draw_edge_settings
from temwatch.training.edge_training import EdgeRecipe, edge_batch, edge_loss, learning_rate, train_edges

RECIPE = EdgeRecipe(micrographs=2, steps=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A whole training by the command."""
    output = tmp_path_factory.mktemp("edges") / "run"
    size = ("--micrographs", "2", "--steps", "3", "--workers", "0")
    assert 0 == main(["train-edges", "--output", str(output), *size])
    return output


def disc(radius, shape=(81, 81)):
    rows, columns = np.indices(shape)
    return np.hypot(rows - 40, columns - 40.3) < radius


def history(folder):
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


def test_the_way_back_from_a_rough_outline_is_its_distance_to_the_truth():
    """Along the normal, in steps of the contour."""
    truth = signed_distance(disc(25))
    for radius in (22, 25, 29):
        contours = find_contours(disc(radius))
        found = edge_offsets(contours, truth) * contours.step_px[0]
        assert found.mean() == pytest.approx(25 - radius, abs=0.25)
        np.testing.assert_allclose(found, 25 - radius, atol=1)
    assert np.isnan(edge_offsets(find_contours(disc(4)), truth)).all()  # too far away


@pytest.mark.parametrize("radius", [7, 20])
@pytest.mark.parametrize("off_px", [-1, 2])
@pytest.mark.parametrize("facetted", [False, True])
def test_true_offsets_give_true_sizes(radius, off_px, facetted):
    """From a mask that is off: contours, steps and levels lose nothing, so that the network alone decides."""
    truth = hexagon(radius) if facetted else disc(radius)
    distance = signed_distance(truth)
    contours = find_contours(distance < off_px)
    steps = np.repeat(contours.step_px, np.diff(contours.begin))
    points, begin = subdivided(moved(contours, edge_offsets(contours, distance) * steps))
    covered = draw_level(points, begin, truth.shape).sum() / 255
    assert math.sqrt(covered / truth.sum()) == pytest.approx(1, abs=0.01)


def hexagon(radius, shape=(81, 81)):
    rows, columns = np.indices(shape) - np.array([40, 40.3])[:, None, None]
    turns = np.radians([10, 70, 130])[:, None, None]
    return np.abs(rows * np.cos(turns) + columns * np.sin(turns)).max(0) < radius


def test_the_rim_of_a_hole_finds_the_hole():
    """Out of the particle is into the hole."""
    truth = signed_distance(disc(35) & ~disc(12))
    contours = find_contours(disc(35) & ~disc(10))
    found = edge_offsets(contours, truth)[contours.begin[1] :] * contours.step_px[1]
    assert found.mean() == pytest.approx(-2, abs=0.3)


def test_rough_masks_are_off_by_some_of_the_radius_and_the_same_again():
    """In the mean outside, as people draw."""
    truth = signed_distance(disc(25))
    ratios = []
    for seed in range(60):
        masks = [rough_mask(truth, 25, np.random.default_rng(seed)) for _ in range(2)]
        np.testing.assert_array_equal(*masks)
        ratios.append(math.sqrt(masks[0].sum() / math.pi) / 25)
    assert 1.02 < np.mean(ratios) < 1.08
    assert 0.05 < np.std(ratios) < 0.14


def test_contours_are_moved_and_bent_one_by_one():
    """Those that are too short are left where they are."""
    mask = disc(30)
    mask[2, 2] = True
    contours = find_contours(mask)
    (fixed,) = np.flatnonzero(contours.is_fixed)
    distances = []
    for seed in range(40):
        after = perturbed(contours, np.random.default_rng(seed))
        away = ((after.points - contours.points) * contours.normals).sum(1)
        own = slice(*contours.begin[fixed : fixed + 2])
        assert not away[own].any()
        distances.append(np.delete(away, np.arange(own.start, own.stop)))
    means = np.mean(distances, axis=1)
    assert 0.03 < np.std(means) / 30 < 0.1
    assert np.std(np.array(distances) - means[:, None]) > 0.5


def test_settings_vary_all_that_decides_how_an_edge_looks():
    """The second mixture has more small particles and more overfocus."""
    small, over = Counter(), Counter()
    for number, mixture in enumerate(MIXTURES):
        rng = np.random.default_rng(number)
        draws = [draw_edge_settings(rng, mixture) for _ in range(500)]
        diameters = np.array([one.diameter_mean_nm / one.pixel_size_nm for one in draws])
        defocus = np.array([one.defocus_nm for one in draws])
        assert diameters.min() >= 6
        assert diameters.max() <= 0.42 * mixture.size_px
        assert -1500 <= defocus.min() < -500 < 0 < defocus.max() <= 500
        assert {one.size_px for one in draws} == {mixture.size_px}
        assert {family for one in draws for family in one.families} == {"ellipses", "facetted", "rods"}
        small[number], over[number] = np.mean(diameters < 20), np.mean(defocus > 0)
    assert small[1] > small[0] + 0.1
    assert over[1] > over[0] + 0.1


def test_examples_are_decided_by_seed_and_number_and_come_back_from_disk(trained, tmp_path):
    """Those of the validation come from other seeds."""
    names = {path.name for path in (trained / "examples").iterdir()}
    assert {"identity.json", "training_00000.npz", "training_00001.npz", "validation_00000.npz"} == names
    (made, other), path = (make_examples((0, part), 0) for part in (0, 1)), tmp_path / "examples.npz"
    kept = edge_examples.load(trained / "examples" / "training_00000.npz")
    for name in ("strips", "offsets", "begin", "radius_px", "step_px"):
        np.testing.assert_array_equal(getattr(made, name), getattr(kept, name))
    assert made.strips.shape != other.strips.shape or not np.array_equal(made.strips, other.strips)
    assert made.strips.dtype == np.float16
    assert len(made.strips) == len(made.offsets) == made.begin[-1]
    path.write_bytes((trained / "examples" / "training_00000.npz").read_bytes()[:-50])
    with pytest.raises(UsageError, match="delete it"):
        edge_examples.load(path)


def test_the_truth_itself_has_no_error_and_small_contours_count_more(trained):
    """Whatever the scale that the network gives its error."""
    batch = edge_batch([edge_examples.load(trained / "examples" / "training_00001.npz")])
    known = torch.nan_to_num(batch.offsets)
    exact = torch.stack([known, torch.full_like(known, -20.0)])
    loss, means, counts = edge_loss(exact, batch, 3.0)
    assert float(loss) == pytest.approx(math.log(edge_network.LEAST_SCALE), abs=1e-3)
    assert not means.any()
    assert counts.sum() == float((~torch.isnan(batch.offsets) & batch.is_inner[10:-10]).sum())
    losses = []
    for contour in (batch.radius_px.argmin(), batch.radius_px.argmax()):
        off = exact + torch.stack([(batch.owner[10:-10] == contour).float(), torch.zeros_like(known)])
        one = replace(batch, step_px=torch.ones_like(batch.step_px))
        found, means, _ = edge_loss(off, one, 3.0)
        assert float(means[contour]) == pytest.approx(1)
        losses.append(float(found - loss))
    assert losses[0] > 0


def test_a_training_leaves_weights_that_load_and_its_history(trained, capsys):
    """A finished one is not done again."""
    assert {"edges.safetensors", "edges.safetensors.sha256", "checkpoint.pt", "metrics.csv", "examples"} == {
        path.name for path in trained.iterdir()
    }
    _, sha256 = edge_network.load(trained / EDGES_NAME)
    rows = history(trained)
    assert ["1", "2", "3"] == [row["step"] for row in rows]
    assert all(math.isfinite(float(row["validation_loss"])) for row in rows)
    assert any(name.startswith("bias_percent_") for name in rows[0])
    size = ("--micrographs", "2", "--steps", "3", "--workers", "0")
    assert 0 == main(["train-edges", "--output", str(trained), *size])
    captured = capsys.readouterr()
    assert ("", f"{trained / EDGES_NAME}\n") == (captured.err, captured.out)
    assert sha256 == edge_network.load(trained / EDGES_NAME)[1]


def test_a_stopped_training_keeps_its_weights_and_goes_on_to_the_same_ones(trained, tmp_path):
    """However often it was stopped."""
    shutil.copytree(trained / "examples", tmp_path / "examples")
    for step in (1, 2):
        with pytest.raises(Interrupted, match=f"step {step} of 3.*the same command continues"):
            train_edges(tmp_path, RECIPE, stop=lambda: True)
        edge_network.load(tmp_path / EDGES_NAME)
    train_edges(tmp_path, RECIPE)
    assert edge_network.load(trained / EDGES_NAME)[1] == edge_network.load(tmp_path / EDGES_NAME)[1]
    assert history(trained) == history(tmp_path)


def test_a_training_that_is_stopped_while_it_simulates_keeps_the_micrographs(tmp_path):
    """The next run makes the others."""
    with pytest.raises(Interrupted, match="after 1 of 3 simulated micrographs"):
        train_edges(tmp_path, RECIPE, stop=lambda: True)
    names = {path.name for path in (tmp_path / "examples").iterdir()}
    assert {"identity.json", "validation_00000.npz"} == names


def test_the_folder_of_another_training_is_left_alone(trained, tmp_path, capsys):
    """Another seed or another number of steps."""
    before = edge_network.load(trained / EDGES_NAME)[1]
    command = ("train-edges", "--output", str(trained), "--micrographs", "2", "--workers", "0")
    for changed in (("--steps", "4"), ("--steps", "3", "--seed", "1")):
        assert 2 == main([*command, *changed])
        assert "another training" in capsys.readouterr().err
    shutil.copytree(trained / "examples", tmp_path / "examples")
    with pytest.raises(UsageError, match="another seed"):
        train_edges(tmp_path, RECIPE, seed=1)
    (tmp_path / "file").touch()
    assert 2 == main(["train-edges", "--output", str(tmp_path / "file"), "--steps", "1", "--workers", "0"])
    assert "--output" in capsys.readouterr().err
    assert before == edge_network.load(trained / EDGES_NAME)[1]


def test_it_learns(trained, tmp_path):
    """Some small steps on two micrographs bring the loss down."""
    shutil.copytree(trained / "examples", tmp_path / "examples")
    recipe = replace(RECIPE, steps=32, micrographs_per_batch=2, contours=10, warm_up_steps=5)
    train_edges(tmp_path, recipe)
    losses = [float(row["loss"]) for row in history(tmp_path)]
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def test_the_learning_rate_warms_up_and_falls_by_half_a_cosine():
    """To nearly nothing."""
    recipe = EdgeRecipe(steps=1000, warm_up_steps=50)
    rates = [learning_rate(recipe, step) for step in range(1000)]
    assert 49 == int(np.argmax(rates)) or rates[49] == pytest.approx(max(rates), rel=0.02)
    assert rates[0] == pytest.approx(recipe.learning_rate / 50, rel=0.01)
    assert rates[500] == pytest.approx(recipe.learning_rate * 0.503)
    assert rates[-1] < 0.005 * recipe.learning_rate
