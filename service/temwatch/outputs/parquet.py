"""particles.parquet: the particle table, typed, with unit and meaning in the metadata of each column."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from temwatch.columns import Column
from temwatch.ledger import Reader
from temwatch.outputs.tables import PARTICLES, Advance, nothing, values

if TYPE_CHECKING:
    import pyarrow

_GROUP_ROWS = 65_536


def write(reader: Reader, sample: str, stream: BinaryIO, advance: Advance = nothing) -> None:
    """Write the particles of a sample to a binary stream, with the columns of particles.csv."""
    import pyarrow
    from pyarrow import parquet

    named = {"filter": reader.chosen.words} if reader.chosen.words else None
    schema = pyarrow.schema([_field(column) for column in PARTICLES.columns], metadata=named)
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for rows in _groups(reader, sample, advance):
            columns = [
                pyarrow.array(column, field.type)
                for column, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_table(pyarrow.table(columns, schema=schema))


def particles_parquet(reader: Reader, sample: str) -> bytes:
    """The same in memory."""
    stream = io.BytesIO()
    write(reader, sample, stream)
    return stream.getvalue()


def _groups(reader: Reader, sample: str, advance: Advance) -> Iterator[list[list[Any]]]:
    group: list[list[Any]] = []
    for row in reader.micrographs(sample):
        group += values(PARTICLES, reader, row)
        advance()
        if len(group) >= _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _field(column: Column) -> pyarrow.Field:
    import pyarrow

    kinds = {
        "text": pyarrow.string(),
        "path": pyarrow.string(),
        "integer": pyarrow.int64(),
        "real": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "time": pyarrow.timestamp("ms", tz="UTC"),
    }
    last = column.name.rpartition("_")[2]
    unit = last if last in ("nm", "nm2", "px") else ""
    return pyarrow.field(column.name, kinds[column.kind], metadata={"unit": unit, "meaning": column.meaning})
