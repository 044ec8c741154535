"""Brings a file from the microscope's share to local disk, hashed on the way."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from temwatch.acquisition.scan import found_file
from temwatch.errors import Refused, Unreadable
from temwatch.formats.read_errors import open_regular, unreadable

_BLOCK_BYTES = 4 * 1024**2


def fetch(source: Path, target: Path | None) -> str:
    """Copy `source` to `target` and return the sha256 of its content; without a target only hash it.

    Raises
    ------
    Refused
        The file is empty, or a folder, pipe, socket or device.
    Unreadable
        It cannot be opened, an input/output error came, or it changed while it was read.
    OSError
        The spool is full.
    """
    try:
        with open_regular(source) as stream:
            before = os.fstat(stream.fileno())
            if before.st_size == 0:
                raise Refused("empty", "is empty (0 bytes); save it again from the microscope's software")
            digest = hashlib.sha256()
            copy = target.open("wb") if target else None
            try:
                while block := stream.read(_BLOCK_BYTES):
                    digest.update(block)
                    if copy:
                        copy.write(block)
            finally:
                if copy:
                    copy.close()
            after = os.fstat(stream.fileno())
    except OSError as error:
        if target is not None and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # the spool is full, which is no fault of the file
        raise unreadable(error) from None
    if found_file("", before) != found_file("", after):
        raise Unreadable("changed", "changed while it was read; it is analysed again once it is complete")
    return digest.hexdigest()
