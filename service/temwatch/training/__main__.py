"""`python -m temwatch.training --data DIR --output DIR`: train with a progress line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from temwatch.errors import TemwatchError
from temwatch.training import data
from temwatch.training.recipes import RECIPES
from temwatch.training.schedule import Report


def main() -> int:
    """Parse, load, train."""
    # read when torch is loaded: threads that spin while they wait take the cores that prepare the tiles
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from temwatch.training.train import train

    parser = argparse.ArgumentParser(prog="python -m temwatch.training")
    parser.add_argument(
        "--data", type=Path, required=True, action="append", help="data set, or folder of them"
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="temwatch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--steps-factor", type=float, default=1.0, help="shortens or lengthens every stage")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.recipe]
    if arguments.steps_factor != 1:
        stages = tuple(
            replace(
                stage,
                steps=round(stage.steps * arguments.steps_factor),
                warm_up_steps=round(stage.warm_up_steps * arguments.steps_factor),
            )
            for stage in recipe.stages
        )
        recipe = replace(recipe, stages=stages)
    try:
        labelled = [item for folder in arguments.data for item in data.load(folder)]
        path = train(
            labelled,
            arguments.output,
            recipe,
            seed=arguments.seed,
            device=arguments.device,
            workers=arguments.workers,
            report=_tell,
        )
    except TemwatchError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(path)  # noqa: T201
    return 0


def _tell(report: Report) -> None:
    values = " ".join(f"{name}={value:.4g}" for name, value in report.values.items())
    if report.values or report.step % 50 == 0:
        clock = time.strftime("%H:%M:%S")
        print(f"{clock} {report.stage} {report.step}/{report.steps} {values}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
