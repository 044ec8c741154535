"""`temwatch include`: puts back what was excluded."""

from __future__ import annotations

import argparse

from temwatch.commands import decide


def run(arguments: argparse.Namespace) -> int:
    """See `decide.run`."""
    return decide.run("include", arguments)
