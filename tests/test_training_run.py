"""A whole training, small: it learns, it is decided by its seed, and it goes on where it stopped."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from temwatch.analysis.segmentation import build, weights
from temwatch.config import SegmentationSettings
from temwatch.errors import Interrupted, UsageError
from temwatch.training.datasets import LabelledMicrograph, divide
from temwatch.training.recipes import PAPER, TEMWATCH, Recipe, TrainingStage
from temwatch.training.schedule import TrainingProgress
from temwatch.training.train import train


@pytest.fixture(scope="module")
def labelled() -> list[LabelledMicrograph]:
    """Dark discs on bright noise, some of which touch, from six sources."""
    random = np.random.default_rng(0)
    rows, columns = np.indices((96, 96))
    items = []
    for number in range(6):
        labels = np.zeros((96, 96), np.int32)
        for particle, (row, column) in enumerate(random.uniform(10, 86, (8, 2)), 1):
            labels[(labels == 0) & ((rows - row) ** 2 + (columns - column) ** 2 < 100)] = particle
        image = (random.normal(0, 0.2, labels.shape) + 0.9 - 1.8 * (labels > 0)).astype(np.float16)
        items.append(LabelledMicrograph(name=str(number), source=str(number), image=image, labels=labels))
    return items


SMALL = replace(
    TEMWATCH,
    tile_px=64,
    batch=4,
    enlarge=1,
    stages=(
        TrainingStage(name="simulated", steps=1, simulated_share=1.0, learning_rate=1e-3),
        TrainingStage(name="labelled", steps=3, simulated_share=0.2, learning_rate=1e-3),
    ),
    validate_every=2,
    simulated_micrographs=2,
    simulated_side_px=96,
    # in a tile of 64 px a letter would cover most, and film or much blur hide the particles
    augmentation=replace(
        TEMWATCH.augmentation, scale=(0.8, 1.25), lettering_share=0.0, film_share=0.0, blur_sd_px=1.0
    ),
)


def history(folder: Path) -> list[dict[str, str]]:
    """The measures; rates depend on the clock."""
    rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    return [{key: value for key, value in row.items() if key != "tiles_per_second"} for row in rows]


def digest(folder: Path) -> str:
    return weights.read(folder / weights.DEFAULT_NAME).sha256


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(labelled, folder, SMALL, device="cpu")
    return folder


def test_a_training_leaves_weights_that_the_service_takes(trained, labelled):
    segmenter = build(
        SegmentationSettings(method="deeplab", weights=trained / weights.DEFAULT_NAME, device="cpu")
    )
    (found,) = segmenter.segment([labelled[0].image.astype(np.float32)])
    assert found.mask.shape == (96, 96)
    assert found.contacts is not None


def test_measures_and_curves_are_written_at_every_validation(trained):
    assert [(row["step"], row["stage"]) for row in history(trained)] == [("2", "labelled"), ("4", "labelled")]
    assert {"iou_particle", "particle_f1", "boundary_f1_per_micrograph"} <= history(trained)[0].keys()
    with Picture.open(trained / "metrics.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_however_tiles_are_prepared(trained, labelled, tmp_path):
    train(labelled, tmp_path, SMALL, device="cpu", workers=1)
    assert history(trained) == history(tmp_path)
    assert digest(trained) == digest(tmp_path)


@pytest.mark.slow
def test_a_training_that_was_interrupted_goes_on_to_the_same_weights(trained, labelled, tmp_path):
    def interrupt(report: TrainingProgress) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(labelled, tmp_path, SMALL, device="cpu", report=interrupt)
    assert [row["step"] for row in history(tmp_path)] == ["2"]

    steps: list[int] = []
    train(labelled, tmp_path, SMALL, device="cpu", report=lambda report: steps.append(report.step))

    assert steps == [4]
    assert history(trained) == history(tmp_path)
    assert digest(trained) == digest(tmp_path)


@pytest.mark.slow
def test_a_training_that_is_told_to_stop_saves_its_step_and_goes_on_to_the_same_weights(
    trained, labelled, tmp_path
):
    answers = iter([False, False, False, False, True])  # two simulated micrographs, then steps 1 to 3

    with pytest.raises(Interrupted, match="step 3 of 4"):
        train(labelled, tmp_path, SMALL, device="cpu", stop=lambda: next(answers))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3

    train(labelled, tmp_path, SMALL, device="cpu")
    assert digest(trained) == digest(tmp_path)


def test_a_training_can_be_stopped_while_it_simulates(labelled, tmp_path):
    with pytest.raises(Interrupted, match="before the first step"):
        train(labelled, tmp_path, SMALL, device="cpu", stop=lambda: True)
    assert not (tmp_path / "simulated" / "done.json").exists()


def test_a_checkpoint_of_another_training_is_not_gone_on_from(trained, labelled):
    with pytest.raises(UsageError, match="another training"):
        train(labelled, trained, replace(SMALL, batch=5), device="cpu")


def test_a_damaged_checkpoint_is_named(labelled, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"checkpoint\.pt"):
        train(labelled, tmp_path, replace(SMALL, simulated_micrographs=0), device="cpu")


@pytest.mark.parametrize(
    ("architecture", "steps"),
    [
        pytest.param(weights.PLAIN, 80, marks=pytest.mark.soak),
        pytest.param(weights.FINE, 90, marks=pytest.mark.slow),
    ],
)
def test_a_network_learns(labelled, architecture, steps, tmp_path):
    """A few steps from random weights; a mask without any particle has IoU 0, one full of them 0.2."""
    recipe: Recipe = replace(
        SMALL,
        architecture=architecture,
        stages=(TrainingStage(name="labelled", steps=steps, simulated_share=0.0, learning_rate=4e-3),),
        simulated_micrographs=0,
        validate_every=steps,
        ema_decay=0.8,
    )
    train(labelled, tmp_path, recipe, device="cpu")
    losses = [float(row["loss"]) for row in history(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]
    assert float(history(tmp_path)[-1]["iou_particle"]) > 0.6


@pytest.mark.slow
def test_the_papers_recipe_runs_by_epochs_over_a_grid_of_tiles(labelled, tmp_path):
    recipe = replace(PAPER, tile_px=64, batch=4, epochs=2, max_side_px=96, validate_every=1)
    train(labelled, tmp_path, recipe, device="cpu")

    training = divide(labelled, recipe.shares, 0)[0]
    per_picture = 4 + 1  # two by two tiles, and the whole
    epoch = len(training) * per_picture // 4
    assert [row["step"] for row in history(tmp_path)] == [str(epoch), str(2 * epoch)]
    assert weights.read(tmp_path / weights.DEFAULT_NAME).description.classes == ("mask",)
