"""How a network is trained: the recipes, with every number in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from temwatch.analysis.segmentation.weights import FINE, PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How a tile is varied.

    Intensities are in units of the normalised image, where percentiles 1 and 99 are 2 apart; shares are
    probabilities. `upright_share` of the tiles are neither turned nor mirrored, so that the network sees
    letters upright; `lettering_share` get additional letters. `blur_share` are blurred, by up to
    `blur_sd_px`. On `film_share` lie sheets of film with edges and folds, each of which absorbs up to
    `film_darkness` of the beam; `gamma` is the largest exponent, or its inverse, of a tone curve.
    """

    scale: tuple[float, float]
    rotation_deg: float = 180.0
    brightness: float = 0.0
    contrast: float = 0.0
    illumination: float = 0.0
    blur_share: float = 0.0
    blur_sd_px: float = 1.5
    noise_share: float = 0.0
    noise_sd: float = 0.0
    elastic_share: float = 0.0
    upright_share: float = 0.0
    lettering_share: float = 0.0
    film_share: float = 0.0
    film_darkness: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStage:
    """A part of the training: `steps` batches, a share of each from simulated micrographs."""

    name: str
    steps: int
    simulated_share: float
    learning_rate: float
    warm_up_steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that determines the weights, together with data and seed.

    `tiles` is grid (a picture cut into tiles, and the whole reduced to one) or random. An epoch of a grid is
    every tile once; `epochs` then replaces the steps of the stage. Of random tiles, `contact_share` lie about
    a place where particles touch and `particle_share` about a particle. Where the typical particle measures
    `half_size_from_px` or more, weights look at half the size as well. Micrographs whose noise makes weights
    look at smaller sizes are shown at one of the `noisy_sizes`.
    """

    name: str
    architecture: str = PLAIN
    classes: tuple[str, ...]
    tiles: Literal["grid", "random"]
    tile_px: int = 256
    batch: int
    enlarge: int = 1
    max_side_px: int | None = None
    half_size_from_px: float | None = None
    noisy_sizes: tuple[float, ...] = (1.0,)
    stages: tuple[TrainingStage, ...]
    epochs: int | None = None
    optimizer: Literal["sgd", "adamw"]
    weight_decay: float
    schedule: Literal["steps", "cosine"]
    loss: Literal["cross_entropy", "boundary"]
    ema_decay: float | None = None
    contact_share: float = 0.0
    particle_share: float = 0.0
    augmentation: Augmentation
    shares: tuple[float, ...]
    validate_every: int
    simulated_micrographs: int = 0
    simulated_side_px: int = 640


PAPER = Recipe(
    name="paper",
    classes=("mask",),
    tiles="grid",
    batch=30,
    max_side_px=1024,
    stages=(TrainingStage(name="labelled", steps=0, simulated_share=0.0, learning_rate=0.01),),
    epochs=120,
    optimizer="sgd",
    weight_decay=1e-4,
    schedule="steps",
    loss="cross_entropy",
    augmentation=Augmentation(scale=(0.8, 1.25), brightness=0.1, contrast=0.2),
    shares=(0.6, 0.2, 0.2),
    validate_every=2,
)
"""Gumbiowski et al., Nanoscale Adv. 2023, 5, 2318; it starts from random weights instead of ImageNet's."""

TEMWATCH = Recipe(
    name="temwatch",
    architecture=FINE,
    classes=("mask", "contacts"),
    tiles="random",
    batch=16,
    stages=(
        TrainingStage(
            name="simulated", steps=9000, simulated_share=1.0, learning_rate=1e-3, warm_up_steps=500
        ),
        TrainingStage(
            name="labelled", steps=21000, simulated_share=0.5, learning_rate=5e-4, warm_up_steps=200
        ),
    ),
    optimizer="adamw",
    weight_decay=0.01,
    schedule="cosine",
    loss="boundary",
    ema_decay=0.998,
    half_size_from_px=40.0,
    noisy_sizes=(1.0, 0.5, 0.25),
    contact_share=0.2,
    particle_share=0.3,
    augmentation=Augmentation(
        scale=(0.35, 1.6),
        brightness=0.06,
        contrast=0.3,
        illumination=0.4,
        blur_share=0.3,
        blur_sd_px=2.5,
        noise_share=0.4,
        noise_sd=0.4,
        elastic_share=0.05,
        upright_share=0.4,
        lettering_share=0.35,
        film_share=0.25,
        film_darkness=0.6,
        gamma=1.5,
    ),
    shares=(0.8, 0.2),
    validate_every=1000,
    simulated_micrographs=1000,
)
"""First on simulated micrographs, then on labelled and simulated ones together."""

REFINE = replace(
    TEMWATCH,
    name="refine",
    stages=(
        TrainingStage(
            name="labelled", steps=12000, simulated_share=0.5, learning_rate=3e-4, warm_up_steps=200
        ),
    ),
    validate_every=2000,
)
"""Only the second stage, for existing weights (`--start-from`)."""

RECIPES = {recipe.name: recipe for recipe in (PAPER, TEMWATCH, REFINE)}


def lengthened(recipe: Recipe, steps: int, steps_per_epoch: int) -> Recipe:
    """The recipe with `steps` batches in total; every stage and the validation interval are scaled."""
    if recipe.epochs is not None:
        epochs, every = recipe.epochs, recipe.validate_every * steps_per_epoch
        whole = replace(recipe.stages[-1], steps=epochs * steps_per_epoch)
        recipe = replace(recipe, epochs=None, stages=(whole,), validate_every=every)
    total = sum(stage.steps for stage in recipe.stages)
    ends = [0]
    for stage in recipe.stages:
        ends.append(ends[-1] + stage.steps)
    ends = [round(end * steps / total) for end in ends]
    stages = tuple(
        replace(
            stage,
            steps=end - start,
            warm_up_steps=round(stage.warm_up_steps * steps / total),
        )
        for stage, start, end in zip(recipe.stages, ends[:-1], ends[1:], strict=True)
    )
    return replace(recipe, stages=stages, validate_every=max(1, round(recipe.validate_every * steps / total)))
