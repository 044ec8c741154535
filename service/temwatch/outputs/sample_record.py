"""record.json: what an archive asks about a sample: its files, how they were taken, what was measured.

Each file has its metadata under `nx_meta`, with the names and quantities of NexusLIMS, which harvests them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from temwatch.domain import utc_text
from temwatch.ledger import MicrographRow, Reader
from temwatch.names import as_text
from temwatch.outputs.tables import Advance, nothing, summary
from temwatch.version import __version__

RECORD_VERSION = 1
"""Counted up where a key changes its meaning; keys may be added without that."""


def write(reader: Reader, sample: str, stream: BinaryIO, advance: Advance = nothing) -> None:
    """Write the record of a sample to a binary stream: one JSON object, one file of the sample a line."""
    head = json.dumps(_head(reader, sample), ensure_ascii=False, allow_nan=False)
    stream.write(f'{head[:-1]}, "datasets": ['.encode())
    separator = "\n"
    for dataset in _datasets(reader, sample):
        text = json.dumps(dataset, ensure_ascii=False, allow_nan=False)
        stream.write(f"{separator}{text}".encode())
        separator = ",\n"
        advance()
    stream.write(b"\n]}\n")


def _head(reader: Reader, sample: str) -> dict[str, Any]:
    methods = reader.methods()
    found = summary(reader, sample)
    first, last, analysed = reader.connection.execute(
        """SELECT min(acquired_at), max(acquired_at), max(analysed_at) FROM micrographs
            WHERE sample = ? AND status = 'done' AND NOT excluded""",
        (sample,),
    ).fetchone()
    return {
        "record": "temwatch sample",
        "record_version": RECORD_VERSION,
        "software": {"name": "temwatch", "version": __version__},
        "sample": found["sample"],
        "folder": sample,
        "acquired_from": _time(first),
        "acquired_to": _time(last),
        "analysed_to": _time(analysed),
        "summary": found,
        "methods": {digest: json.loads(methods[digest].to_json()) for digest in found["methods"]},
    }


def _time(stored: str | None) -> str | None:
    return None if stored is None else utc_text(datetime.fromisoformat(stored))


def _datasets(reader: Reader, sample: str) -> Iterator[dict[str, Any]]:
    """One for each file that counts, in the order of micrographs.csv; the frames of a stack are one."""
    files = reader.connection.execute(
        """SELECT min(id), count(*), sum(particles) FROM micrographs
            WHERE sample = ? AND status = 'done' AND NOT excluded GROUP BY file_id ORDER BY min(id)""",
        (sample,),
    ).fetchall()
    for first, frames, particles in files:
        row = reader.micrograph(first)
        if row is not None:
            yield _dataset(row, frames, particles)


def _dataset(row: MicrographRow, frames: int, particles: int) -> dict[str, Any]:
    return {
        "file": as_text(str(Path(row.root, row.micrograph))),
        "micrograph": as_text(row.micrograph),
        "sha256": row.sha256,
        "frames": None if row.frames_total is None else frames,
        "particles": particles,
        "pixel_size_source": row.pixel_size_source,
        "method": row.method,
        "nx_meta": _nx_meta(row, frames),
    }


def _nx_meta(row: MicrographRow, frames: int) -> dict[str, Any]:
    """Only what the file states; whether the picture is of TEM or STEM, it often does not."""
    shape = (row.height_px, row.width_px)
    taken = row.metadata
    fields = {
        "Creation Time": utc_text(row.acquired_at) if row.acquired_at else None,
        "Data Type": "Imaging",
        "DatasetType": "Image",
        "Data Dimensions": str(shape if row.frames_total is None else (frames, *shape)),
        "acceleration_voltage": _quantity(taken.voltage_kV, "kilovolt"),
        "magnification": taken.magnification,
        "pixel_width": _quantity(row.pixel_size_nm, "nanometer"),
        "pixel_height": _quantity(row.pixel_size_nm, "nanometer"),
    }
    more = {"instrument": taken.instrument, "exposure_s": taken.exposure_s}
    extensions = {key: value for key, value in more.items() if value is not None}
    return {key: value for key, value in fields.items() if value is not None} | {"extensions": extensions}


def _quantity(value: float | None, units: str) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "units": units}
