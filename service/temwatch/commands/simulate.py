"""`temwatch simulate`: synthetic micrographs with their ground truth."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import track

from temwatch import simulator
from temwatch.errors import UsageError
from temwatch.names import plural


def run(arguments: argparse.Namespace) -> int:
    """Write the series, with a progress bar."""
    paths = simulator.write_series(
        arguments.output,
        micrographs=arguments.micrographs,
        frames=arguments.frames,
        overlap=arguments.overlap,
        seed=arguments.seed,
        drift_px=arguments.drift,
        flicker=arguments.flicker,
    )
    try:
        written = list(
            track(
                paths,
                description="simulating",
                total=1 if arguments.frames else arguments.micrographs,
                console=Console(stderr=True),
                disable=not sys.stderr.isatty(),
                transient=True,
            )
        )
    except OSError as error:
        raise UsageError(f"--output {arguments.output}: {error.strerror or error}") from None
    what = plural(len(written), "stack" if arguments.frames else "micrograph")
    print(f"{what} with ground truth in {arguments.output}")  # noqa: T201
    return 0
