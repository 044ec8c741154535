"""Names: of output folders, of files as the ledger stores them and as people read them.

A name on Linux is bytes. Python holds those that are not UTF-8 as surrogates, with which files can be opened;
`as_text` alone turns names into text that can be written and sent.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import re
import unicodedata
from collections.abc import Callable
from typing import TextIO

MAX_NAME_BYTES = 120
"""Longest folder name, so that `<name>_micrograph.png` and a temporary suffix stay within NAME_MAX (255)."""

SUFFIX_BYTES = 8
"""Room for _2, _3 ... behind a name."""

# what Linux or a Windows client of the share forbids, ends a line, or is no UTF-8
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029<>:"/\\|?*\ud800-\udfff]')

# devices of Windows, whatever follows the first dot
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(?=\s*(\.|$))",
    re.IGNORECASE,
)

# with these first, a spreadsheet takes a cell for a formula; it skips tabs and ends of lines before them
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def folder_name(text: str, limit: int = MAX_NAME_BYTES) -> str:
    """A name for one visible folder, as close to `text` as every file system accepts.

    Characters that some system forbids become `_`, and so do dots in front (hidden folders) and dots and
    spaces at the end. `_` follows a name that Windows keeps for a device. Text longer than `limit` bytes of
    UTF-8 is cut, and a digest keeps it unique.

    Examples
    --------
    >>> folder_name("Au 5 nm")
    'Au 5 nm'
    >>> folder_name("../etc")
    '__etc'
    >>> folder_name("Con")
    'Con_'
    """
    name = _UNSAFE.sub("_", text)
    name = re.sub(r"^[.\s]+|[.\s]+$", lambda match: "_" * len(match[0]), name) or "_"
    if device := _RESERVED.match(name):
        name = f"{device[0]}_{name[device.end() :]}"
    if len(name.encode()) <= limit:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return name.encode()[: limit - 9].decode("utf-8", "ignore") + "~" + digest


def free_name(text: str, is_taken: Callable[[str], bool]) -> str:
    """`folder_name`, with _2, _3 ... behind it where another has that name already."""
    name = folder_name(text)
    if not is_taken(name):
        return name
    base = folder_name(text, MAX_NAME_BYTES - SUFFIX_BYTES)
    return next(name for number in itertools.count(2) if not is_taken(name := f"{base}_{number}"))


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


def printable(text: str) -> str:
    r"""Text for one line of a terminal: a name must neither begin a line nor steer the terminal.

    Examples
    --------
    >>> printable("first\nsecond")
    'first\\nsecond'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in as_text(text)
    )


def path_cell(path: str) -> str:
    """A path as a cell of a table, which no spreadsheet takes for a formula."""
    return f"./{path}" if path.startswith(_FORMULA) else path


def text_cell(text: str) -> str:
    """Other text as a cell of a table."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def from_cell(cell: str) -> str:
    """What `path_cell` or `text_cell` has written into a cell.

    Examples
    --------
    >>> from_cell(path_cell("=1.dm3")), from_cell(text_cell("-5")), from_cell("Au")
    ('=1.dm3', '-5', 'Au')
    """
    for mark in ("./", "'"):
        if (text := cell.removeprefix(mark)) != cell and text.startswith(_FORMULA):
            return text
    return cell


def print_every_name(stream: TextIO) -> None:
    """Let a stream write names that are not UTF-8 instead of failing."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(1, "micrograph"), plural(2, "micrograph"), plural(0, "class", "classes")
    ('1 micrograph', '2 micrographs', '0 classes')
    """
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"
