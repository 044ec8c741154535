"""Whether a file has left its former path, or cannot be reached there for a while."""

from __future__ import annotations

import os
from pathlib import Path

from temwatch import operating_system
from temwatch.ledger.moves import FormerPlace


def has_left(suspect: FormerPlace) -> bool:
    """Whether a file that was at this path is there no more, though its folder can be reached.

    The file is opened, because a share may answer from its memory what lies there. Anything but a plain "no
    such file" says nothing, nor does a folder whose share is not mounted.
    """
    root = Path(suspect.root)
    path = root / suspect.path
    try:
        handle = os.open(path, os.O_RDONLY | operating_system.WITHOUT_WAITING)
    except (FileNotFoundError, NotADirectoryError):
        # inode, size and time are enough; what has equal content may be a copy of a file out of reach
        return suspect.inode is not None or _is_reachable(root, path, mounted=suspect.mounted)
    except OSError:
        return False
    try:
        return suspect.inode is not None and os.fstat(handle).st_ino != suspect.inode
    finally:
        os.close(handle)


def _is_reachable(root: Path, path: Path, *, mounted: bool) -> bool:
    """Whether what once held a file is there: its root, with something in it, and its own file system."""
    try:
        if not any(root.iterdir()):
            return False
        nearest = next(folder for folder in path.parents if folder.is_dir())
        return not mounted or nearest.stat().st_dev != root.stat().st_dev
    except OSError:
        return False
