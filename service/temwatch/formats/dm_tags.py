"""The tag tree of a DigitalMicrograph file (dm3, dm4), parsed without loading its arrays.

The layout follows the public descriptions of the format by C. Boothroyd ("The DigitalMicrograph file
format", University of Cambridge) and G. Jefferis ("DM3 format"). All numbers of the directory are big-endian,
and a word has 4 bytes in dm3 and 8 in dm4; values are little-endian in every file written on a PC::

    file   version (4 bytes), length of the rest (word), byte order (4 bytes), root group, 8 zero bytes
    group  sorted (1 byte), open (1 byte), number of entries (word), the entries
    entry  20: a group, 21: data (1 byte); length of the name (2 bytes), name; dm4: length of the rest (word)
    data   "%%%%", number of type words (word), type words, value

The type words are one code of `_NUMBERS`; or for a record: 15, a name length, the number of fields, and a
name length and a code for each; or for a string: 18 and its length in bytes; or for an array: 20, the type of
an element and their number. Text is an array of 16-bit characters.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from temwatch.errors import Refused
from temwatch.formats import read_errors

FORMAT = "DigitalMicrograph"

_GROUP, _DATA = 20, 21
# type code: format character of `struct`; 8 is a truth value, 9 and 10 are characters
_NUMBERS = dict(zip(range(2, 13), "hiHIfdBbbqQ", strict=True))
_CHARACTERS = np.dtype("<u2")

# Bounds for damaged files, each far above what real files need (about 5000 entries, 9 levels, 10 type words).
_MOST_ENTRIES = 250_000
_DEEPEST_GROUP = 64
_MOST_TYPE_WORDS = 256
_LONGEST_NAME_BYTES = 1024
_LONGEST_TEXT_BYTES = 64 * 1024
_MOST_TEXT_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Array:
    """An array that was left in the file; `text` is its content where that is short text."""

    offset: int
    dtype: np.dtype[Any]
    count: int
    text: str | None = None

    @property
    def nbytes(self) -> int:
        """Length in the file, bytes."""
        return self.dtype.itemsize * self.count


Value = int | float | str | tuple[int | float, ...] | Array
Group = dict[str, "Value | Group"]


@dataclass(frozen=True, slots=True)
class Tags:
    """A group of tags. Names of nested groups are joined by dots; entries without a name count from 1.

    No method fails, whatever a damaged file holds: what is missing or of another type is None.
    """

    entries: Group

    def below(self, name: str) -> Tags:
        """Tags of a group; empty where there is none."""
        found = self._get(name)
        return Tags(found if isinstance(found, dict) else {})

    def has(self, name: str) -> bool:
        """Whether there is a tag, or a group that is not empty, of this name."""
        return self._get(name) is not None

    def text(self, *names: str) -> str | None:
        """First of these tags that holds text, cleaned of control characters."""
        for name in names:
            value = self._get(name)
            text = value.text if isinstance(value, Array) else value
            if isinstance(text, str):
                plain = "".join(c if c.isprintable() else " " for c in text).strip()
                if plain:
                    return plain
        return None

    def number(self, *names: str) -> float | None:
        """First of these tags that holds a finite number."""
        for name in names:
            value = self._get(name)
            if isinstance(value, (int, float)) and math.isfinite(value):
                return float(value)
        return None

    def count(self, name: str) -> int | None:
        """A tag that holds a whole number."""
        value = self._get(name)
        return int(value) if isinstance(value, int) else None

    def array(self, name: str) -> Array | None:
        """A tag that holds an array."""
        value = self._get(name)
        return value if isinstance(value, Array) else None

    def groups(self, name: str) -> Iterator[Tags]:
        """The members of a list, in order."""
        number = 1
        while self.has(f"{name}.{number}"):
            yield self.below(f"{name}.{number}")
            number += 1

    def _get(self, name: str) -> Value | Group | None:
        found: Value | Group = self.entries
        for part in name.split("."):
            if not isinstance(found, dict) or part not in found:
                return None
            found = found[part]
        return found


def parse(stream: io.BufferedReader, size: int) -> Tags:
    """All tags of an open file of `size` bytes; afterwards the stream stands behind the last tag.

    Raises
    ------
    Refused
        not_a_micrograph: the tags make no sense, or lie beyond the end of the file.
    """
    stream.seek(0)
    directory = _Directory(stream, size, word_bytes=8 if stream.read(4)[-1:] == b"\x04" else 4)
    directory.skip(directory.word_bytes + 4)  # length of the rest, byte order
    root: Group = {}
    _read_group(directory, root, depth=0)
    return Tags(root)


@dataclass(slots=True)
class _Directory:
    """Bounded reads from the file: nothing beyond its end is sought or allocated."""

    stream: io.BufferedReader
    size: int
    word_bytes: int
    position: int = field(default=4)
    entries_left: int = _MOST_ENTRIES
    text_bytes_left: int = _MOST_TEXT_BYTES

    def take(self, length: int) -> bytes:
        """The next bytes."""
        block = self.stream.read(length) if length <= self.size - self.position else b""
        if len(block) < length:
            raise _damaged("its tags end early")
        self.position += length
        return block

    def skip(self, length: int) -> None:
        """Pass over bytes that have to be there."""
        if length > self.size - self.position:
            raise _damaged("its data end early")
        self.position += length
        self.stream.seek(self.position)

    def integer(self, length: int) -> int:
        """An unsigned number of the directory."""
        return int.from_bytes(self.take(length), "big")

    def word(self) -> int:
        """A length, a number of entries or a type code."""
        return self.integer(self.word_bytes)


def _read_group(directory: _Directory, group: Group, depth: int) -> None:
    """Fill `group`; a group without entries says nothing and is left out."""
    if depth > _DEEPEST_GROUP:
        raise _damaged(f"its groups lie more than {_DEEPEST_GROUP} deep")
    directory.skip(2)  # whether the group is sorted, and open in the tag browser
    for number in range(1, directory.word() + 1):
        directory.entries_left -= 1
        if directory.entries_left < 0:
            raise _damaged(f"it has more than {_MOST_ENTRIES} tags")
        kind, name_bytes = directory.integer(1), directory.integer(2)
        if kind not in (_GROUP, _DATA) or name_bytes > _LONGEST_NAME_BYTES:
            raise _damaged(f"its tags make no sense at byte {directory.position}")
        name = directory.take(name_bytes).decode("latin-1") or str(number)
        if directory.word_bytes == 8:
            directory.skip(8)  # length of what follows
        if kind == _DATA:
            group[name] = _read_value(directory)
            continue
        present = group.get(name)
        below: Group = present if isinstance(present, dict) else {}
        _read_group(directory, below, depth + 1)
        if below:
            group[name] = below


def _read_value(directory: _Directory) -> Value:
    """A number, a record as a tuple, a string, or where an array lies."""
    if directory.take(4) != b"%%%%":
        raise _damaged(f"its tags make no sense at byte {directory.position}")
    number = directory.word()
    if number > _MOST_TYPE_WORDS:
        raise _damaged(f"a tag declares a type of {number} words")
    words = [directory.word() for _ in range(number)]
    match words:
        case [code] if code in _NUMBERS:
            (value,) = _unpack(directory, _NUMBERS[code])
            return value
        case [15, *_]:
            return _unpack(directory, _record(words))
        case [18, length]:
            return _text(directory, length) or ""
        case [20, code, count] if code in _NUMBERS:
            return _array(directory, np.dtype("<" + _NUMBERS[code]), count)
        case [20, 15, *_, count]:
            return _array(directory, np.dtype((np.void, struct.calcsize("<" + _record(words[1:-1])))), count)
    raise _damaged(f"a tag has the unknown type {words[:4]}")


def _record(words: list[int]) -> str:
    """Format, as in `struct`, of 15, name length, number of fields, then name length and code of each."""
    codes = words[4::2]
    if len(words) < 5 or len(codes) != words[2] or not set(codes) <= _NUMBERS.keys():
        raise _damaged(f"a tag has the unknown type {words[:8]}")
    return "".join(_NUMBERS[code] for code in codes)


def _unpack(directory: _Directory, form: str) -> tuple[int | float, ...]:
    return struct.unpack("<" + form, directory.take(struct.calcsize("<" + form)))


def _array(directory: _Directory, dtype: np.dtype[Any], count: int) -> Array:
    offset, length = directory.position, dtype.itemsize * count
    if dtype == _CHARACTERS:
        return Array(offset, dtype, count, _text(directory, length))
    directory.skip(length)
    return Array(offset, dtype, count)


def _text(directory: _Directory, length: int) -> str | None:
    """Text of this many bytes; longer text than real files have is passed over."""
    if length > directory.text_bytes_left or length > _LONGEST_TEXT_BYTES:
        directory.skip(length)
        return None
    directory.text_bytes_left -= length
    return directory.take(length).decode("utf-16-le", "replace")


def _damaged(detail: str) -> Refused:
    return read_errors.damaged(FORMAT, detail)
