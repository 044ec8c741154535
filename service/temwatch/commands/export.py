"""`temwatch export`: writes the tables of a sample in other formats."""

from __future__ import annotations

import argparse
from typing import get_args

from temwatch import config as configuration
from temwatch.commands.terminal import known_sample
from temwatch.config import TableFormat
from temwatch.errors import UsageError
from temwatch.ledger import Reader
from temwatch.outputs import sample_folder


def run(arguments: argparse.Namespace) -> int:
    """Write the tables into the folder `--output`."""
    config = configuration.load(arguments.config)
    names = [name.strip() for name in arguments.formats.split(",") if name.strip()]
    for name in names:
        if name not in get_args(TableFormat):
            raise UsageError(f"--formats: {name!r} is not one of {', '.join(get_args(TableFormat))}")
    with Reader(config.output.state) as reader:
        sample = known_sample(reader, arguments.sample)
        try:
            paths = sample_folder.export(reader, arguments.output.absolute(), sample, names)
        except OSError as error:
            raise UsageError(f"--output {arguments.output}: {error.strerror or error}") from None
    for path in paths:
        print(path)  # noqa: T201
    return 0
