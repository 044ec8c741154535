"""`temwatch train`: trains a network on labelled micrographs, with live scores and checkpoints."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

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

    recipe = _recipe(arguments)
    labelled = datasets.load_all(arguments.data)
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
                start_from=arguments.start_from,
                report=report,
                stop=stop,
            )
    except StartError as error:  # no service is started here: the arguments are wrong
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"--output {arguments.output}: {error.strerror or error}") from None
    print(path)  # noqa: T201
    return 0


def _recipe(arguments: argparse.Namespace) -> Recipe:
    recipe = RECIPES[arguments.recipe]
    if arguments.batch is not None:
        if arguments.batch < 2:
            raise UsageError("--batch: needs 2 tiles or more, as means over a batch are taken")
        recipe = replace(recipe, batch=arguments.batch)
    if arguments.simulated is not None:
        recipe = replace(recipe, simulated_micrographs=arguments.simulated)
    return recipe
