"""Where numba keeps the code that it compiles, so that a machine compiles it once.

numba reads NUMBA_CACHE_DIR when it is loaded and never again: a command calls `keep_in` before it imports
anything that loads numba. Worker processes inherit the folder.
"""

from __future__ import annotations

import os
from pathlib import Path


def keep_in(folder: Path) -> None:
    """Keep compiled code below this cache folder; where NUMBA_CACHE_DIR is set already, it stays there."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder / "numba"))


def service_folder(state: Path) -> Path:
    """The cache folder of a service, in its state folder; the systemd unit names its own."""
    return state / "cache"


def user_folder() -> Path:
    """The user's cache folder: compiling takes minutes, too long for the output folder of a single run."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "temwatch"
