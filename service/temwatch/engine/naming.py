"""Which sample and which sequence a file belongs to, decided by its path alone."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from temwatch.config import SampleSettings, SequenceSettings
from temwatch.ledger import folder_name

_COUNTER = re.compile(r"(?P<base>.*?)[\s_.#(-]*(?P<number>\d+)\)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """Sample of a file, and its sequence and frame number where it is one frame of a sequence."""

    sample: str
    sequence: str | None = None
    frame: int | None = None


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
    sequence, frame = _sequence(path, sequences)
    return Place(folder_name(_sample(path, root_name, samples, sequence)), sequence, frame)


def _sample(path: str, root_name: str, settings: SampleSettings, sequence: str | None) -> str:
    if settings.pattern and (match := re.search(settings.pattern, path)) and match["sample"]:
        return match["sample"]
    first, slash, _ = path.partition("/")
    if slash:
        return first
    if sequence:
        return sequence
    stem = PurePosixPath(path).stem
    match = _COUNTER.fullmatch(stem)
    return (match["base"] or root_name or "sample") if match else stem


def _sequence(path: str, settings: SequenceSettings) -> tuple[str | None, int | None]:
    folder, _, name = path.rpartition("/")
    if not any(
        fnmatch.fnmatchcase(folder or ".", pattern.rstrip("/") or ".") for pattern in settings.folders
    ):
        return None, None
    number = _COUNTER.fullmatch(PurePosixPath(name).stem)
    if number is None:
        return None, None
    return folder.rpartition("/")[2] or folder_name(number["base"] or "sequence"), int(number["number"])
