"""Tables that grow: rows are appended, and a file that somebody else has changed is kept and written anew.

The ledger holds how long a table was when it was last published, the checksum of that content, and what the
file system said of the file. Where the file system says the same, nobody has touched the file since. Where it
does not, the content is read and compared: a copy or a restored backup is no edit.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import BinaryIO

from temwatch import operating_system
from temwatch.ledger import Publication
from temwatch.operating_system import sync_folder
from temwatch.outputs.files import blocks, replacing

_READ_BYTES = 1 << 20
_LONGEST_LINE_BYTES = 1 << 20  # a path and a reason are far shorter
_MOST_ZERO_BYTES = 1 << 24  # that a power cut leaves
_NO_FILE = "no file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a table should hold now.

    Parameters
    ----------
    last_id, generation
        The last row there is, and a number that changes when rows that were published have changed.
    whole, new
        The text of the whole table, and of the rows after a number.
    """

    last_id: int
    generation: int
    whole: Callable[[], Iterable[str]]
    new: Callable[[int], Iterable[str]]


def append_or_replace(
    path: Path, before: Publication | None, content: Content, on_edited: Callable[[str], None]
) -> list[Publication]:
    """Append new rows to a table, or write all of it if published rows have changed.

    Parameters
    ----------
    path, before
        The file, and how far it was published; None if it never was.
    content
        What it should hold now.
    on_edited
        Called with the name under which a file is kept that somebody else has changed, before it is renamed.

    Raises
    ------
    OSError
        The file could not be written.
    """
    there = _signature(path)
    if there == _NO_FILE:
        _keep(path, on_edited)
        return [_replace(path, content)]
    if (
        before is None
        or before.crc32 is None
        or there is None
        or not _continues(path, there, before, content)
    ):
        # a ledger of an older version holds no checksum, and its tables may have fewer columns
        same_columns = before is None or before.crc32 is not None
        if there is not None and not _is_beginning(path, content, same_columns=same_columns):
            _keep(path, on_edited)
        return [_replace(path, content)]
    if before.generation != content.generation:
        return [_replace(path, content)]
    if before.through_id != content.last_id:
        return [_append(path, before, before.crc32, content)]
    return [] if there == before.signature else [replace(before, signature=there)]


def _signature(path: Path) -> str | None:
    """What the file system says of a file; it changes with every write and every rename. None without a file.

    The file is opened: only then does a share show what another computer has just written. A pipe in its
    place is not waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | operating_system.WITHOUT_WAITING)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP):  # a socket, a link to itself
            return _NO_FILE
        raise
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return _NO_FILE
    return f"{status.st_size} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"


def _continues(path: Path, there: str, before: Publication, content: Content) -> bool:
    """Whether a file holds what was published, followed at most by what was being appended at a kill."""
    if there == before.signature:
        return True
    with path.open("rb") as stream:
        same_columns = before.generation == content.generation
        return before.crc32 == _crc32(stream, before.bytes) and _begins(
            stream, content.new(before.through_id), same_columns=same_columns
        )


def _is_beginning(path: Path, content: Content, *, same_columns: bool) -> bool:
    """Whether a file holds nothing but rows of the table as it is now, which may have been restored."""
    with path.open("rb") as stream:
        return _begins(stream, content.whole(), same_columns=same_columns)


def _crc32(stream: BinaryIO, length: int) -> int | None:
    """Checksum of the next bytes, None where there are fewer."""
    crc = 0
    while length:
        piece = stream.read(min(length, _READ_BYTES))
        if not piece:
            return None
        crc = zlib.crc32(piece, crc)
        length -= len(piece)
    return crc


def _begins(stream: BinaryIO, texts: Iterable[str], *, same_columns: bool) -> bool:
    """Whether the rest of a file is the beginning of a text, or of its first columns.

    The last line may be cut off anywhere. Zeros at the end are what a power cut leaves of bytes that never
    reached the disk.
    """
    expected = (line for text in texts for line in text.encode().split(b"\n")[:-1])
    zeros, is_cut_off = 0, False
    while line := stream.readline(_LONGEST_LINE_BYTES):
        cells = line.rstrip(b"\0").removesuffix(b"\n")
        is_whole = line.endswith(b"\n")
        wanted = None if is_cut_off else next(expected, None)
        if wanted is None:
            is_expected = not cells and not is_whole
        elif is_whole:
            is_expected = wanted == cells or (not same_columns and wanted.startswith(cells + b","))
        else:
            is_expected = wanted.startswith(cells)
        zeros += 0 if is_whole else len(line) - len(cells)
        if not is_expected or zeros > _MOST_ZERO_BYTES:
            return False
        is_cut_off = not is_whole
    return True


def _keep(path: Path, on_edited: Callable[[str], None]) -> None:
    """Give an edited file a name of its own, so that the work of a person is not lost."""
    now = datetime.now(UTC)
    for number in count(1):
        again = "" if number == 1 else f"-{number}"
        kept = path.with_name(f"{path.stem}.edited-{now:%Y%m%dT%H%M%SZ}{again}{path.suffix}")
        if not kept.exists():
            break
    on_edited(kept.name)
    path.rename(kept)
    sync_folder(path.parent)


def _replace(path: Path, content: Content) -> Publication:
    crc = size = 0
    with replacing(path) as stream:
        for block in blocks(content.whole()):
            stream.write(block)
            crc, size = zlib.crc32(block, crc), size + len(block)
    return _published(path, size, crc, content)


def _append(path: Path, before: Publication, crc: int, content: Content) -> Publication:
    """Cut a file back to what was published and append from there."""
    size = before.bytes
    with path.open("r+b", buffering=0) as stream:
        stream.truncate(size)
        stream.seek(size)
        try:
            for block in blocks(content.new(before.through_id)):
                _write(stream, block)
                crc, size = zlib.crc32(block, crc), size + len(block)
        except OSError:
            stream.truncate(before.bytes)
            raise
        os.fsync(stream.fileno())
    return _published(path, size, crc, content)


def _write(stream: BinaryIO, block: bytes) -> None:
    remaining = memoryview(block)
    while remaining:  # a disk that fills up writes a part
        remaining = remaining[stream.write(remaining) :]


def _published(path: Path, size: int, crc: int, content: Content) -> Publication:
    return Publication(
        file=path.name,
        bytes=size,
        through_id=content.last_id,
        generation=content.generation,
        crc32=crc,
        signature=_signature(path),
    )
