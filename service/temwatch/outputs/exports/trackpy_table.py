"""Tracks with the columns of trackpy, for its functions of diffusion and drift."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from temwatch.columns import Column
from temwatch.ledger import Reader
from temwatch.ledger.sequences import results
from temwatch.outputs import paths
from temwatch.outputs.files import write_whole
from temwatch.outputs.tables import Advance, csv_lines, header

COLUMNS = (
    Column("sequence", "text", "name of the sequence within its sample"),
    Column("frame", "integer", "number of the frame"),
    Column("particle", "integer", "number of the track, which trackpy calls particle"),
    Column("x", "real", "centre of mass, px from the centre of the first column, corrected for drift"),
    Column("y", "real", "centre of mass, px from the centre of the first row, corrected for drift"),
    Column("detection", "integer", "number of the particle in the frame, as in particles.csv"),
    Column("equivalent_diameter_nm", "real", "diameter of the disc of equal area"),
    Column("pixel_size_nm", "real", "edge of a pixel: trackpy's mpp times 1000"),
    Column("elapsed_s", "real", "time since the first frame, empty where it is not known"),
)


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:  # noqa: ARG001
    """Write the tracks of all sequences of a sample; a header alone where there are none."""
    path = folder / paths.TRACKPY
    lines = csv_lines(COLUMNS, results.rows(reader, "trackpy", sample))
    write_whole(path, _text(lines))
    yield path


def _text(lines: Iterator[str]) -> Iterator[str]:
    yield header(COLUMNS)
    yield from lines
