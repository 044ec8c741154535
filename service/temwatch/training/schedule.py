"""The schedule of a training: stage and learning rate of every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from temwatch.training.recipes import Recipe, TrainingStage


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """A progress message: `values` has losses and rates, and after a validation also scores."""

    step: int
    steps: int
    stage: str
    values: dict[str, float]


def total_steps(recipe: Recipe, steps_per_epoch: int) -> int:
    """Number of batches of the whole training."""
    if recipe.epochs is not None:
        return recipe.epochs * steps_per_epoch
    return sum(stage.steps for stage in recipe.stages)


def stage_at(recipe: Recipe, step: int) -> tuple[TrainingStage, int]:
    """The stage that a step (from 0) belongs to, and the step's number within it."""
    for stage in recipe.stages[:-1]:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    return recipe.stages[-1], step


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Learning rate of the step (from 0): times 0.75 in eight parts, or warm-up and half a cosine a stage."""
    stage, within = stage_at(recipe, step)
    if recipe.schedule == "steps":
        # the paper's: every 15 of 120 epochs
        return float(stage.learning_rate * 0.75 ** (8 * step // total_steps(recipe, steps_per_epoch)))
    if within < stage.warm_up_steps:
        return stage.learning_rate * (within + 1) / stage.warm_up_steps
    progress = (within - stage.warm_up_steps) / max(1, stage.steps - stage.warm_up_steps)
    return stage.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
