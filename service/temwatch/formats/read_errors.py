"""Errors while reading: the various exceptions of the parsing libraries become one line and a code."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from temwatch import operating_system
from temwatch.errors import Refused, Unreadable

# What tifffile, imagecodecs and numpy were seen to raise on damaged input; a name missing here
# would end the service, so whole families are listed. Own code stays outside `guard`.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_SIGNATURES = {
    b"\x00\x00\x00\x03": "a DigitalMicrograph 3 file",
    b"\x00\x00\x00\x04": "a DigitalMicrograph 4 file",
    b"II*\x00": "a TIFF",
    b"MM\x00*": "a TIFF",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89HDF": "an HDF5 file",
    b"PK\x03\x04": "a zip archive",
    b"II\x97\x01": "a SER file of TIA",
}


def unreadable(error: OSError) -> Unreadable:
    """What an error of the file system means for one micrograph."""
    match error:
        case PermissionError():
            return Unreadable("permission_denied", "may not be read (permission denied)")
        case FileNotFoundError():
            return Unreadable("vanished", "is not there, or went away before it was read")
        case _:
            return Unreadable("input_output", f"cannot be read: {error.strerror or type(error).__name__}")


@contextmanager
def guard(format_name: str) -> Iterator[None]:
    """Turn whatever a parsing library raises in the block into an InputError of one line.

    Raises
    ------
    Unreadable
        The file system refused (permission_denied, vanished, input_output) or memory ran out.
    Refused
        not_a_micrograph: the library could not make sense of the bytes.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except OSError as error:
        # a library says OSError where it means ValueError, and EINVAL is a seek to where a damaged tag points
        if error.errno in (None, errno.EINVAL):
            raise damaged(format_name, str(error) or type(error).__name__) from None
        raise unreadable(error) from None
    except MemoryError:
        raise Unreadable("out_of_memory", "does not fit into memory") from None
    except _DAMAGE as error:
        raise damaged(format_name, str(error) or type(error).__name__) from None


def damaged(format_name: str, detail: str) -> Refused:
    """The refusal of a file whose bytes make no sense, with what was found."""
    detail = " ".join(detail.split())[:120]
    return Refused(
        "not_a_micrograph", f"is damaged or not a {format_name} file ({detail}); copy or save it again"
    )


def not_of_format(format_name: str, head: bytes) -> Refused:
    """The refusal of a file whose first bytes are of another format; zeros were never written at all."""
    if not any(head):
        return Refused(
            "zero_filled", "begins with zeros: reserved by the writer, never written; copy it again"
        )
    looks = next((name for magic, name in _SIGNATURES.items() if head.startswith(magic)), None)
    found = f"it looks like {looks}; name it so" if looks else "save it again from the microscope's software"
    return Refused("not_a_micrograph", f"is not a {format_name} file; {found}")


@contextmanager
def opened(path: Path, format_name: str) -> Iterator[tuple[io.BufferedReader, int]]:
    """Open a file for reading under `guard`; gives the stream and its size in bytes.

    Raises
    ------
    Refused
        a_folder, empty, or not_a_micrograph where it is neither file nor folder.
    """
    with guard(format_name), open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise Refused("empty", "is empty (0 bytes); save it again from the microscope's software")
        yield stream, size


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file that is neither folder nor pipe, socket or device; nothing else is opened or waited for.

    Raises
    ------
    Refused
        a_folder or not_a_micrograph.
    OSError
        It cannot be opened.
    """
    _check_regular(path.stat())  # before it is opened, which makes some devices act
    # what has taken its place since then is not waited for either; for a file the flag means nothing
    # (a stream of `os.fdopen` would not know its path, which tifffile asks for)
    stream: io.BufferedReader = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    try:
        _check_regular(os.fstat(stream.fileno()))
    except BaseException:
        stream.close()
        raise
    return stream


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | operating_system.WITHOUT_WAITING)


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Refused("a_folder", "is a folder with the name of a micrograph; put the micrographs in it")
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise Refused("not_a_micrograph", f"is {kind} with the name of a micrograph; remove it")


def truncated(size: int, expected: int) -> Refused:
    """The refusal of a file of `size` bytes that declares `expected`."""
    return Refused("truncated", f"is truncated: {size} of {expected} bytes are there; copy it again")
