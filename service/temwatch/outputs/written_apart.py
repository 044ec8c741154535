"""Workbook and parquet file of a sample, written by a worker and put in place by the engine.

A worker writes to a temporary name of its own. Only the engine's thread, which also rebuilds, renames and
moves samples, puts the file in place and tells the ledger: whatever a kill interrupts, both agree.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from temwatch.ledger import Ledger, Publication, Reader, publications, relocations
from temwatch.outputs import paths
from temwatch.outputs.files import length, sync_folder
from temwatch.outputs.sample_folder import OUTPUTS


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenApart:
    """Files of a sample that lie beside their place, and the seconds that they took."""

    sample: str
    publications: tuple[Publication, ...]
    seconds: float


def write_apart(state: Path, output: Path, sample: str, formats: Iterable[str]) -> WrittenApart:
    """Write those formats of a sample that are out of date, from one state of the ledger.

    Raises
    ------
    OSError
        A file could not be written.
    """
    started = time.monotonic()
    written = []
    with Reader(state) as reader, reader.snapshot():
        before = publications.published(reader, sample)
        newest = (publications.last_id(reader, sample), publications.generations(reader, sample)[0])
        for pattern, write in (OUTPUTS[name] for name in formats if name in OUTPUTS):
            path = paths.sample_folder(output, sample) / pattern.format(sample=sample)
            known = before.get(path.name)
            state_of_file = (known.through_id, known.generation, known.bytes) if known else None
            if relocations.is_vacated(reader, sample) or state_of_file == (*newest, length(path)):
                continue
            with _apart(path).open("w+b") as stream:
                write(reader, sample, stream)
                stream.flush()
                os.fsync(stream.fileno())
                size = stream.seek(0, os.SEEK_END)
            written.append(
                Publication(file=path.name, bytes=size, through_id=newest[0], generation=newest[1])
            )
    return WrittenApart(sample=sample, publications=tuple(written), seconds=time.monotonic() - started)


def put_in_place(ledger: Ledger, output: Path, written: WrittenApart) -> None:
    """Put what a worker has written in place, unless something newer is there, or the sample was renamed.

    Raises
    ------
    OSError
        A file could not be renamed.
    """
    folder = paths.sample_folder(output, written.sample)
    with ledger.publishing:
        with ledger.reader() as reader:
            is_vacated = relocations.is_vacated(reader, written.sample)
            before = publications.published(reader, written.sample)
        for one in written.publications:
            path, known = folder / one.file, before.get(one.file)
            is_older = known is not None and _age(known) > _age(one)
            if is_vacated or is_older:
                _apart(path).unlink(missing_ok=True)
                continue
            _apart(path).replace(path)
            sync_folder(folder)
            publications.record(ledger, written.sample, [one])


def _age(publication: Publication) -> tuple[int, int]:
    return publication.generation, publication.through_id


def _apart(path: Path) -> Path:
    """The temporary name, which `leftovers` knows."""
    return path.with_name(f".apart.{path.name}.new")
