"""Where numba keeps the code that it compiles, so that a machine compiles it once.

numba reads NUMBA_CACHE_DIR when it is loaded and never again: a command calls `keep_in` before it imports
anything that loads numba. Worker processes inherit the folder.

numba compiles a function anew when its own file changes, but not when a constant or function that it takes
from another file does. The folder is therefore named by a digest of all sources that are compiled: after an
upgrade nothing is computed with the constants of the version before.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_COMPILED_ROOM = Path(__file__).parent / "analysis"


def keep_in(folder: Path) -> None:
    """Keep compiled code below this cache folder; where NUMBA_CACHE_DIR is set already, it stays there."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder / "numba" / _digest_of_sources()))


def _digest_of_sources() -> str:
    sources = hashlib.sha256()
    for path in sorted(_COMPILED_ROOM.rglob("*.py")):
        sources.update(str(path.relative_to(_COMPILED_ROOM)).encode())
        sources.update(path.read_bytes())
    return sources.hexdigest()[:12]


def service_folder(state: Path) -> Path:
    """The cache folder of a service: CacheDirectory= of the systemd unit, else in its state folder."""
    return Path(os.environ.get("CACHE_DIRECTORY") or state / "cache")


def user_folder() -> Path:
    """The user's cache folder: compiling takes minutes, too long for the output folder of a single run."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(base).expanduser() / "temwatch"
