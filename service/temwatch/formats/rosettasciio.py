"""Files that temwatch itself does not read, through RosettaSciIO where somebody has installed it.

RosettaSciIO is GPLv3, so it is no part of temwatch: `rosettasciio_program` runs in an interpreter of its own,
for each question anew. Whatever happens there, that it hangs, crashes or wants all memory, costs one file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from temwatch import memory
from temwatch.domain import Image, Metadata
from temwatch.errors import InputError, Refused, Unreadable
from temwatch.formats import calibration, clock, raw_frames, read_errors, units
from temwatch.formats.calibration import Axis
from temwatch.formats.source import Source, check_index, check_side, micrograph_image
from temwatch.formats.values import number, text

VARIABLE = "TEMWATCH_RSCIIO"
"""Names the interpreter in the environment, which worker processes inherit."""

FAILED = "cannot be read: "
"""How the text of a failure begins; what follows is true of every file."""

_OF_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: |$)")
_PROGRAM = Path(__file__).with_name("rosettasciio_program.py")
_LONGEST_SECONDS = 120.0
_LONGEST_ANSWER_BYTES = 16 * 1024**2
_LONGEST_LINE_BYTES = 4096
_NOT_GREY = {
    "c": "complex numbers",
    "V": "colour, or records of several numbers",
    "b": "a mask (true or false)",
}
_NOT_FOR_IT = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "PYTHONPATH", "PYTHONHOME")


@dataclass(frozen=True, slots=True)
class Installation:
    """RosettaSciIO of an interpreter: its version, and the extensions that one of its readers takes."""

    version: str
    extensions: frozenset[str]


@dataclass(frozen=True, slots=True)
class SignalPicture:
    """A picture or stack of a file: its number there, shape of a frame, frames, axes, and what is said."""

    index: int
    shape: tuple[int, int]
    frames: int | None
    x: Axis
    y: Axis
    interval_s: float | None
    said: dict[str, Any]


def use(interpreter: Path | None) -> None:
    """Read by this interpreter from now on, also in processes that are started; None changes nothing."""
    if interpreter is not None:
        os.environ[VARIABLE] = str(interpreter)


def interpreter() -> Path | None:
    """The interpreter that `use` or the environment names."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def installation(python: Path) -> Installation:
    """Ask an interpreter for its RosettaSciIO.

    Raises
    ------
    Unreadable
        rosettasciio: there is none, or it does not answer.
    """
    said, _ = _ask(python)
    return Installation(
        str(said["version"]), frozenset(f".{end}" for end, own in said["readers"].items() if len(own) == 1)
    )


def open_source(
    path: Path, *, python: Path, original: Path | None = None, pixel_size_nm: float | None = None
) -> Source:
    """Have RosettaSciIO open a file; its name, which some readers look at, is that of `original`.

    `pixel_size_nm` fills a missing pixel size; it never overrides one that the file states.

    Raises
    ------
    InputError
        `rosettasciio` where it is not there, crashed or took too long; else as every reader.
    """
    with read_errors.opened(path, "micrograph"):
        pass
    name = (original or path).name
    suffix = Path(name).suffix.lower()
    said, _ = _ask_about(python, path, name)
    picture = chosen(said, suffix)
    nm, stated_nm = calibration.pixel_size_nm(picture.x, picture.y, given_nm=pixel_size_nm)
    check_side(picture.shape)

    def load(index: int) -> Image:
        check_index(index, picture.frames)
        pixels = _pixels(python, path, name, picture, index)
        return micrograph_image(pixels, single=picture.frames is None)

    return Source(
        path=path,
        shape=picture.shape,
        frames=picture.frames,
        pixel_size_nm=nm,
        stated_pixel_size_nm=stated_nm,
        acquired_at=clock.from_local_text(text(picture.said["date"]), text(picture.said["time"])),
        metadata=Metadata(
            voltage_kV=_positive(picture.said["voltage_kV"]),
            magnification=_positive(picture.said["magnification"]),
            instrument=text(picture.said["instrument"])[:80] or None,
        ),
        interval_s=picture.interval_s,
        load=load,
    )


def chosen(said: dict[str, Any], suffix: str) -> SignalPicture:
    """The one picture of a file that can be measured."""
    if "signals" not in said:
        readers = said["readers"].get(suffix[1:], [])
        what = f"has {len(readers)} readers for {suffix}" if readers else f"does not read {suffix}"
        raise Refused(
            "not_a_micrograph",
            f"has an extension that temwatch does not read, and RosettaSciIO {said['version']} {what};"
            " save it in another format",
        )
    found, refusals = [], []
    for index, signal in enumerate(said["signals"]):
        try:
            found.append(_picture(index, signal))
        except Refused as refusal:
            refusals.append(refusal)
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused("not_a_sequence", f"holds {len(found)} pictures; export the one that is to be measured")
    if refusals:
        raise refusals[0]
    raise Refused("not_a_micrograph", "holds no picture; export the micrograph itself")


def _picture(index: int, said: dict[str, Any]) -> SignalPicture:
    """What is said of one signal, as far as it is a picture in real space or frames of one.

    Raises
    ------
    Refused
        not_grey, not_real_space, spectroscopy or not_a_sequence.
    """
    shape, kind = tuple(map(int, said["shape"])), said["kind"]
    axes = [Axis(number(axis["scale"]), text(axis["unit"])) for axis in said["axes"]]
    if kind not in "iuf":
        raise Refused("not_grey", f"holds {_NOT_GREY.get(kind, 'no numbers')}; export it as a grey picture")
    if len(shape) > 3:
        raise Refused("not_real_space", f"has {len(shape)} axes (4D-STEM?); only micrographs are measured")
    is_navigation = [axis["is_navigation"] for axis in said["axes"]]
    if len(shape) < 2 or len(axes) != len(shape) or any(is_navigation[-2:]) or 0 in shape:
        raise Refused("spectroscopy", "holds spectra or a line scan; only micrographs are measured")
    calibration.refuse_unless_spatial(tuple(axes[-2:]))
    frames = shape[0] if len(shape) == 3 else None
    return SignalPicture(
        index=index,
        shape=(shape[-2], shape[-1]),
        frames=frames,
        x=axes[-1],
        y=axes[-2],
        interval_s=None if frames is None else _interval_s(axes[0]),
        said=said,
    )


def _interval_s(third: Axis) -> float | None:
    """Time between frames; an axis that says nothing may be time."""
    seconds = calibration.interval_s(third)
    if seconds is None and units.seconds_per(third.unit) is None:
        calibration.refuse_unless_spatial((third,))
        if units.nm_per(third.unit) is not None:
            raise Refused(
                "not_a_sequence", "holds slices in depth; save what is to be measured as single micrographs"
            )
    return seconds


def _pixels(python: Path, path: Path, name: str, picture: SignalPicture, index: int) -> NDArray[Any]:
    said, content = _ask_about(python, path, name, picture.index, index)
    with read_errors.guard(Path(name).suffix):
        pixels = np.frombuffer(content, np.dtype(said["dtype"])).reshape(said["shape"])
    if pixels.shape != picture.shape:
        raise raw_frames.changed()
    return pixels


def _ask_about(python: Path, path: Path, name: str, *more: int) -> tuple[dict[str, Any], bytes]:
    """Ask about a file under this name, which it is given by a link where it has another."""
    kind = Path(name).suffix
    if name == path.name:
        return _ask(python, path, *more, kind=kind)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, name)
        link.symlink_to(path.absolute())
        return _ask(python, link, *more, kind=kind)


def _ask(python: Path, *arguments: Path | int, kind: str = "") -> tuple[dict[str, Any], bytes]:
    """Run the program once; gives what it says, and the bytes after it.

    Raises
    ------
    InputError
        not_a_micrograph: RosettaSciIO cannot read the file. out_of_memory, or `rosettasciio`.
    """
    command = [python, _PROGRAM, memory.budget_bytes(workers=1), *arguments]
    own = {key: value for key, value in os.environ.items() if key not in _NOT_FOR_IT}
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,  # which ends with this process, and the program with it
                stdout=answer,
                stderr=errors,
                env=own | {"DASK_SCHEDULER": "synchronous"},
            )
        except OSError as error:
            raise _failed(
                f"{python} cannot be started ({error.strerror}); see [watch] rosettasciio"
            ) from None
        with process:
            try:
                process.wait(_LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise _failed(f"RosettaSciIO gave no answer within {_LONGEST_SECONDS:g} s") from None
        if process.returncode:
            raise _reason(python, process.returncode, _last_line(errors), kind)
        answer.seek(0)
        with read_errors.guard(kind):
            said = json.loads(answer.readline(_LONGEST_ANSWER_BYTES))
        return said, answer.read()


def _reason(python: Path, returncode: int, last_line: str, kind: str) -> InputError:
    """Why the program ended early, by the exception in the last line of its traceback."""
    name, _, detail = last_line.partition(": ")
    if returncode < 0:
        return _failed(f"RosettaSciIO was ended by signal {-returncode}")
    if returncode > 1:  # an exception ends a program of Python with 1
        return _failed(f"RosettaSciIO ended with exit code {returncode}")
    if name.endswith("MemoryError"):
        return Unreadable("out_of_memory", "needs more memory in RosettaSciIO than there is")
    if name in ("ImportError", "ModuleNotFoundError"):
        if detail.endswith("'rsciio'"):
            return _failed(f"{python} has no RosettaSciIO; install it there with: pip install rosettasciio")
        return _failed(
            f"RosettaSciIO of {python} is incomplete ({detail}); install 'rosettasciio[all]' there"
        )
    return read_errors.damaged(kind, last_line)


def _failed(why: str) -> Unreadable:
    return Unreadable("rosettasciio", f"{FAILED}{why}")


def _last_line(stream: IO[bytes]) -> str:
    """The last line that begins as that of an exception does: its text may go on in further lines."""
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LONGEST_LINE_BYTES))
    lines = stream.read().decode(errors="replace").split("\n")
    return next((text(line) for line in reversed(lines) if _OF_EXCEPTION.match(line)), "")


def _positive(value: Any) -> float | None:
    found = number(value)
    return found if found is not None and 0 < found < 1e300 else None
