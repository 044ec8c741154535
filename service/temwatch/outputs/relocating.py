"""Brings the results of files that were moved to the folders where they belong now.

Each step can be taken again after a kill; the ledger forgets of it only when all are done.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import get_args

from temwatch.ledger import Ledger, Reader, relocations
from temwatch.ledger.relocations import Relocation
from temwatch.outputs import paths
from temwatch.outputs.files import make_folder

_OWN_TABLES = (
    paths.PARTICLES,
    paths.MICROGRAPHS,
    paths.REJECTIONS,
    paths.FRAMES,
    paths.TRACKS,
    paths.EVENTS,
    paths.SUMMARY,
    paths.WORKBOOK,
    paths.PARQUET,
    paths.RECORD,
)


def fetch(reader: Reader, folder: Path, sample: str) -> None:
    """Bring the pictures of a file into its output folder, and remove what else lies where they were.

    Raises
    ------
    OSError
        A file cannot be moved; a later call goes on.
    """
    output = folder.parents[2]
    for place in relocations.of_folder(reader, sample, folder.name):
        before = paths.micrograph_folder(output, place.sample, place.name)
        if before != folder:
            for path in list(paths.micrograph_files(before)):
                _bring(path, folder, place, is_kept=place.is_kept and path.suffix == ".png")
            _remove_empty(before)
        _fetch_small_pictures(output, sample, folder.name, place)


def _fetch_small_pictures(output: Path, sample: str, name: str, place: Relocation) -> None:
    before = paths.sequence_folder(output, place.sample, place.sequence)
    after = paths.sequence_folder(output, sample, place.new_sequence)
    frames = paths.frames_folder(before)
    if before == after and name == place.name:
        return
    own = re.compile(re.escape(place.name) + (r"_\d{6,}" if place.in_stack else "") + r"\.jpg")
    for path in [path for path in frames.glob("*.jpg") if own.fullmatch(path.name)]:
        _bring(path, paths.frames_folder(after), place, name=name, is_kept=place.is_kept)
    if place.is_gone:
        _remove_drawn(before)


def _bring(path: Path, folder: Path, place: Relocation, *, is_kept: bool, name: str | None = None) -> None:
    if not is_kept:
        path.unlink(missing_ok=True)
        return
    make_folder(folder)
    path.replace(folder / ((name or folder.name) + path.name.removeprefix(place.name)))


def vacate(ledger: Ledger, output: Path) -> None:
    """Remove the folders of samples of which no micrograph is left.

    Their tables are those of the samples that have the micrographs now. What somebody else has put there, and
    reports, go along to them.

    Raises
    ------
    OSError
        A file cannot be moved or removed; a later call goes on.
    """
    with ledger.publishing:
        with ledger.reader() as reader:
            samples = {sample: relocations.heir(reader, sample) for sample in relocations.vacated(reader)}
        for sample, heir in samples.items():
            folder = paths.sample_folder(output, sample)
            for name in _OWN_TABLES:
                (folder / name.format(sample=sample)).unlink(missing_ok=True)
            for drawn in paths.sequence_folders(output, sample):
                _remove_drawn(drawn)
            if heir is not None:
                _take_along(folder, paths.sample_folder(output, heir))
            for below in sorted(_folders(folder), reverse=True):
                _remove_empty(below)
            relocations.forget(ledger, sample)


def _take_along(folder: Path, heir: Path) -> None:
    """Move what is left to the same place of another folder, unless something is there."""
    for below in _folders(folder):
        for path in [path for path in below.iterdir() if path.is_symlink() or not path.is_dir()]:
            target = heir / path.relative_to(folder)
            if not target.exists():
                make_folder(target.parent)
                path.rename(target)


def _remove_drawn(folder: Path) -> None:
    """Film, curves and plots of a sequence, which are drawn again elsewhere."""
    for name in get_args(paths.SequenceFile):
        (folder / name).unlink(missing_ok=True)
    _remove_empty(paths.frames_folder(folder))
    _remove_empty(folder)


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from [Path(below) for below, _, _ in os.walk(folder)]


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # something else is in it, or it is gone
        folder.rmdir()
