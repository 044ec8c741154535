"""temwatch measures nanoparticles in micrographs as they leave the microscope.

The public names are resolved on first use, so that `import temwatch` loads neither torch nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from temwatch.version import __version__

if TYPE_CHECKING:
    from temwatch.analysis.pipeline import analyse, resolve
    from temwatch.formats import read, read_frames
    from temwatch.outputs.holder_log import join_log
    from temwatch.outputs.published_results import read_results

_HOMES = {
    "analyse": "temwatch.analysis.pipeline",
    "join_log": "temwatch.outputs.holder_log",
    "resolve": "temwatch.analysis.pipeline",
    "read": "temwatch.formats",
    "read_frames": "temwatch.formats",
    "read_results": "temwatch.outputs.published_results",
}

__all__ = ["__version__", "analyse", "join_log", "read", "read_frames", "read_results", "resolve"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'temwatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
