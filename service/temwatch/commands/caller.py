"""Who calls a command, and about whose results."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import Any

from temwatch import config as configuration
from temwatch.config import Config
from temwatch.ledger import Reader, run_settings


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
    except (ImportError, KeyError, OSError):  # a user without a name
        by = "unknown"
    return {"by": by, "source": "command", "reason": arguments.reason}
