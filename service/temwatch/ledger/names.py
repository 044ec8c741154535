"""Names of output folders, and file names as the ledger stores them."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

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
