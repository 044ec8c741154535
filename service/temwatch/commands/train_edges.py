"""`temwatch train-edges`: trains the network that says where particles end, on simulated micrographs."""

from __future__ import annotations

import argparse
import os

from temwatch import compiled_code
from temwatch.commands.training_display import progress_display, stop_on_interrupt
from temwatch.errors import UsageError

_LIVE = ("loss", "learning_rate")


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue from what is in the output folder; prints the path of the weights."""
    # read when torch is loaded: spinning threads would occupy the cores that other work needs
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    compiled_code.keep_in(compiled_code.user_folder())
    from temwatch.training.edge_training import SIZE_CLASSES_PX, EdgeRecipe, train_edges

    biases = [f"{kind}_percent_{name}" for name in SIZE_CLASSES_PX for kind in ("bias", "error")]
    validated = ("loss", *biases, "validation_loss")
    workers = os.cpu_count() or 1 if arguments.workers is None else arguments.workers
    try:
        with stop_on_interrupt() as stop, progress_display(_LIVE, validated) as report:
            path = train_edges(
                arguments.output,
                EdgeRecipe(micrographs=arguments.micrographs, steps=arguments.steps),
                seed=arguments.seed,
                workers=workers,
                report=report,
                stop=stop,
            )
    except OSError as error:
        raise UsageError(f"--output {arguments.output}: {error.strerror or error}") from None
    print(path)  # noqa: T201
    return 0
