"""`temwatch rebuild`: writes every table and picture again from the ledger.

Where the separation settings have changed, it first separates and measures the stored segmentations again.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import track

from temwatch import config as configuration
from temwatch.commands.send_request import ask_service
from temwatch.commands.terminal import known_sample
from temwatch.ledger import Reader
from temwatch.names import plural


def run(arguments: argparse.Namespace) -> int:
    """Rewrite the results of one or all samples; a running service does it itself, with its own settings."""
    config = configuration.load(arguments.config)
    with Reader(config.output.state) as reader:
        if arguments.sample is None:
            samples = [row.sample for row in reader.samples()]
        else:
            samples = [known_sample(reader, arguments.sample)]
    quiet = not sys.stderr.isatty()
    renewed, other_settings = 0, False
    for sample in track(samples, "rebuilding", console=Console(stderr=True), transient=True, disable=quiet):
        answer = ask_service(config, "rebuild", sample=sample)
        renewed += answer["renewed"]
        other_settings = other_settings or answer["separation"] != config.separation.model_dump()
    again = f"; {plural(renewed, 'micrograph')} separated and measured again" if renewed else ""
    print(f"{plural(len(samples), 'sample')} rebuilt in {config.output.folder}{again}")  # noqa: T201
    if other_settings:
        print(  # noqa: T201
            "temwatch: the running service uses other [separation] settings; restart it, then rebuild",
            file=sys.stderr,
        )
    return 0
