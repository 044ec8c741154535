"""Files that are written completely or not at all, even if the process is killed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from temwatch.errors import Unwritable
from temwatch.operating_system import sync_folder

_BLOCK_CHARACTERS = 1 << 20


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content replaces the file `path` at the end, durably, or not at all.

    The folder is created if missing. The temporary name is fixed, so that the next attempt overwrites what a
    killed one left.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("w+b") as stream:  # HDF5 reads what it has written
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def writing() -> Iterator[None]:
    """Around what writes results: the file system's errors become `Unwritable`, unlike those of a reader."""
    try:
        yield
    except OSError as error:
        raise Unwritable(error.errno, error.strerror or str(error), error.filename) from None


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, each of them durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def length(path: Path) -> int:
    """Length of a file in bytes, -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def blocks(texts: Iterable[str]) -> Iterator[bytes]:
    """Text in pieces of about a megabyte, so that a reader of the file sees whole rows."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size > _BLOCK_CHARACTERS:
            yield "".join(block).encode()
            block, size = [], 0
    yield "".join(block).encode()


def write_whole(path: Path, texts: Iterable[str]) -> int:
    """Replace a file by text; returns its length in bytes."""
    with replacing(path) as stream:
        for block in blocks(texts):
            stream.write(block)
        return stream.tell()
