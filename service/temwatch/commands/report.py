"""`temwatch report`: writes the one-page report of a sample and its charts."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from temwatch.commands.caller import configured
from temwatch.commands.terminal import known_sample
from temwatch.errors import UsageError
from temwatch.ledger import Reader, sample_settings
from temwatch.outputs import paths, sample_report


def run(arguments: argparse.Namespace) -> int:
    """Write them into the folder `report` of the sample, or into `--output`."""
    config = configured(arguments.config, arguments.results)
    with Reader(config.output.state) as reader:
        sample = known_sample(reader, arguments.sample)
        chosen = sample_settings.saved_filter(reader, sample)
    with Reader(config.output.state, chosen) as reader:
        folder = (arguments.output or paths.report_folder(config.output.folder, sample)).absolute()
        try:
            with reader.snapshot():
                written = sample_report.write(reader, sample, folder, datetime.now(UTC))
        except OSError as error:
            raise UsageError(f"{folder}: {error.strerror or error}") from None
    for path in written:
        print(path)  # noqa: T201
    return 0
