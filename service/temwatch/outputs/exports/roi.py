"""Outlines as ImageJ and Fiji open them: one set of regions of interest for each micrograph."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from temwatch.ledger import Reader
from temwatch.outputs import paths
from temwatch.outputs.exports.detections import analysed, detections
from temwatch.outputs.files import replacing
from temwatch.outputs.tables import Advance

_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can state: equal rows give equal bytes


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:
    """Write a zip file for each micrograph; a particle is a polygon with its number as name."""
    from roifile import ImagejRoi

    for row in analysed(reader, sample, advance):
        path = paths.micrograph_export(folder, row, "RoiSet.zip")
        with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for found in detections(reader, row):
                region = ImagejRoi.frompoints(found.polygon.astype(np.float32), name=str(found.number))
                entry = zipfile.ZipInfo(f"{found.number}.roi", _NO_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, region.tobytes())
        yield path
