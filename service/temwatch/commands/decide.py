"""What `exclude` and `include` share: they work beside a running service, or without one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from temwatch.commands.caller import author, config_of
from temwatch.commands.send_request import ask_service
from temwatch.errors import UsageError
from temwatch.names import plural, printable


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
        print(f"temwatch: {printable(words)}", file=sys.stderr)  # noqa: T201
    return 1 if unknown else 0
