"""`temwatch undo`: takes changes of the history back."""

from __future__ import annotations

import argparse

from temwatch.commands.caller import author, config_of
from temwatch.commands.send_request import ask_service
from temwatch.errors import UsageError
from temwatch.names import plural, printable


def run(arguments: argparse.Namespace) -> int:
    """Undo all of them or none.

    Raises
    ------
    UsageError
        One of them cannot be undone: nothing has changed.
    """
    done = ask_service(config_of(arguments), "undo", changes=arguments.changes, **author(arguments))
    if "refused" in done:
        raise UsageError(printable(done["refused"]))
    print(f"{plural(len(done['changes']), 'change')} undone")  # noqa: T201
    return 0
