"""Tiles: number i is the same in every run, targets go with the image, and the loss weighs what matters."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from temwatch.training.datasets import LabelledMicrograph
from temwatch.training.losses import loss
from temwatch.training.recipes import PAPER, TEMWATCH, Augmentation, TrainingStage, lengthened
from temwatch.training.sampling import Tiles
from temwatch.training.schedule import learning_rate, stage_at, total_steps

PLAIN = replace(
    TEMWATCH,
    tile_px=64,
    enlarge=1,
    augmentation=Augmentation(scale=(1.0, 1.0), rotation_deg=0),
)


def picture(shape=(200, 300), *, instances=True) -> LabelledMicrograph:
    """Two rectangles that touch; the image is its own mask, so that a tile shows its targets."""
    labels = np.zeros(shape, np.int32)
    labels[60:120, 80:120], labels[60:120, 120:170] = 1, 2
    image = np.where(labels > 0, -1, 1).astype(np.float16)
    return LabelledMicrograph(name="a", source="a", image=image, labels=labels, instances=instances)


def test_a_tile_is_decided_by_seed_and_number_whatever_torch_has_drawn_before():
    tiles = Tiles(TEMWATCH, [picture()], [], seed=3)
    first = tiles[(7, 0.0)]
    torch.rand(1000)
    again = Tiles(TEMWATCH, [picture()], [], seed=3)[(7, 0.0)]

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["image"], tiles[(8, 0.0)]["image"])
    assert not torch.equal(first["image"], Tiles(TEMWATCH, [picture()], [], seed=4)[(7, 0.0)]["image"])


def test_drawing_a_tile_leaves_the_random_state_of_torch_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Tiles(TEMWATCH, [picture()], [], seed=0)[(0, 0.0)]
    assert torch.equal(expected, torch.rand(3))


@pytest.mark.parametrize("number", range(10))
def test_targets_are_moved_with_the_image(number):
    recipe = replace(PLAIN, augmentation=Augmentation(scale=(0.7, 1.4), elastic_share=0.5))
    tile = Tiles(recipe, [picture()], [], seed=0)[(number, 0.0)]

    dark = tile["image"][0] < 0
    assert tile["image"].shape == (1, 64, 64)
    assert (dark == tile["mask"]).float().mean() > 0.96


def test_beyond_the_border_a_tile_is_reflected():
    """A picture smaller than the tile still fills it."""
    item = picture()
    small = replace(item, image=item.image[60:100, 100:130], labels=item.labels[60:100, 100:130])
    tile = Tiles(PLAIN, [small], [], seed=0)[(0, 0.0)]
    assert tile["mask"].all()
    assert tile["image"].max() < 0


def test_tiles_are_drawn_about_contacts_as_often_as_the_recipe_says():
    items = [picture((1000, 1000))]
    everywhere = Tiles(replace(PLAIN, contact_share=0.0, particle_share=0.0), items, [], seed=0)
    contacts = Tiles(replace(PLAIN, contact_share=1.0, particle_share=0.0), items, [], seed=0)
    share = [
        np.mean([bool(tiles[(number, 0.0)]["contacts"].any()) for number in range(200)])
        for tiles in (everywhere, contacts)
    ]
    assert share[0] < 0.1
    assert share[1] > 0.6


def test_the_share_of_simulated_micrographs_is_kept():
    simulated = replace(picture(), instances=False)
    tiles = Tiles(PLAIN, [picture()], [simulated], seed=0)
    found = [not tiles[(number, 0.25)]["contacts_known"] for number in range(200)]
    assert np.mean(found) == pytest.approx(0.25, abs=0.08)


def test_noisy_micrographs_are_shown_at_smaller_sizes_as_well():
    """So does the service look at them; clean ones are shown at full size alone."""
    recipe = replace(PLAIN, noisy_sizes=(1.0, 0.25))
    clean = picture((1000, 1000))
    noise = np.random.default_rng(0).normal(0, 0.3, clean.image.shape).astype(np.float16)
    noisy = replace(clean, image=clean.image + noise)

    def spread(item):
        """Noise of a tile in which nothing else is to be seen, as a quarter of the size averages it."""
        tiles = Tiles(replace(recipe, contact_share=0, particle_share=0), [item], [], seed=0)
        found = [tile["image"].std().item() for tile in map(tiles.__getitem__, [(n, 0.0) for n in range(60)])]
        return np.array([value for value in found if 0 < value < 0.35])

    quarter = spread(noisy) < 0.15
    assert 0.2 < quarter.mean() < 0.8
    assert not spread(clean).size


@pytest.mark.parametrize("number", range(5))
def test_a_film_darkens_a_part_of_a_tile_and_a_tone_curve_keeps_the_order(number):
    blank = replace(picture(), image=np.linspace(-1, 1, 200 * 300, dtype=np.float16).reshape(200, 300).copy())
    plain, film, tone = (
        Tiles(replace(PLAIN, augmentation=augmentation), [blank], [], seed=0)[(number, 0.0)]["image"][0]
        for augmentation in (
            Augmentation(scale=(1, 1), rotation_deg=0),
            Augmentation(scale=(1, 1), rotation_deg=0, film_share=1.0, film_darkness=0.7),
            Augmentation(scale=(1, 1), rotation_deg=0, gamma=1.5),
        )
    )
    transmission = (film + 1) / (plain + 1)
    seen = transmission[plain > -0.9]
    assert seen.max() < 1.01
    assert 0.3**4 < seen.min() < 0.95
    assert film.min() > -1.01
    assert (tone.flatten()[plain.flatten().argsort()].diff() > -1e-3).all()
    assert (tone - plain).abs().max() > 1e-3


def test_a_source_of_many_pictures_does_not_crowd_out_the_others():
    single = [replace(picture(), name=f"figure {number}", source=f"article {number}") for number in range(12)]
    series = [replace(picture(), name=f"frame {number}", source="series") for number in range(36)]
    tiles = Tiles(PLAIN, single + series, [], seed=0)
    random = np.random.default_rng(0)
    drawn = [tiles._random_window(tiles.labelled, False, random).picture for _ in range(600)]
    assert 1 / 3 - 0.06 < np.mean(np.array(drawn) >= 12) < 1 / 3 + 0.06  # 6 of 12 + 6


def test_an_epoch_of_the_papers_grid_is_every_tile_once():
    recipe = replace(
        PAPER, tile_px=50, batch=2, max_side_px=300, augmentation=Augmentation(scale=(1, 1), rotation_deg=0)
    )
    tiles = Tiles(recipe, [picture()], [], seed=0)
    assert len(tiles.grid) == 4 * 6 + 1
    particle = [tiles[(number, 0.0)]["mask"].sum().item() for number in range(2 * tiles.steps_per_epoch())]
    again = [tiles[(number, 0.0)]["mask"].sum().item() for number in range(24, 48)]
    assert particle != again
    assert sum(particle) == pytest.approx(60 * 90, rel=0.25)  # one of 25 is left out, the whole is one


def test_a_loss_of_the_truth_is_near_zero_and_of_its_opposite_large():
    tiles = Tiles(replace(PLAIN, contact_share=1.0, particle_share=0.0), [picture()], [], seed=0)
    tile = next(tile for number in range(20) if (tile := tiles[(number, 0.0)])["contacts"].any())
    targets = {name: tensor[None] for name, tensor in tile.items() if name != "image"}
    right = 20 * (torch.stack([targets["mask"], targets["contacts"]], dim=1).float() - 0.5)

    for kind in ("cross_entropy", "boundary"):
        assert loss(right, **targets, kind=kind) < 0.01
        assert loss(-right, **targets, kind=kind) > 1


def test_contacts_count_for_nothing_where_they_are_not_known():
    logits = torch.zeros(2, 2, 8, 8)
    blank = torch.zeros(2, 8, 8, dtype=torch.bool)
    unknown = {"contacts_known": torch.tensor([False, False]), "mask_weights": torch.ones(2, 8, 8)}
    losses = [loss(logits, blank, contacts, **unknown, kind="boundary") for contacts in (blank, ~blank)]
    assert losses[0] == losses[1]


def test_closing_a_gap_costs_more_than_the_same_error_in_the_open():
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    weights = torch.ones(1, 32, 32)
    weights[0, 10, :] = 9
    known = {"contacts": mask, "contacts_known": torch.tensor([False]), "mask_weights": weights}
    losses = []
    for row in (10, 20):
        logits = torch.full((1, 1, 32, 32), -5.0)
        logits[0, 0, row] = 5
        losses.append(loss(logits, mask, **known, kind="boundary"))
    assert losses[0] > losses[1] + 0.5


def test_the_papers_learning_rate_falls_by_a_quarter_every_fifteen_epochs():
    assert learning_rate(PAPER, 0, 10) == 0.01
    assert learning_rate(PAPER, 149, 10) == 0.01
    assert learning_rate(PAPER, 150, 10) == pytest.approx(0.0075)
    assert learning_rate(PAPER, 1199, 10) == pytest.approx(0.01 * 0.75**7)
    assert total_steps(PAPER, 10) == 1200


@pytest.mark.parametrize("recipe", [PAPER, TEMWATCH])
@pytest.mark.parametrize("steps", [1, 7, 1000, 123456])
def test_a_recipe_is_brought_to_any_length_with_its_stages_to_scale(recipe, steps):
    before, after = total_steps(recipe, 10), lengthened(recipe, steps, 10)

    assert steps == total_steps(after, 10)
    for stage, scaled in zip(recipe.stages, after.stages, strict=True):
        length = before if recipe.epochs else stage.steps
        assert abs(scaled.steps - length * steps / before) <= 1
        assert abs(scaled.warm_up_steps - stage.warm_up_steps * steps / before) <= 1
    every = recipe.validate_every * (10 if recipe.epochs else 1)
    assert after.validate_every == max(1, round(every * steps / before))


@pytest.mark.parametrize("recipe", [PAPER, TEMWATCH])
def test_the_learning_rate_of_a_shortened_recipe_is_that_of_the_whole_to_scale(recipe):
    short = lengthened(recipe, total_steps(recipe, 100) // 10, 100)
    for step in range(0, total_steps(short, 100), 7):
        expected = learning_rate(recipe, 10 * step, 100)
        assert learning_rate(short, step, 100) == pytest.approx(expected, rel=0.05, abs=3e-5)


def test_a_stage_warms_up_and_cools_down_by_itself():
    recipe = replace(
        TEMWATCH,
        stages=(
            TrainingStage(name="a", steps=100, simulated_share=1, learning_rate=1.0, warm_up_steps=10),
            TrainingStage(name="b", steps=50, simulated_share=0, learning_rate=0.5, warm_up_steps=5),
        ),
    )
    rates = [learning_rate(recipe, step, 1) for step in range(total_steps(recipe, 1))]

    assert stage_at(recipe, 99)[0].name == "a"
    assert stage_at(recipe, 100) == (recipe.stages[1], 0)
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1)
    assert rates[99] < 0.03
    assert max(rates[100:]) == pytest.approx(0.5)
    assert rates[-1] < 0.03
