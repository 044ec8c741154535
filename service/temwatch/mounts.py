"""What is mounted where, as the kernel lists it: that asks no share, so it never hangs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")


def mounts(table: Path = _TABLE) -> Iterator[tuple[Path, str]]:
    """Every mount point and the type of its file system; of two at one place the visible one is last."""
    for line in table.read_bytes().splitlines():
        fields, _, after = line.partition(b" - ")
        # a space is written as \040
        name = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), fields.split()[4])
        yield Path(os.fsdecode(name)), os.fsdecode(after.split()[0])


def mount_of(folder: Path, table: Path = _TABLE) -> tuple[Path, str]:
    """Mount point and type of the file system that holds `folder`, which need not exist yet."""
    found = (Path("/"), "")
    for point, kind in mounts(table):
        if folder.is_relative_to(point) and len(point.parts) >= len(found[0].parts):
            found = (point, kind)
    return found
