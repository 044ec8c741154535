"""Every format that `temwatch export` writes: one module each, and its line in `EXPORTS`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from temwatch.ledger import Reader
from temwatch.outputs.exports import (
    coco,
    csv_excel,
    csv_tables,
    enanomapper,
    geojson,
    labels,
    nexus,
    roi,
    trackpy_table,
)
from temwatch.outputs.exports.export import Export
from temwatch.outputs.files import replacing, write_whole
from temwatch.outputs.sample_folder import OUTPUTS, WholeFile
from temwatch.outputs.tables import Advance, nothing

_FILTER = "filter.txt"


def _file(pattern: str, write: WholeFile) -> Export:
    """An export that is one file of a sample."""
    return partial(_write_file, pattern, write)


def _write_file(
    pattern: str, write: WholeFile, reader: Reader, sample: str, folder: Path, advance: Advance
) -> Iterator[Path]:
    path = folder / pattern.format(sample=sample)
    with replacing(path) as stream:
        write(reader, sample, stream, advance)
    yield path


EXPORTS: dict[str, Export] = {
    "csv": csv_tables.write,
    "csv-excel": csv_excel.write,
    **{name: _file(pattern, write) for name, (pattern, write) in OUTPUTS.items()},
    "roi": roi.write,
    "coco": coco.write,
    "labels": labels.write,
    "geojson": geojson.write,
    "nexus": nexus.write,
    "enanomapper": enanomapper.write,
    "trackpy": trackpy_table.write,
}
"""What writes each format of a sample into a folder, and yields every file that is written."""


def steps(reader: Reader, sample: str, formats: Iterable[str]) -> int:
    """How often `export` calls `advance`, at most."""
    return reader.row_count(sample) * len(list(formats))


def export(
    reader: Reader, folder: Path, sample: str, formats: Iterable[str], advance: Advance = nothing
) -> list[Path]:
    """Write formats of a sample into a folder, all from one state of the ledger; returns the files.

    A filter of the reader is named in a file beside them.

    `advance` is called after each micrograph of each format that goes through them.

    Raises
    ------
    ModuleNotFoundError
        A format needs a package of an extra that is not installed; see `errors.EXTRAS`.
    """
    with reader.snapshot():
        written = [path for name in formats for path in EXPORTS[name](reader, sample, folder, advance)]
    if reader.chosen.words:
        written.append(folder / _FILTER)
        write_whole(written[-1], [f"only particles with {reader.chosen.words}\n"])
    return written
