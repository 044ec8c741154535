"""`temwatch train`: trains a network on labelled micrographs, with live scores and checkpoints."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from temwatch.analysis.segmentation import weights
from temwatch.commands.training_display import progress_display, stop_on_interrupt
from temwatch.errors import StartError, UsageError
from temwatch.training import datasets
from temwatch.training.recipes import RECIPES, Recipe

_LIVE = ("loss", "learning_rate", "tiles_per_second")
_VALIDATED = (
    "loss",
    "iou_particle",
    "iou_background",
    "boundary_f1_per_micrograph",
    "particle_f1",
    "particle_f1_per_micrograph",
    "score",
    "best_score",
)
_MOST_WORKERS = 8


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue from the checkpoint in the output folder; prints the path of the weights."""
    # read when torch is loaded: spinning threads would occupy the cores that prepare the tiles
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from temwatch.training.train import train

    recipe, start_from = beginning(arguments)
    recipe = _recipe(arguments, recipe)
    labelled = datasets.load_all(arguments.data)
    if remark := datasets.divide_any(labelled, recipe.shares, arguments.seed)[1]:
        print(f"temwatch: {remark}", file=sys.stderr)  # noqa: T201
    # the other half of the cores is for the network, where it runs on the CPU
    workers = max(1, min(_MOST_WORKERS, (os.cpu_count() or 2) // 2))
    try:
        with stop_on_interrupt() as stop, progress_display(_LIVE, _VALIDATED) as report:
            path = train(
                labelled,
                arguments.output,
                recipe,
                seed=arguments.seed,
                device=arguments.device,
                workers=workers if arguments.workers is None else arguments.workers,
                steps=arguments.steps,
                start_from=start_from,
                report=report,
                stop=stop,
            )
    except StartError as error:  # no service is started here: the arguments are wrong
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"--output {arguments.output}: {error.strerror or error}") from None
    print(path)  # noqa: T201
    return 0


def beginning(arguments: argparse.Namespace) -> tuple[Recipe, Path | None]:
    """The recipe, and the weights to begin with; `default` are those that come with temwatch.

    Raises
    ------
    UsageError
        `default`, and there are none.
    """
    is_default = str(arguments.start_from) == "default"
    recipe = RECIPES[arguments.recipe or ("refine" if is_default else "paper")]
    start_from = weights.default_weights() if is_default else arguments.start_from
    if is_default and start_from is None:
        raise UsageError("--start-from default: no weights come with this installation; name a file")
    return recipe, start_from


def _recipe(arguments: argparse.Namespace, recipe: Recipe) -> Recipe:
    if arguments.batch is not None:
        if arguments.batch < 2:
            raise UsageError("--batch: needs 2 tiles or more, as means over a batch are taken")
        recipe = replace(recipe, batch=arguments.batch)
    if arguments.simulated is not None:
        recipe = replace(recipe, simulated_micrographs=arguments.simulated)
    return recipe
