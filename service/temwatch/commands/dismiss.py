"""`temwatch dismiss`: remarks on micrographs that need no more attention."""

from __future__ import annotations

import argparse

from temwatch.commands.caller import author, config_of
from temwatch.commands.decide import say_unknown
from temwatch.commands.send_request import ask_service
from temwatch.errors import UsageError
from temwatch.names import plural, printable


def run(arguments: argparse.Namespace) -> int:
    """Dismiss remarks, or show them again; 1 where something is not known.

    Raises
    ------
    UsageError
        A path names several files: nothing has changed.
    """
    done = ask_service(
        config_of(arguments),
        "show" if arguments.again else "dismiss",
        paths=arguments.paths,
        frame=arguments.frame,
        notes=arguments.note,
        **author(arguments),
    )
    if "refused" in done:
        raise UsageError(printable(done["refused"]))
    where = plural(done["micrographs"], "micrograph")
    print(f"remarks shown again on {where}" if arguments.again else f"remarks dismissed on {where}")  # noqa: T201
    return say_unknown(done["unknown"])
