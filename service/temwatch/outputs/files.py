"""Files that are there whole or not at all, whatever ends the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content takes the place of `path` at the end, durably, or not at all.

    The folder is made where missing. The temporary name is fixed, so that the next attempt takes over what a
    killed one left.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, each of them durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def length(path: Path) -> int:
    """Length of a file in bytes, -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
