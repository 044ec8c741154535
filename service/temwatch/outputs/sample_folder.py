"""Brings the files of a sample into step with the ledger.

The ledger says how far each file was published. A csv is cut back to that length and what is new is appended;
where rows that were published have changed, the whole file is written to a temporary name and put in place.
Only then does the ledger learn of it. Whichever step a kill hits, the next publication leaves every row once.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog

from temwatch.errors import StartError
from temwatch.ledger import EditedTable, Ledger, Publication, Reader, publications, relocations
from temwatch.outputs import parquet, paths, redrawing, relocating, sample_record, sequence_files, workbook
from temwatch.outputs.appending import Content, append_or_replace
from temwatch.outputs.files import length, replacing
from temwatch.outputs.incremental_statistics import IncrementalStatistics
from temwatch.outputs.tables import (
    MICROGRAPHS,
    PARTICLES,
    TABLES,
    Advance,
    Table,
    csv_text,
    header,
    lines,
    nothing,
    summary,
)

log = structlog.get_logger(__name__)

_SMALL_SAMPLE = 20_000  # particles; above, the statistics wait until a fiftieth has been added


def _summary(
    reader: Reader, sample: str, stream: BinaryIO, statistics: IncrementalStatistics | None = None
) -> None:
    columns = None if statistics is None else statistics.columns(reader, sample)
    text = json.dumps(summary(reader, sample, columns), indent=2, ensure_ascii=False, allow_nan=False)
    stream.write(f"{text}\n".encode())


class WholeFile(Protocol):
    """Writes one file of a sample into a stream."""

    def __call__(self, reader: Reader, sample: str, stream: BinaryIO, advance: Advance = nothing) -> None: ...


OUTPUTS: dict[str, tuple[str, WholeFile]] = {
    "xlsx": (paths.WORKBOOK, workbook.write),
    "parquet": (paths.PARQUET, parquet.write),
    "record": (paths.RECORD, sample_record.write),
}
"""Formats that are written whole: pattern of the file's name, and what writes it."""


def publish(ledger: Ledger, output: Path, sample: str) -> None:
    """Bring tables, output folders and summary of a sample up to date; takes time only for what is new.

    Without anything new it checks the lengths of the tables and repairs them.

    Raises
    ------
    OSError
        Of the first file that could not be written. The others are up to date, and a later call goes on.
    """
    trouble, folder = None, paths.sample_folder(output, sample)
    with ledger.publishing:
        try:
            publish_tables(ledger, output, sample)
        except OSError as error:
            trouble = error
        with ledger.reader() as reader:
            if relocations.is_vacated(reader, sample):
                relocating.vacate(ledger, output)
                return
        written: dict[int, int] = {}
        published: list[Publication] = []
        try:
            for file_id, changes in _folders(ledger, output, sample):
                written[file_id] = changes
            with ledger.reader() as reader, reader.snapshot():
                before = publications.published(reader, sample).get(paths.SUMMARY)
                if _summary_is_worth_it(reader, sample, before):
                    published = _replace(reader, sample, folder / paths.SUMMARY, before, _summary)
        except OSError as error:
            trouble = trouble or error
        if published or written:
            publications.record(ledger, sample, published, written)
    if trouble:
        raise trouble


def publish_tables(
    ledger: Ledger, output: Path, sample: str, written: Mapping[int, int] | None = None
) -> None:
    """Append newly recorded micrographs to the tables of a sample.

    `written` are output folders that have been brought up to date, see `publications.record`.

    Raises
    ------
    Exception
        Of the first table that could not be written. The others are up to date, and a later call goes on.
    """
    trouble: Exception | None = None
    folder = paths.sample_folder(output, sample)
    with ledger.publishing, ledger.reader() as reader, reader.snapshot():
        before, published = publications.published(reader, sample), []
        if not before and relocations.is_vacated(reader, sample):
            return
        contents = {table.file: _content(table, reader, sample) for table in TABLES}
        for file, content in (contents | sequence_files.contents(reader, sample, before)).items():
            try:
                published += append_or_replace(
                    folder / file, before.get(file), content, _on_edited(ledger, sample, file)
                )
            except (sqlite3.Error, StartError):
                raise  # the ledger itself
            except Exception as error:  # noqa: BLE001 - see docs/decisions/0012: it costs this table
                trouble = trouble or error
        if published or written:
            publications.record(ledger, sample, published, written)
    if trouble:
        raise trouble


def _folders(ledger: Ledger, output: Path, sample: str) -> Iterator[tuple[int, int]]:
    """Write every output folder that is out of date; yields file id and `changes` for the ledger."""
    with ledger.reader() as reader:
        unwritten = publications.unwritten(reader, sample)
    for file_id, name, changes in unwritten:
        write_folder(ledger.state, paths.micrograph_folder(output, sample, name), sample)
        yield file_id, changes


def write_folder(state: Path, folder: Path, sample: str) -> None:
    """Write mask, overlay and table of one file; the folder of a file without a result is removed.

    Mask and overlay are drawn on the picture of the micrograph; if that was never written, there are none.

    Parameters
    ----------
    state : Path
        Folder of the ledger.
    folder : Path
        The output folder of the file; its name is the name of the file in the ledger.
    sample : str
        The sample.

    Raises
    ------
    OSError
        A file could not be written; a later call goes on.
    """
    with Reader(state) as reader, reader.snapshot():
        relocating.fetch(reader, folder, sample)
        # a stack may have more frames than fit into memory
        rows = (row for row in reader.micrographs_named(sample, folder.name) if row.has_result)
        if (first := next(rows, None)) is not None:
            with replacing(paths.micrograph_table(folder)) as stream:
                stream.write(header(PARTICLES.columns).encode())
                for row in chain([first], rows):
                    name = paths.row_picture_name(row)
                    if paths.picture(folder, name, "micrograph").exists():
                        redrawing.redraw(reader, folder, row)
                    stream.write(lines(PARTICLES, reader, row).encode())
            return
    if folder.is_dir():
        with Reader(state) as now:  # a retry after the snapshot may be writing its pictures
            if any(name == folder.name for _, name, _ in publications.unwritten(now, sample)):
                _remove(folder)


def _content(table: Table, reader: Reader, sample: str) -> Content:
    """What one table should hold now."""
    generation, particles_generation = publications.generations(reader, sample)
    return Content(
        last_id=publications.last_id(reader, sample),
        generation=generation if table is MICROGRAPHS else particles_generation,
        whole=lambda: csv_text(table, reader, sample),
        new=lambda id: (lines(table, reader, row) for row in reader.micrographs(sample, after_id=id)),
    )


def _on_edited(ledger: Ledger, sample: str, file: str) -> Callable[[str], None]:
    """Tells of an edited table, once: in the log, and in the ledger for page and status."""

    def note(kept_as: str) -> None:
        log.warning("table was edited, written anew", sample=sample, table=file, edited_file_kept_as=kept_as)
        publications.note_edited(ledger, sample, file, kept_as)

    return note


def edited_tables(reader: Reader, output: Path) -> list[EditedTable]:
    """Edited tables that are still kept, newest first; who moves or removes one has read of it."""
    return [
        one
        for one in publications.edited(reader)
        if (paths.sample_folder(output, one.sample) / one.kept_as).exists()
    ]


def _remove(folder: Path) -> None:
    """Remove the files of temwatch from the folder of a micrograph, and the folder if it is empty then."""
    for path in paths.micrograph_files(folder):
        path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _summary_is_worth_it(reader: Reader, sample: str, before: Publication | None) -> bool:
    if before is None or before.generation != publications.generations(reader, sample)[0]:
        return True
    total, new = (
        publications.particles_after(reader, sample, 0),
        publications.particles_after(reader, sample, before.through_id),
    )
    return total <= _SMALL_SAMPLE or 50 * new >= total


def _replace(
    reader: Reader,
    sample: str,
    path: Path,
    before: Publication | None,
    write: Callable[[Reader, str, BinaryIO], None],
) -> list[Publication]:
    """Write a whole file if it is out of date."""
    last_id, generation = publications.last_id(reader, sample), publications.generations(reader, sample)[0]
    if before and (before.through_id, before.generation, before.bytes) == (last_id, generation, length(path)):
        return []
    with replacing(path) as stream:
        write(reader, sample, stream)
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
    return [Publication(file=path.name, bytes=size, through_id=last_id, generation=generation)]


def write_formats(
    ledger: Ledger,
    output: Path,
    sample: str,
    formats: Iterable[str],
    statistics: IncrementalStatistics | None = None,
) -> None:
    """Write the formats that are never appended to, if out of date: for a sample without pending files.

    Parameters
    ----------
    ledger : Ledger
        It records what is up to date.
    output : Path
        Folder of all samples.
    sample : str
        The sample.
    formats : iterable of str
        Names in `OUTPUTS`; others are ignored (`publish` writes csv). summary.json is always written.
    statistics : IncrementalStatistics, optional
        Columns already read, for summary.json.

    Raises
    ------
    Exception
        Of the first file that could not be written. The others are up to date, and a later call goes on.
    """
    trouble: Exception | None = None
    wanted: list[tuple[str, Callable[[Reader, str, BinaryIO], None]]] = [
        (paths.SUMMARY, partial(_summary, statistics=statistics)),
        *(OUTPUTS[name] for name in formats if name in OUTPUTS),
    ]
    with ledger.publishing, ledger.reader() as reader, reader.snapshot():
        if relocations.is_vacated(reader, sample):
            return
        before = publications.published(reader, sample)
        for pattern, write in wanted:
            name = pattern.format(sample=sample)
            path = paths.sample_folder(output, sample) / name
            try:
                done = _replace(reader, sample, path, before.get(name), write)
            except (sqlite3.Error, StartError):
                raise  # the ledger itself
            except Exception as error:  # noqa: BLE001 - see docs/decisions/0012: it costs this format
                trouble = trouble or error
            else:
                if done:
                    publications.record(ledger, sample, done)
    if trouble:
        raise trouble


def rebuild(ledger: Ledger, output: Path, sample: str) -> None:
    """Write every table, mask and overlay of a sample again, on the published pictures of the micrographs.

    Raises
    ------
    OSError
        A file could not be written; a later publication writes the tables that are missing.
    """
    for _ in rebuilding(ledger, output, sample):
        pass


def rebuilding(
    ledger: Ledger, output: Path, sample: str, are_written: Callable[[str], bool] | None = None
) -> Generator[None, None, None]:
    """The same in steps: one for each output folder, and a last one for the tables.

    With `are_written` the caller writes the outdated folders, and the steps only wait for it.
    """
    publications.mark_stale(ledger, sample)
    if are_written is None:
        for file_id, changes in _folders(ledger, output, sample):
            publications.record(ledger, sample, (), {file_id: changes})
            yield
    else:
        while not are_written(sample):
            yield
    yield from refreshing(ledger, output, sample)


def refreshing(ledger: Ledger, output: Path, sample: str) -> Generator[None, None, None]:
    """Bring every file of a sample up to date that was made before: where no engine does it, in one step."""
    with ledger.reader() as reader:
        made = publications.published(reader, sample)
    with ledger.publishing:
        publish(ledger, output, sample)
        write_formats(
            ledger,
            output,
            sample,
            [key for key, (name, _) in OUTPUTS.items() if name.format(sample=sample) in made],
        )
    yield
