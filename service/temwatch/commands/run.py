"""`temwatch run`: the service."""

from __future__ import annotations

import argparse

from temwatch import compiled_code, config, operating_system
from temwatch.formats import rosettasciio


def run(arguments: argparse.Namespace) -> int:
    """Watch until the service is stopped."""
    operating_system.need_linux("run")
    settings = config.load(arguments.config)
    rosettasciio.use(settings.watch.rosettasciio)
    compiled_code.keep_in(compiled_code.service_folder(settings.output.state))
    from temwatch.daemon import service  # loads numba

    service.run(settings)
    return 0
