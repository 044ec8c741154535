"""What `exclude` and `include` share: they work beside a running service, or without one."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from temwatch import config as configuration
from temwatch.commands.send_request import ask_service
from temwatch.commands.terminal import plural
from temwatch.config import Config
from temwatch.errors import UsageError
from temwatch.names import printable


def config_of(arguments: argparse.Namespace) -> Config:
    """The configuration of the service, or what `analyse` uses for an output folder."""
    if arguments.config is not None:
        return configuration.load(arguments.config)
    folder = {"folder": str(arguments.output.absolute())}
    return Config.model_validate({"watch": folder, "output": folder})


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
    for words in done["unknown"]:
        known = ": " in words
        print(f"temwatch: {printable(words)}" + ("" if known else ": no such micrograph"), file=sys.stderr)  # noqa: T201
    return 1 if done["unknown"] else 0
