"""Particles as label images in OME-TIFF, which napari, Fiji and QuPath open."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

from temwatch.label_planes import Labels, assign_planes, draw_labels
from temwatch.ledger import MicrographRow, Reader
from temwatch.outputs import paths
from temwatch.outputs.exports.detections import Detection, analysed, detections
from temwatch.outputs.files import replacing
from temwatch.outputs.tables import Advance


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:
    """Write an OME-TIFF for each micrograph: uint32, the value is the particle's number, 0 background.

    Overlapping particles lie on different planes (Z), each particle whole on exactly one of them.
    """
    for row in analysed(reader, sample, advance):
        found = detections(reader, row)
        path = paths.micrograph_export(folder, row, "labels.ome.tif")
        own = assign_planes([one.particle.region for one in found])
        shape = _shape(row, own)
        write_planes(path, _draw_planes(found, own, shape), shape, _metadata(row))
        yield path


def write_planes(
    path: Path, drawn: Iterator[Labels], shape: tuple[int, ...], metadata: dict[str, object]
) -> None:
    """Write label images of `shape` (planes, y, x) as one OME-TIFF, completely or not at all.

    `metadata` are attributes of OME, as tifffile takes them.
    """
    import tifffile

    with replacing(path) as stream, tifffile.TiffWriter(stream, ome=True, bigtiff=False) as tiff:
        tiff.write(
            drawn,
            shape=shape,
            dtype="uint32",
            compression="zlib",
            photometric="minisblack",
            metadata=metadata,
        )


def physical_size(pixel_size_nm: float | None) -> dict[str, object]:
    """The pixel size as attributes of OME."""
    sizes = {f"PhysicalSize{axis}": pixel_size_nm for axis in "XY"}
    return sizes | {f"PhysicalSize{axis}Unit": "nm" for axis in "XY"}


def planes(reader: Reader, row: MicrographRow) -> Iterator[Labels]:
    """The planes that `write` writes of a micrograph."""
    found = detections(reader, row)
    own = assign_planes([one.particle.region for one in found])
    return _draw_planes(found, own, _shape(row, own))


def _shape(row: MicrographRow, own: list[int]) -> tuple[int, int, int]:
    return max(own, default=0) + 1, row.height_px or 0, row.width_px or 0


def _draw_planes(found: list[Detection], own: list[int], shape: tuple[int, int, int]) -> Iterator[Labels]:
    for plane in range(shape[0]):
        regions = [
            (one.number, one.particle.region) for one, its in zip(found, own, strict=True) if its == plane
        ]
        yield draw_labels(shape[1:], regions)


def _metadata(row: MicrographRow) -> dict[str, object]:
    # a random identifier would make other bytes of the same rows
    identifier = uuid.uuid5(uuid.NAMESPACE_OID, f"{row.sha256} {row.frame} {row.method} {row.analysed_at}")
    return {"axes": "ZYX", "Name": row.micrograph, "UUID": str(identifier)} | physical_size(row.pixel_size_nm)
