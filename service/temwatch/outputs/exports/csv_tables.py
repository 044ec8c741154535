"""The csv tables, as the sample's folder holds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from temwatch.ledger import Reader
from temwatch.outputs import sequence_files
from temwatch.outputs.files import write_whole
from temwatch.outputs.tables import PARTICLES, TABLES, Advance, csv_text, nothing


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:
    """Write particles.csv, micrographs.csv, rejections.csv and those of sequences."""
    for table in TABLES:
        write_whole(
            folder / table.file, csv_text(table, reader, sample, advance if table is PARTICLES else nothing)
        )
        yield folder / table.file
    for file in sequence_files.exported(reader, sample):
        write_whole(folder / file, sequence_files.csv_text(reader, file, sample))
        yield folder / file
