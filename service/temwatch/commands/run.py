"""`temwatch run`: the service."""

from __future__ import annotations

import argparse

from temwatch import config
from temwatch.daemon import service


def run(arguments: argparse.Namespace) -> int:
    """Watch until told to stop."""
    service.run(config.load(arguments.config))
    return 0
