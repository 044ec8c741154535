"""What interrupted drawings leave behind: files under a temporary name."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.(png|csv|json|xlsx|parquet|html|svg|pdf)\.new|\.new\.film\.mp4", re.DOTALL)
_TEMPORARY_FRAME = re.compile(r".+\.new", re.DOTALL)  # see film.write_frame_picture


def remove_meanwhile(output: Path, state: Path) -> None:
    """Remove what earlier runs have left, in a thread of its own: a share of many folders takes its time."""
    threading.Thread(target=remove, args=(output, state, time.time()), name="leftovers", daemon=True).start()


def remove(output: Path, state: Path, before_s: float) -> int:
    """Remove temporary files below the output folder that are older than a moment; gives how many.

    What is being written now is newer. An error ends it: leftovers do no harm.
    """
    count = 0
    with suppress(OSError):
        for folder, folders, names in os.walk(output):
            folders[:] = [name for name in folders if Path(folder, name) != state]
            pattern = _TEMPORARY_FRAME if Path(folder).name == "frames" else _TEMPORARY
            for name in names:
                path = Path(folder, name)
                if pattern.fullmatch(name) and path.lstat().st_mtime < before_s:
                    path.unlink()
                    count += 1
    return count
