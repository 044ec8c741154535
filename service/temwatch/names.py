"""Names: of output folders, of files as the ledger stores them and as people read them.

A name on Linux is bytes. Python holds those that are not UTF-8 as surrogates, with which files can be opened;
`as_text` alone turns names into text that can be written and sent.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import unicodedata
from typing import TextIO

MAX_NAME_BYTES = 120
"""Longest folder name, so that `<name>_micrograph.png` and a temporary suffix stay within NAME_MAX (255)."""

# characters that Linux or a Windows client of the share forbids, and bytes that are not UTF-8
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')


def folder_name(text: str, limit: int = MAX_NAME_BYTES) -> str:
    """A name for one visible folder, as close to `text` as every file system accepts.

    Characters that some system forbids become `_`, and so do dots in front (hidden folders) and dots and
    spaces at the end. Text longer than `limit` bytes of UTF-8 is cut, and a digest keeps it unique.

    Examples
    --------
    >>> folder_name("Au 5 nm")
    'Au 5 nm'
    >>> folder_name("../etc")
    '__etc'
    """
    name = _UNSAFE.sub("_", text)
    name = re.sub(r"^[.\s]+|[.\s]+$", lambda match: "_" * len(match[0]), name) or "_"
    if len(name.encode()) <= limit:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return name.encode()[: limit - 9].decode("utf-8", "ignore") + "~" + digest


def name_key(name: str) -> str:
    """Key of a name: equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()


def to_stored(path: str) -> str | bytes:
    """A path as SQLite stores it: bytes where it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def from_stored(value: str | bytes) -> str:
    """The path of a stored value, as `os.fsdecode` returns it."""
    return value if isinstance(value, str) else os.fsdecode(value)


def as_text(name: str | bytes) -> str:
    r"""A name as valid text; a byte that is not UTF-8 is written `\xe9`.

    Examples
    --------
    >>> as_text(b"caf\xe9.dm3")
    'caf\\xe9.dm3'
    """
    try:
        whole = os.fsencode(name)
    except UnicodeEncodeError:  # a surrogate that stands for no byte, from JSON
        whole = str(name).encode(errors="backslashreplace")
    return whole.decode(errors="backslashreplace")


def print_every_name(stream: TextIO) -> None:
    """Let a stream write names that are not UTF-8 instead of failing."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
