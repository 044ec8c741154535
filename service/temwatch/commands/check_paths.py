"""Checks of the folders for `temwatch check`: permissions, free space, file systems, inotify limits."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from temwatch.acquisition.scan import scan
from temwatch.config import Config
from temwatch.mounts import mount_of

Finding = tuple[str, str]
"""Level (ok, warning, error) and text."""

# the same limits as in the alerts TemwatchDiskLow and TemwatchDiskFull
LOW_SPACE_BYTES = 10 * 1024**3
NO_SPACE_BYTES = 1024**3

_OVER_A_NETWORK = (
    "9p",
    "afs",
    "beegfs",
    "beegfs_nodev",
    "ceph",
    "cifs",
    "fuse.ceph",
    "fuse.glusterfs",
    "fuse.sshfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
)
_COUNTING_SECONDS = 5.0


def watched(config: Config) -> Iterator[Finding]:
    """The acquisition folder, and whether the files in it can be read."""
    folder = config.watch.folder
    if not folder.is_dir():
        yield "warning", f"{folder} does not exist; the service waits for it"
        return
    if not os.access(folder, os.R_OK | os.X_OK):
        yield "error", f"{folder} cannot be listed by this user; allow it (chmod o+rx, or the group)"
        return
    point, kind = mount_of(folder.resolve())
    if kind in _OVER_A_NETWORK:
        yield "ok", f"{folder} ({kind}: new files are found by scans, not by events)"
        if folder.resolve() == point:
            yield (
                "warning",
                f"{folder} is the mount point of the share: while the share is away it is an "
                "empty folder, which looks as if no new files had come; watch a folder inside the share",
            )
    else:
        yield "ok", str(folder)
    first = next(scan(folder, config.watch.patterns, skip=(config.output.folder, config.output.state)), None)
    if first is not None and not os.access(folder / first.path, os.R_OK):
        yield "error", f"{folder / first.path} cannot be read by this user; allow it for all new files"


def output(config: Config) -> Iterator[Finding]:
    """Folders of results and state: whether this user can write there, and the free space."""
    for folder in dict.fromkeys((config.output.folder, config.output.state)):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=existing) as stream:  # on NFS the permission bits do not tell
                stream.write(b"temwatch")
        except OSError as error:
            yield "error", f"{folder} cannot be written by this user ({existing}: {error.strerror})"
            continue
        free = shutil.disk_usage(existing).free
        text = f"{folder}, {free / 1024**3:.1f} GiB free"
        if free < NO_SPACE_BYTES:
            yield "error", f"{text}: too little for results"
        else:
            yield "ok" if free > LOW_SPACE_BYTES else "warning", text
    if (kind := mount_of(config.output.state.resolve())[1]) in _OVER_A_NETWORK:
        yield (
            "warning",
            f"{config.output.state} lies on {kind}; SQLite needs a local disk: see [output] state_folder",
        )
    if config.watch.folder.is_relative_to(config.output.folder):
        yield (
            "error",
            f"[watch] folder lies in [output] folder {config.output.folder}; no file would be found",
        )


def inotify(config: Config, limits: Path = Path("/proc/sys/fs/inotify")) -> Iterator[Finding]:
    """Whether the kernel's limits allow a watch on every folder."""
    try:
        watches = int((limits / "max_user_watches").read_text())
        instances = int((limits / "max_user_instances").read_text())
    except (OSError, ValueError):
        yield "warning", "limits unknown; scans find new files where events do not"
        return
    folders, counted = _count_folders(config.watch.folder)
    text = f"{watches} watches, {instances} instances, {folders}{'' if counted else ' or more'} folders"
    if folders > 0.9 * watches:
        yield (
            "warning",
            f"{text}: too few watches, new files are found by scans only; raise fs.inotify.max_user_watches",
        )
    elif instances < 16:
        yield "warning", f"{text}: few instances; raise fs.inotify.max_user_instances"
    else:
        yield "ok", text


def _count_folders(root: Path) -> tuple[int, bool]:
    """Number of folders at and below `root`, each of which needs a watch; False where time ran out."""
    number, deadline_s = 0, time.monotonic() + _COUNTING_SECONDS
    for number, _ in enumerate(os.walk(root), 1):
        if time.monotonic() > deadline_s:
            return number, False
    return number, True
