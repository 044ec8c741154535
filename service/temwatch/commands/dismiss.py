"""`temwatch dismiss`: remarks on micrographs that need no more attention."""

from __future__ import annotations

import argparse

from temwatch.commands.caller import author, config_of
from temwatch.commands.decide import say_unknown
from temwatch.commands.send_request import ask_service
from temwatch.commands.terminal import known_sample
from temwatch.errors import UsageError
from temwatch.ledger import Reader
from temwatch.names import plural, printable


def run(arguments: argparse.Namespace) -> int:
    """Dismiss remarks on micrographs or on a sample, or show them again; 1 where something is not known.

    Raises
    ------
    UsageError
        A path names several files, or it is not clear what is meant: nothing has changed.
    """
    if bool(arguments.paths) == (arguments.sample is not None):
        raise UsageError("name either micrographs or a --sample")
    config = config_of(arguments)
    which = {"paths": arguments.paths, "frame": arguments.frame}
    if arguments.sample is not None:
        with Reader(config.output.state) as reader:
            which = {"sample": known_sample(reader, arguments.sample)}
    done = ask_service(
        config,
        "show" if arguments.again else "dismiss",
        **which,
        notes=arguments.note,
        **author(arguments),
    )
    if "refused" in done:
        raise UsageError(printable(done["refused"]))
    if arguments.sample is None:
        where = plural(done["micrographs"], "micrograph")
    else:
        where = plural(len(done["changes"]), "sample")
    print(f"remarks shown again on {where}" if arguments.again else f"remarks dismissed on {where}")  # noqa: T201
    return say_unknown(done["unknown"])
