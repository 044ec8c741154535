"""`temwatch exclude`: takes micrographs, frames or particles out of the data set."""

from __future__ import annotations

import argparse

from temwatch.commands import decide


def run(arguments: argparse.Namespace) -> int:
    """See `decide.run`."""
    return decide.run("exclude", arguments)
