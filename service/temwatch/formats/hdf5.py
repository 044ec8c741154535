"""HDF5 files that somebody else wrote: what is asked for is read, and nothing that a hostile file offers.

HDF5 lets a file point into other files, into itself, and declare blocks and pictures of any size. Only the
file's own links are followed, and what a frame needs is compared with what the file has before anything is
allocated.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.errors import Refused
from temwatch.formats import raw_frames, read_errors

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_ENTRIES = 1000
_LONGEST_TEXT_BYTES = 16 * 1024**2
_MOST_COMPRESSION = 1100  # deflate reaches 1032 : 1
_LARGEST_BLOCK_BYTES = 256 * 1024**2  # a block is unpacked as a whole, whatever is read of it
_ENDS = re.compile(r"eof = (\d+).*stored_eof = (\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Extent:
    """Shape and number type of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class HdfFile:
    """An open file; places in it are names from its root on."""

    format_name: str
    size_bytes: int
    _stream: io.BufferedReader
    _root: Any  # h5py.File, imported late because it takes a tenth of a second

    def names(self, *place: str) -> list[str]:
        """Names in a group, sorted, without links that lead elsewhere; none where there is no such group."""
        found = self._at(place)
        return [] if found is None or not hasattr(found, "keys") else self._own(found)

    def extent(self, *place: str) -> Extent | None:
        """Shape and type of an array; None where there is none, or its values lie in other files."""
        found = self._array(place)
        return None if found is None else Extent(tuple(map(int, found.shape)), found.dtype)

    def json(self, column: int, *place: str) -> dict[str, Any]:
        """The object in a column of bytes, or in an array of texts; empty where there is none.

        Raises
        ------
        Refused
            not_a_micrograph: it is no JSON, or longer than texts are.
        """
        found = self._array(place)
        if found is None:
            return {}
        self._check_held(found, found.size * max(1, found.dtype.itemsize))
        if found.dtype.kind in "OS":
            if found.size > _MOST_ENTRIES:  # each costs memory, though none of them was ever written
                raise read_errors.damaged(self.format_name, f"it declares {found.size} texts")
            self._check_texts(found)
            said = found[column] if found.shape else found[()]
            said = said[0] if isinstance(said, np.ndarray) else said
            block = said if isinstance(said, bytes) else str(said).encode()
        else:
            if len(found.shape) != 2 or found.shape[0] > _LONGEST_TEXT_BYTES or found.dtype.itemsize != 1:
                raise read_errors.damaged(self.format_name, f"a text has the shape {found.shape}")
            block = found[:, column].tobytes()
        value = json.loads(block.rstrip(b"\0").decode("utf-8", "replace"))
        return value if isinstance(value, dict) else {}

    def check_held(self, *place: str) -> None:
        """Refuse an array that the file cannot hold, or that needs more memory than a frame of it.

        Raises
        ------
        Refused
            not_a_micrograph.
        """
        found = self._array(place)
        if found is not None:
            self._check_held(found, found.size * found.dtype.itemsize)

    def frame(self, shape: tuple[int, int, int], index: int, *place: str) -> NDArray[Any]:
        """A frame of an array of this shape (y, x, frames), shape (y, x).

        Raises
        ------
        InputError
            `changed` where the array has another shape by now, or as `check_held`.
        """
        found = self._array(place)
        if found is None or found.shape != shape:
            raise raw_frames.changed()
        self._check_held(found, math.prod(shape) * found.dtype.itemsize)
        pixels: NDArray[Any] = found[:, :, index]
        return pixels

    def _check_held(self, found: Any, needed: int) -> None:
        """Compare what an array needs with what the file has of it."""
        held = int(found.id.get_storage_size())
        most = held * (_MOST_COMPRESSION if found.compression or found.chunks else 1)
        if found.dtype.kind != "O" and (needed > most or held > self.size_bytes):
            raise read_errors.damaged(
                self.format_name, f"it declares {needed} bytes and holds {min(held, self.size_bytes)}"
            )
        block = math.prod(found.chunks) * found.dtype.itemsize if found.chunks else 0
        if block > max(_LARGEST_BLOCK_BYTES, 2 * math.prod(found.shape[:2]) * found.dtype.itemsize):
            raise Refused(
                "not_a_micrograph", f"is stored in blocks of {block / 1e9:.1f} GB; save it again from Velox"
            )

    def _check_texts(self, found: Any) -> None:
        """Refuse texts that are longer than the file: HDF5 sets aside what their lengths say before it looks.

        An entry is the length, 4 bytes, and where the text lies. Entries that are compressed, or part of a
        header, have checksums of their own.
        """
        entry_bytes = 8 + self._root.id.get_create_plist().get_sizes()[0]
        for start, size_bytes in _stored(found):
            self._stream.seek(start)
            stored = self._stream.read(min(size_bytes, _MOST_ENTRIES * entry_bytes))
            lengths = np.frombuffer(stored[: len(stored) // 4 * 4], "<u4")[:: entry_bytes // 4]
            if len(lengths) and int(lengths.max()) > self.size_bytes:
                said = f"it declares a text of {lengths.max()} bytes"
                raise read_errors.damaged(self.format_name, said)

    def _array(self, place: tuple[str, ...]) -> Any:
        found = self._at(place)
        if found is None or not hasattr(found, "shape") or found.shape is None:
            return None
        return None if found.external or found.is_virtual else found

    def _at(self, place: tuple[str, ...]) -> Any:
        found = self._root
        for name in place:
            if not hasattr(found, "keys") or name not in self._own(found):
                return None
            found = found[name]
        return found

    def _own(self, group: Any) -> list[str]:
        import h5py

        if len(group) > _MOST_ENTRIES:
            raise read_errors.damaged(self.format_name, f"a group has {len(group)} entries")
        return sorted(name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink))


def _stored(found: Any) -> list[tuple[int, int]]:
    """Where the entries of an array of texts lie in the file: first byte and length of each block."""
    start = found.id.get_offset()
    if start is not None:
        return [(start, found.id.get_storage_size())]
    if found.chunks is None or found.id.get_create_plist().get_nfilters():
        return []
    blocks = (
        found.id.get_chunk_info(index) for index in range(min(found.id.get_num_chunks(), _MOST_ENTRIES))
    )
    return [(block.byte_offset, block.size) for block in blocks]


@contextmanager
def opened(path: Path, format_name: str) -> Iterator[HdfFile]:
    """Open a file for reading, under `read_errors.guard`.

    Raises
    ------
    InputError
        truncated where it ends before what it says of itself; else as `read_errors.opened`.
    """
    with read_errors.opened(path, format_name) as (stream, size):
        head = stream.read(len(_SIGNATURE))
        if head != _SIGNATURE:
            raise read_errors.not_of_format(format_name, head)
        import h5py

        try:
            root = h5py.File(stream, "r")
        except OSError as error:
            if found := _ENDS.search(str(error)):
                raise read_errors.truncated(size, int(found[2])) from None
            raise
        with root:
            yield HdfFile(format_name, size, stream, root)
