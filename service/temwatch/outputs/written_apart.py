"""Workbook and parquet file of a sample, written by a worker and put in place by the engine.

A worker writes to a temporary name of its own. Only the engine's thread, which also rebuilds, renames and
moves samples, puts the file in place and tells the ledger: whatever a kill interrupts, both agree.
"""

from __future__ import annotations

import os
import sqlite3
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from temwatch.errors import StartError
from temwatch.ledger import Ledger, Publication, Reader, publications, relocations
from temwatch.operating_system import sync_folder
from temwatch.outputs import paths
from temwatch.outputs.files import length
from temwatch.outputs.sample_folder import OUTPUTS, WholeFile


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenApart:
    """Files of a sample that lie beside their place, and the seconds that they took.

    `trouble` is what kept the first of the others from being written.
    """

    sample: str
    publications: tuple[Publication, ...]
    seconds: float
    trouble: Exception | None = None


def write_apart(state: Path, output: Path, sample: str, formats: Iterable[str]) -> WrittenApart:
    """Write those formats of a sample that are out of date, from one state of the ledger."""
    started = time.monotonic()
    written: list[Publication] = []
    trouble: Exception | None = None
    with Reader(state) as reader, reader.snapshot():
        before = publications.published(reader, sample)
        newest = (publications.last_id(reader, sample), publications.generations(reader, sample)[0])
        for pattern, write in (OUTPUTS[name] for name in formats if name in OUTPUTS):
            path = paths.sample_folder(output, sample) / pattern.format(sample=sample)
            known = before.get(path.name)
            state_of_file = (known.through_id, known.generation, known.bytes) if known else None
            if relocations.is_vacated(reader, sample) or state_of_file == (*newest, length(path)):
                continue
            try:
                size = _write(reader, sample, path, write)
            except (sqlite3.Error, StartError):
                raise  # the ledger itself
            except Exception as error:  # noqa: BLE001 - see docs/decisions/0012: it costs this format
                error.add_note(traceback.format_exc())  # which does not come back from a worker
                trouble = trouble or error
                continue
            written.append(
                Publication(file=path.name, bytes=size, through_id=newest[0], generation=newest[1])
            )
    seconds = time.monotonic() - started
    return WrittenApart(sample=sample, publications=tuple(written), seconds=seconds, trouble=trouble)


def _write(reader: Reader, sample: str, path: Path, write: WholeFile) -> int:
    with _apart(path).open("w+b") as stream:
        write(reader, sample, stream)
        stream.flush()
        os.fsync(stream.fileno())
        return stream.seek(0, os.SEEK_END)


def put_in_place(ledger: Ledger, output: Path, written: WrittenApart) -> None:
    """Put what a worker has written in place, unless something newer is there, or the sample was renamed.

    Raises
    ------
    Exception
        Of the first file that could not be written or renamed. The others are in place.
    """
    trouble = written.trouble
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
            try:
                _apart(path).replace(path)
                sync_folder(folder)
            except OSError as error:
                trouble = trouble or error
            else:
                publications.record(ledger, written.sample, [one])
    if trouble is not None:
        raise trouble


def _age(publication: Publication) -> tuple[int, int]:
    return publication.generation, publication.through_id


def _apart(path: Path) -> Path:
    """The temporary name, which `leftovers` knows."""
    return path.with_name(f".apart.{path.name}.new")
