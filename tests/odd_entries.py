"""Directory entries that are no well-behaved file: what each is, and what has to become of it."""

import os
import socket
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

YEAR_2400 = 13_569_465_600  # s; in nanoseconds it does not fit into 64 bits


@dataclass(frozen=True, slots=True)
class Entry:
    """One odd entry: `make` writes it into a folder that is its own, `content` gives a new micrograph.

    `expected` is the status of the row that it gets, "skipped" where the log names it with a reason.
    """

    name: str
    make: Callable[[Path, Callable[[], bytes]], None]
    expected: str


def _named(name: bytes | str) -> Callable[[Path, Callable[[], bytes]], None]:
    return lambda folder, content: (folder / os.fsdecode(name)).write_bytes(content())


def _link(name: str, target: str) -> Callable[[Path, Callable[[], bytes]], None]:
    return lambda folder, _: (folder / name).symlink_to(target)


def _dated(seconds: int) -> Callable[[Path, Callable[[], bytes]], None]:
    def make(folder: Path, content: Callable[[], bytes]) -> None:
        (folder / "dated.dm3").write_bytes(content())
        os.utime(folder / "dated.dm3", (seconds, seconds))

    return make


def _pipe(folder: Path, _: Callable[[], bytes]) -> None:
    os.mkfifo(folder / "pipe.dm3")


def _socket(folder: Path, _: Callable[[], bytes]) -> None:
    channel = socket.socket(socket.AF_UNIX)
    inside = os.open(folder, os.O_PATH)  # a socket's address is short
    channel.bind(f"/proc/self/fd/{inside}/socket.dm3")
    channel.close()
    os.close(inside)


def _device(folder: Path, _: Callable[[], bytes]) -> None:
    os.mknod(folder / "zero.dm3", 0o20666, os.makedev(1, 5))


def _folder(folder: Path, content: Callable[[], bytes]) -> None:
    (folder / "folder.dm3").mkdir()
    (folder / "folder.dm3" / "inside.dm3").write_bytes(content())


def _deep(folder: Path, content: Callable[[], bytes]) -> None:
    """A path of more bytes than a system call takes."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 240, dir_fd=here)
        below = os.open("d" * 240, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        file = os.open("deep.dm3", os.O_WRONLY | os.O_CREAT, dir_fd=here)
        os.write(file, content())
        os.close(file)
    os.close(here)


def _gatan(name: str) -> Callable[[Path, Callable[[], bytes]], None]:
    def make(folder: Path, content: Callable[[], bytes]) -> None:
        tree = folder / "Hour_00" / "Minute_00" / "Second_00"
        tree.mkdir(parents=True)
        (tree / name).write_bytes(content())

    return make


ENTRIES = (
    Entry("loop", _link("loop.dm3", "loop.dm3"), "skipped"),
    Entry(
        "loop of two", lambda f, c: (_link("a.dm3", "b.dm3")(f, c), _link("b.dm3", "a.dm3")(f, c)), "skipped"
    ),
    Entry("loop without extension", _link("loop", "loop"), "skipped"),
    Entry("dangling", _link("dangling.dm3", "nothing.dm3"), "skipped"),
    Entry("2400", _dated(YEAR_2400), "done"),
    Entry("1902", _dated(-2_140_000_000), "done"),
    Entry("pipe", _pipe, "refused"),
    Entry("socket", _socket, "refused"),
    Entry("device", _device, "refused"),
    Entry("folder", _folder, "refused"),
    Entry("deep", _deep, "skipped"),
    Entry("frames", _named("f_12345678901234567890.dm3"), "done"),
    Entry("gatan", _gatan("gatan_Hour_00_Minute_00_Second_00_Frame_99999999999999999999.dm3"), "done"),
    Entry("gatan hour", _gatan("gatan_Hour_99999999999999999999_Minute_00_Second_00_Frame_0000.dm3"), "done"),
    Entry("latin", _named(b"caf\xe9_01.dm3"), "done"),
    Entry("surrogate", _named(b"\xed\xa0\x80.dm3"), "done"),
    Entry("lines", _named("first\nsecond\r\n.dm3"), "done"),
    Entry("control", _named("bell\x07\x1b[31mred\x7f\x01.dm3"), "done"),
    Entry("c1", _named("\x85\u2028\u202e\ufeff\uffff.dm3"), "done"),
    Entry("formula", _named("=HYPERLINK(1).dm3"), "done"),
    Entry("Con", _named("NUL.dm3"), "done"),
    Entry("trailing", _named("a .dm3"), "done"),
    Entry("trailing.", _named("Au..dm3"), "done"),
)
FOLDERS = (
    *(os.fsdecode(name) for name in (b"caf\xe9", b"caf\xe8", b"\xed\xa0\x80")),
    *("new\nline", "\x1b[2Jx", "=1+1", "-2", "@SUM", "+3", "a:b", "a_b", "a?b"),
    *("Au", "AU", "Au.", "Au_", "Con", "CON", "nul", "aux.x", "com1", "COM¹", "straße", "STRASSE"),
    *(unicodedata.normalize(form, "é") for form in ("NFC", "NFD")),
)
"""Samples whose names some system or program takes for something else, or for one another."""
