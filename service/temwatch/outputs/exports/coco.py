"""Particles as instances in COCO's JSON, with masks of run lengths: overlapping particles stay whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from temwatch.domain import Region
from temwatch.ledger import MicrographRow, Reader
from temwatch.outputs import paths
from temwatch.outputs.exports.detections import analysed, numbered_particles, sample_name
from temwatch.outputs.files import write_whole
from temwatch.outputs.tables import Advance, nothing
from temwatch.version import __version__

_CATEGORY = {"id": 1, "name": "particle", "supercategory": "nanoparticle"}


def write(reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]:
    """Write one file for the sample; pictures are named as they lie below the sample's results."""
    path = folder / paths.COCO.format(sample=sample)
    write_whole(path, _text(reader, sample, advance))
    yield path


def _text(reader: Reader, sample: str, advance: Advance) -> Iterator[str]:
    name = sample_name(reader, sample)
    info = {"description": f"sample {name}, analysed by temwatch", "version": __version__}
    yield f'{{"info": {_json(info)},\n"categories": [{_json(_CATEGORY)}],\n"images": ['
    yield from _joined(_json(_image(row)) for row in analysed(reader, sample, nothing))
    yield '],\n"annotations": ['
    found = chain.from_iterable(_annotations(reader, row) for row in analysed(reader, sample, advance))
    yield from _joined(_json({"id": number} | one) for number, one in enumerate(found, 1))
    yield "]}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _joined(texts: Iterator[str]) -> Iterator[str]:
    for index, text in enumerate(texts):
        yield f",\n{text}" if index else f"\n{text}"


def _image(row: MicrographRow) -> dict[str, Any]:
    picture = paths.row_picture(Path(), row, "micrograph").relative_to(row.sample)
    return {
        "id": row.id,
        "file_name": picture.as_posix(),
        "width": row.width_px,
        "height": row.height_px,
        "micrograph": row.micrograph,
        "frame": row.frame,
        "pixel_size_nm": row.pixel_size_nm,
    }


def _annotations(reader: Reader, row: MicrographRow) -> Iterator[dict[str, Any]]:
    size = (row.height_px or 0, row.width_px or 0)
    for number, particle in numbered_particles(reader, row):
        region = particle.region
        (top, left), (height, width) = region.origin_px, region.mask.shape
        yield {
            "image_id": row.id,
            "category_id": _CATEGORY["id"],
            "iscrowd": 0,
            "bbox": [left, top, width, height],
            "area": int(np.count_nonzero(region.mask)),
            "segmentation": {"size": list(size), "counts": encode_runs(run_lengths(region, size))},
            "particle": number,
            "equivalent_diameter_nm": particle.equivalent_diameter_nm,
            "separated": particle.separated,
        }


def run_lengths(region: Region, size: tuple[int, int]) -> list[int]:
    """Lengths of runs outside and inside a region, in turn, down each column of a picture of (height, width).

    The first run lies outside and may be 0 long.
    """
    (top, left), columns = region.origin_px, region.mask.T
    padded = np.zeros((columns.shape[0], columns.shape[1] + 2), np.int8)
    padded[:, 1:-1] = columns
    # every column of the crop begins and ends outside: starts and ends are pairs in order
    column, edge = np.nonzero(np.diff(padded, axis=1))
    bounds = (left + column) * size[0] + top + edge
    # a run that ends at the lower edge of the picture goes on in the next column
    apart = np.flatnonzero(bounds[1:-1:2] != bounds[2::2])
    keep = np.sort(np.concatenate(([0, len(bounds) - 1], 2 * apart + 1, 2 * apart + 2)))
    lengths: list[int] = np.diff(bounds[keep], prepend=0, append=size[0] * size[1]).tolist()
    return lengths


def encode_runs(lengths: list[int]) -> str:
    """Run lengths in COCO's own text: from the fourth on, a length is its difference from the last but one.

    Each number is written in digits of five bits, lowest first; a sixth bit says that more follow.
    """
    letters = []
    for index, length in enumerate(lengths):
        value = length - lengths[index - 2] if index > 2 else length
        more = True
        while more:
            digit = value & 0x1F
            value >>= 5
            more = value != (-1 if digit & 0x10 else 0)
            letters.append(chr(48 + (digit | 0x20 if more else digit)))
    return "".join(letters)
