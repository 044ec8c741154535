"""`temwatch export`: writes a sample in other formats."""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from temwatch import compiled_code
from temwatch.choices import ExportFormat
from temwatch.commands import terminal
from temwatch.commands.caller import configured
from temwatch.errors import UsageError
from temwatch.ledger import Reader, sample_settings


def run(arguments: argparse.Namespace) -> int:
    """Write the formats into the folder `--output`."""
    config = configured(arguments.config, arguments.results)
    names = list(dict.fromkeys(name.strip() for name in arguments.formats.split(",") if name.strip()))
    for name in names:
        if name not in get_args(ExportFormat):
            raise UsageError(f"--formats: {name!r} is not one of {', '.join(get_args(ExportFormat))}")
    compiled_code.keep_in(compiled_code.user_folder())
    from temwatch.outputs import exports  # loads numba

    with Reader(config.output.state) as reader:
        sample = terminal.known_sample(reader, arguments.sample)
        chosen = sample_settings.saved_filter(reader, sample)
    if chosen.words:
        print(f"temwatch: only particles with {chosen.words}", file=sys.stderr)  # noqa: T201
    with Reader(config.output.state, chosen) as reader:
        steps = exports.steps(reader, sample, names)
        try:
            with terminal.steps(f"exporting {sample}", steps) as advance:
                paths = exports.export(reader, arguments.output.absolute(), sample, names, advance)
        except OSError as error:
            raise UsageError(f"--output {arguments.output}: {error.strerror or error}") from None
    for path in paths:
        print(path)  # noqa: T201
    return 0
