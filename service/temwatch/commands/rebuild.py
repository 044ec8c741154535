"""`temwatch rebuild`: every table and picture is a view of the ledger, and this proves it."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import track

from temwatch import config as configuration
from temwatch.commands.show import known_sample
from temwatch.commands.steer import steer
from temwatch.ledger import Reader


def run(arguments: argparse.Namespace) -> int:
    """Rewrite the tables and pictures of one or all samples; a running service does it itself."""
    config = configuration.load(arguments.config)
    with Reader(config.output.state) as reader:
        if arguments.sample is None:
            samples = [row.sample for row in reader.samples()]
        else:
            samples = [known_sample(reader, arguments.sample)]
    quiet = not sys.stderr.isatty()
    for sample in track(samples, "rebuilding", console=Console(stderr=True), transient=True, disable=quiet):
        steer(config, "rebuild", sample=sample)
    print(f"{len(samples)} samples rebuilt in {config.output.folder}")  # noqa: T201
    return 0
