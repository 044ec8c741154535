"""Brings a file from the microscope's share to local disk, hashed on the way."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from temwatch.acquisition.scan import found_file
from temwatch.errors import Refused, Unreadable, Unwritable
from temwatch.formats.read_errors import open_regular, unreadable
from temwatch.outputs.files import writing

_BLOCK_BYTES = 4 * 1024**2
# number of the file, or `again-` and that of the row, in the ledger; for large pixels the frame; an extension
_COPY = re.compile(r"(again-)?\d+(_\d+)?(\.\w+)?")


class _Copy:
    """Where a copy goes, if any is wanted: its errors are not those of the file that is read."""

    def __init__(self, target: Path | None) -> None:
        self._target = target
        self._stream: BinaryIO | None = None

    def __enter__(self) -> _Copy:
        if self._target is not None:
            with writing():
                self._target.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self._target.open("wb")
        return self

    def write(self, block: bytes) -> None:
        if self._stream is not None:
            with writing():
                self._stream.write(block)

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            with writing():
                self._stream.close()


def clear(folder: Path) -> None:
    """Remove all copies, and create the folder if it is missing.

    It may be a link or a mount point, and hold files of others: only what is named like a copy is removed.
    """
    target = Path(os.path.realpath(folder))
    with suppress(FileExistsError):  # the first copy reports what is in its place
        target.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        for entry in list(os.scandir(target)):
            if _COPY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                Path(entry.path).unlink(missing_ok=True)


def fetch(source: Path, target: Path | None) -> str:
    """Copy `source` to `target` and return the sha256 of its content; without a target only hash it.

    Raises
    ------
    Refused
        The file is empty, or a folder, pipe, socket or device.
    Unreadable
        It cannot be opened, an input/output error came, or it changed while it was read.
    Unwritable
        The spool cannot be written, most often because its disk is full.
    """
    try:
        with open_regular(source) as stream:
            before = os.fstat(stream.fileno())
            if before.st_size == 0:
                raise Refused("empty", "is empty (0 bytes); save it again from the microscope's software")
            digest = hashlib.sha256()
            with _Copy(target) as copy:
                while block := stream.read(_BLOCK_BYTES):
                    digest.update(block)
                    copy.write(block)
            after = os.fstat(stream.fileno())
    except Unwritable:
        raise
    except OSError as error:
        raise unreadable(error) from None
    if found_file("", before) != found_file("", after):
        raise Unreadable("changed", "changed while it was read; it is analysed again once it is complete")
    return digest.hexdigest()
