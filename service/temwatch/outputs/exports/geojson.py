"""Outlines as GeoJSON, the way QuPath reads and writes its objects: coordinates in px, y downwards."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch import descriptors
from temwatch.ledger import MicrographRow, Reader
from temwatch.outputs import paths
from temwatch.outputs.exports.detections import Detection, analysed, detections
from temwatch.outputs.files import write_whole
from temwatch.outputs.tables import Advance

_DIGITS = 3  # behind the point: a thousandth of a pixel


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:
    """Write a collection of polygons for each micrograph."""
    for row in analysed(reader, sample, advance):
        path = paths.micrograph_export(folder, row, "particles.geojson")
        write_whole(path, _text(row, detections(reader, row)))
        yield path


def _text(row: MicrographRow, found: list[Detection]) -> Iterator[str]:
    yield '{"type": "FeatureCollection", "features": ['
    for index, one in enumerate(found):
        text = json.dumps(_feature(row, one), ensure_ascii=False, allow_nan=False)
        yield f",\n{text}" if index else f"\n{text}"
    yield "\n]}\n"


def _feature(row: MicrographRow, found: Detection) -> dict[str, Any]:
    particle = found.particle
    identifier = uuid.uuid5(uuid.NAMESPACE_OID, f"{row.sha256} {row.frame} {found.number}")
    return {
        "type": "Feature",
        "id": str(identifier),
        "geometry": {"type": "Polygon", "coordinates": [_ring(found.polygon)]},
        "properties": {
            "objectType": "detection",
            "name": str(found.number),
            "classification": {"name": "separated particle" if particle.separated else "particle"},
            "measurements": {
                name: value
                for name in descriptors.NAMES
                if (value := particle.descriptors.get(name)) is not None and math.isfinite(value)
            },
        },
    }


def _ring(polygon: NDArray[np.float64]) -> list[list[float]]:
    """Closed, and counterclockwise where y points upwards (RFC 7946)."""
    # outlines run clockwise on the screen, where y points downwards: that is counterclockwise here
    ring: list[list[float]] = np.round(np.vstack((polygon, polygon[:1])), _DIGITS).tolist()
    return ring
