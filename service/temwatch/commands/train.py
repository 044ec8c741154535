"""`temwatch train`: trains a network on labelled micrographs, with live scores and checkpoints."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from temwatch.commands import terminal
from temwatch.errors import StartError, UsageError
from temwatch.training import datasets
from temwatch.training.recipes import RECIPES, Recipe
from temwatch.training.schedule import TrainingProgress

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
_SIMULATED_LINES = 50
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
        with _stop_on_interrupt() as stop, _progress_display() as report:
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


@contextlib.contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C stops the training after the present step; a second Ctrl-C stops it immediately."""
    is_asked = False

    def interrupt(*_: object) -> None:
        nonlocal is_asked
        if is_asked:
            raise KeyboardInterrupt
        is_asked = True
        # print is not safe here: the signal may interrupt a print
        os.write(2, b"\nsaving a checkpoint after this step; press Ctrl-C again to stop without one\n")

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: is_asked
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def _progress_display() -> Iterator[Callable[[TrainingProgress], None]]:
    """A progress bar with the latest scores, and a line per validation; without a terminal lines only."""
    console = terminal.console(stderr=True)
    if not console.is_terminal:
        yield _line
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[measures]}"),
        console=console,
    ) as bar:
        tasks: dict[bool, TaskID] = {}

        def tell(report: TrainingProgress) -> None:
            simulating = not report.values
            if simulating not in tasks:
                # a bar that starts at 0 would count the steps of a checkpoint as steps of this run
                tasks[simulating] = bar.add_task(
                    report.stage, completed=report.step, total=report.steps, measures=""
                )
            bar.update(
                tasks[simulating],
                description=report.stage,
                completed=report.step,
                measures=_text(report.values, _LIVE),
            )
            if "score" in report.values:
                bar.console.print(f"step {report.step}: {_text(report.values, _VALIDATED)}", soft_wrap=True)

        yield tell


def _line(report: TrainingProgress) -> None:
    if not report.values and report.step % _SIMULATED_LINES and report.step != report.steps:
        return
    names = _LIVE + tuple(name for name in _VALIDATED if name not in _LIVE)
    clock = time.strftime("%H:%M:%S")
    text = f"{clock} {report.stage} {report.step}/{report.steps} {_text(report.values, names)}"
    print(text.rstrip(), file=sys.stderr, flush=True)  # noqa: T201


def _text(values: Mapping[str, float], names: tuple[str, ...]) -> str:
    return "  ".join(f"{name} {values[name]:.4g}" for name in names if name in values)
