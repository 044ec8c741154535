"""Which sample and which sequence a file belongs to, decided by its path alone."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from temwatch.config import SampleSettings, SequenceSettings
from temwatch.ledger.sequences.numbering import MAX_FRAME, PLACES

_COUNTER = re.compile(r"(?P<base>.*?)[\s_.#(-]*(?P<number>\d+)\)?", re.DOTALL)
_MOST_DIGITS = 255  # of a file name
# a digest or UUID at the end of a name; eight figures before a letter may be a date
_IDENTIFIER = re.compile(
    r"""(?:.*[\s_.#(-])?(?:
        [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}
      | (?!(?:19|20)\d{6}[a-f]+\d{1,4}$)(?=[0-9a-f]{8,}$)[a-f]*\d+[a-f][0-9a-f]*
      | (?=[0-9a-f]{6,7}$)[a-f]*\d+[a-f]+\d+[a-f][0-9a-f]*
    )\)?""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
# DigitalMicrograph's in situ player writes X/Hour_00/Minute_00/Second_00/X_Hour_00_..._Frame_0000.dm4
_TREE = re.compile(r"(?:(?P<above>.+)/)?Hour_\d+/Minute_\d+/Second_\d+", re.DOTALL)
_TIMED = re.compile(
    r"(?P<base>.*?)_?Hour_(?P<hour>\d+)_Minute_(?P<minute>\d+)_Second_(?P<second>\d+)_Frame_(?P<number>\d+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Sample of a file, and its sequence and frame number where it is one frame of a sequence.

    Both have their true names; `ledger.output_names` gives them folders.

    A frame of Gatan's tree has a `position` instead of a number: how many frames came before depends on the
    other files, see `ledger.sequences.numbering`.
    """

    sample: str
    sequence: str | None = None
    frame: int | None = None
    position: int | None = None


def place(path: str, *, root_name: str, samples: SampleSettings, sequences: SequenceSettings) -> Place:
    """Sample and sequence of a file.

    Parameters
    ----------
    path : str
        Path below the watched folder, with /.
    root_name : str
        Name of the watched folder, the sample of files that are named by a counter alone.
    samples, sequences
        Configuration; `samples.pattern` decides where it matches.
    """
    sequence, frame, position = _sequence(path, sequences)
    return Place(_sample(path, root_name, samples, sequence), sequence, frame, position)


def _sample(path: str, root_name: str, settings: SampleSettings, sequence: str | None) -> str:
    if settings.pattern and (match := re.search(settings.pattern, path)) and match["sample"]:
        return match["sample"]
    first, slash, _ = path.partition("/")
    if slash and not (_TREE.fullmatch(path.rpartition("/")[0]) and first.startswith("Hour_")):
        return first
    if sequence:
        return sequence
    stem = PurePosixPath(path).stem
    match = None if _IDENTIFIER.fullmatch(stem) else _COUNTER.fullmatch(stem)
    return (match["base"] or root_name or "sample") if match else stem


def _sequence(path: str, settings: SequenceSettings) -> tuple[str | None, int | None, int | None]:
    folder, _, name = path.rpartition("/")
    stem = PurePosixPath(name).stem
    timed, tree = _TIMED.fullmatch(stem), _TREE.fullmatch(folder)
    position = _position(timed) if timed else None
    if timed and tree and position is not None:
        return _name(tree["above"] or "", timed["base"]), None, position
    if not any(
        fnmatch.fnmatchcase(folder or ".", pattern.rstrip("/") or ".") for pattern in settings.folders
    ):
        return None, None, None
    if timed and position is not None:
        return _name(folder, timed["base"]), None, position
    counter = _COUNTER.fullmatch(stem)
    number = _number(counter["number"], MAX_FRAME) if counter else None
    if counter is None or number is None:
        return None, None, None
    return _name(folder, counter["base"]), number, None


def _name(folder: str, base: str) -> str:
    """What lies below the first folder, so that two folders of one sample are two sequences."""
    return folder.partition("/")[2] or folder or base or "sequence"


def _position(timed: re.Match[str]) -> int | None:
    """Place in Gatan's tree; None where a number is too large to be one of a clock or a camera."""
    hour, minute, second = (_number(timed[name], MAX_FRAME) for name in ("hour", "minute", "second"))
    number = _number(timed["number"], PLACES - 1)
    if hour is None or minute is None or second is None or number is None:
        return None
    position = ((hour * 60 + minute) * 60 + second) * PLACES + number
    return position if position <= MAX_FRAME else None


def _number(digits: str, most: int) -> int | None:
    """The number that a counter says; None above `most`: a time or a random number, and no counter."""
    if len(digits) > _MOST_DIGITS:
        return None
    number = int(digits)
    return number if number <= most else None
