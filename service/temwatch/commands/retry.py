"""`temwatch retry`: analyses failed and refused micrographs again."""

from __future__ import annotations

import argparse
import sys

from temwatch import config as configuration
from temwatch.choices import implausible_pixel_size, is_plausible_pixel_size
from temwatch.commands.send_request import ask_service
from temwatch.errors import UsageError
from temwatch.ledger import is_held
from temwatch.names import plural


def run(arguments: argparse.Namespace) -> int:
    """Put them into the queue again; a running service starts at once."""
    config = configuration.load(arguments.config)
    size = arguments.pixel_size
    if size is not None and not is_plausible_pixel_size(size):
        raise UsageError(f"--pixel-size: {implausible_pixel_size(size)}")
    done = ask_service(config, "retry", paths=arguments.paths or None, pixel_size_nm=size)
    running = is_held(config.output.state)
    later = "" if running else " when the service next starts"
    print(f"{plural(done['files'], 'micrograph')} will be analysed again{later}")  # noqa: T201
    for path in done["unknown"]:
        print(f"temwatch: {path}: no such micrograph", file=sys.stderr)  # noqa: T201
    for path, stated_nm in done.get("stated", ()):
        print(  # noqa: T201
            f"temwatch: {path}: states {stated_nm:g} nm per pixel itself, nothing changed; "
            "temwatch calibrate corrects it",
            file=sys.stderr,
        )
    return 1 if done["unknown"] or done.get("stated") else 0
