"""A sample as NeXus: HDF5 with the groups of NXem, which NOMAD and other archives of microscopy take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from temwatch import descriptors
from temwatch.domain import utc_text
from temwatch.ledger import MicrographRow, Reader
from temwatch.outputs import paths
from temwatch.outputs.exports.detections import analysed, detections, sample_name
from temwatch.outputs.files import replacing
from temwatch.outputs.tables import Advance
from temwatch.version import __version__

_UNITS = {"nm²": "nm^2"}
_SIGNAL = descriptors.SIZE


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:
    """Write one file: a table of all particles, and event and outlines of each micrograph."""
    import h5py

    name = sample_name(reader, sample)
    path = folder / paths.NEXUS.format(sample=sample)
    with replacing(path) as stream, h5py.File(stream, "w", track_order=True) as file:
        file.attrs["NX_class"] = "NXroot"
        file.attrs["default"] = "entry"
        file.attrs["creator"] = f"temwatch {__version__}"
        entry = _group(file, "entry", "NXentry", definition="NXem", experiment_alias=name)
        entry.attrs["default"] = "particles"
        program = _group(_group(entry, "profiling", "NXcs_profiling"), "program1", "NXprogram")
        program["program"] = "temwatch"
        program["program"].attrs["version"] = __version__
        _group(entry, "sample", "NXsample", name=name)
        measurement = _group(entry, "measurement", "NXem_measurement")
        started = []
        for number, row in enumerate(analysed(reader, sample, advance), 1):
            started.append(row.acquired_at or row.analysed_at)
            _write_event(measurement, number, row)
            _write_outlines(entry, number, reader, row)
        if started:
            entry["start_time"], entry["end_time"] = utc_text(min(started)), utc_text(max(started))
        _write_particles(entry, reader, sample)
    yield path


def _group(parent: Any, path: str, nx_class: str, **fields: object) -> Any:
    group = parent.create_group(path, track_order=True)
    group.attrs["NX_class"] = nx_class
    for key, value in fields.items():
        if value is not None:
            group[key] = value
    return group


def _measured(group: Any, name: str, value: object, units: str) -> None:
    if value is not None:
        group[name] = value
        group[name].attrs["units"] = units


def _write_event(measurement: Any, number: int, row: MicrographRow) -> None:
    """When and how a micrograph was taken, as far as its file says so."""
    taken = utc_text(row.acquired_at) if row.acquired_at else None
    event = _group(measurement, f"event{number}", "NXem_event_data", start_time=taken, type="image")
    event["micrograph"], event["sha256"] = row.micrograph, row.sha256
    if row.frame is not None:
        event["frame"] = row.frame
    _measured(event, "pixel_size", row.pixel_size_nm, "nm")
    metadata = row.metadata
    instrument = _group(event, "instrument", "NXem_instrument", name=metadata.instrument)
    _measured(instrument, "voltage", metadata.voltage_kV, "kV")
    _measured(instrument, "magnification", metadata.magnification, "")
    _measured(instrument, "exposure", metadata.exposure_s, "s")


def _write_outlines(entry: Any, number: int, reader: Reader, row: MicrographRow) -> None:
    """Outlines as vertices one after the other, and how many each particle has."""
    found = detections(reader, row)
    roi = _group(entry, f"roi{number}", "NXroi_process", micrograph=row.micrograph, method=row.method)
    outlines = _group(roi, "outlines", "NXcg_polygon", dimensionality=2, cardinality=len(found))
    outlines["indices"] = np.array([one.number for one in found], np.uint32)
    outlines["indices"].attrs["meaning"] = "number of the particle in its micrograph"
    outlines["number_of_vertices"] = np.array([len(one.polygon) for one in found], np.uint32)
    vertices = np.concatenate([np.empty((0, 2)), *(one.polygon for one in found)])
    vertices *= row.pixel_size_nm or np.nan
    outlines.create_dataset(
        "vertices", data=vertices.astype(np.float32), compression="gzip" if len(vertices) else None
    )
    outlines["vertices"].attrs["units"] = "nm"
    outlines["vertices"].attrs["meaning"] = "x from the left edge, y downwards from the top edge"


def _write_particles(entry: Any, reader: Reader, sample: str) -> None:
    """The descriptors of all particles, a column each; the plot that a viewer opens first."""
    columns = reader.particle_columns(sample, (*descriptors.NAMES, "number", "micrograph_id"))
    ids = [row.id for row in analysed(reader, sample, lambda: None)]
    data = _group(entry, "particles", "NXdata")
    data.attrs["signal"], data.attrs["axes"] = _SIGNAL, ["index"]
    data["index"] = np.arange(1, len(columns["number"]) + 1)
    data["number"] = columns["number"].astype(np.uint32)
    data["roi"] = np.searchsorted(ids, columns["micrograph_id"]).astype(np.uint32) + 1
    data["roi"].attrs["meaning"] = "number behind roi and event of the micrograph"
    for one in descriptors.DESCRIPTORS:
        data[one.name] = columns[one.name]
        data[one.name].attrs["long_name"] = one.label
        data[one.name].attrs["units"] = _UNITS.get(one.unit, one.unit)
