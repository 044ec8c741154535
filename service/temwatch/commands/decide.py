"""What `exclude` and `include` share: they work beside a running service, or without one."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from temwatch import config as configuration
from temwatch.commands.send_request import ask_service
from temwatch.config import Config
from temwatch.errors import UsageError
from temwatch.ledger import Reader, run_settings
from temwatch.names import plural, printable


def config_of(arguments: argparse.Namespace) -> Config:
    """The configuration of the service, or the settings of the run that an output folder comes from."""
    return configured(arguments.config, arguments.output)


def configured(file: Path | None, results: Path) -> Config:
    """The configuration in a file; without one the settings with which a folder of results was made.

    Raises
    ------
    ConfigError
        The file cannot be used.
    StartError
        There is no ledger in the folder.
    """
    if file is not None:
        return configuration.load(file)
    folder = results.absolute()
    with Reader(folder / configuration.STATE_FOLDER) as reader:
        return run_settings.stored(reader, folder)


def author(arguments: argparse.Namespace) -> dict[str, Any]:
    """Who decides, and why."""
    try:
        by = arguments.by or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        by = "unknown"
    return {"by": by, "source": "command", "reason": arguments.reason}


def run(kind: str, arguments: argparse.Namespace) -> int:
    """Exclude or include; 1 where something is not known.

    Raises
    ------
    UsageError
        A path names several files, or particles of several micrographs are asked for: nothing has changed.
    """
    done = ask_service(
        config_of(arguments),
        kind,
        paths=arguments.paths,
        frame=arguments.frame,
        particles=arguments.particle,
        **author(arguments),
    )
    if "refused" in done:
        raise UsageError(printable(done["refused"]))
    noun = "frame" if arguments.frame is not None else "micrograph"
    what = plural(done["particles"], "particle") if arguments.particle else plural(done["micrographs"], noun)
    print(f"{what} {kind}d")  # noqa: T201
    return say_unknown(done["unknown"])


def say_unknown(unknown: Sequence[str]) -> int:
    """Name on standard error what nothing was done about; gives the exit code."""
    for words in unknown:
        known = ": " in words
        print(f"temwatch: {printable(words)}" + ("" if known else ": no such micrograph"), file=sys.stderr)  # noqa: T201
    return 1 if unknown else 0
