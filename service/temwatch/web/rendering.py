"""Pictures that only the page needs: previews, crops of particles, outlines."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from temwatch.analysis.measurement.polygons import polygon
from temwatch.analysis.measurement.shape import with_outlines
from temwatch.domain import Level, Particle, Region, Rejection
from temwatch.ledger import MicrographRow, Reader, analyses, exclusions
from temwatch.outputs import pictures
from temwatch.outputs.population_summary import json_numbers

_CROP_MARGIN = 0.35
_CROP_PX = 160


def warm_up() -> None:
    """Trace one outline, so that no page waits until the code is loaded and compiled."""
    polygon(Region(origin_px=(0, 0), mask=np.ones((9, 9), bool)))


class DamagedPicture(Exception):
    """A picture cannot be decoded."""


@contextmanager
def _decoding() -> Iterator[None]:
    """Pillow raises these on damaged pictures."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:
        raise DamagedPicture(str(error)) from None


def decode(path: Path) -> Image.Image:
    """A published micrograph as 8-bit greyscale image; DamagedPicture where there is none."""
    with _decoding(), Image.open(path) as picture:
        return picture.convert("L")


def preview(source: Path | io.BytesIO, edge_px: int) -> bytes:
    """A micrograph as JPEG, longest edge at most `edge_px`, from its picture or a larger preview."""
    with _decoding(), Image.open(source) as picture:
        picture.draft("L", (edge_px, edge_px))  # a JPEG is decoded at reduced size, other formats in full
        small = picture.convert("L")
        small.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _encoded(small, "JPEG", quality=82)


def crop(picture: Image.Image, particle: Particle, level: Level | None) -> bytes:
    """A particle with its surroundings and its outline, as PNG."""
    top, left = particle.region.origin_px
    height, width = particle.region.mask.shape
    half = (0.5 + _CROP_MARGIN) * max(width, height) + 2
    x, y = left + width / 2, top + height / 2
    scale = _CROP_PX / (2 * half)
    box = (x - half, y - half, x + half, y + half)
    # outside the micrograph, `crop` pads with black
    part = picture.crop(tuple(round(edge) for edge in box)).resize(
        (_CROP_PX, _CROP_PX), Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    )
    canvas = part.convert("RGB")
    flat = polygon(with_outlines([particle.region], level)[0])
    points = [
        ((px - round(box[0])) * scale, (py - round(box[1])) * scale)
        for px, py in zip(flat[::2], flat[1::2], strict=True)
    ]
    colour = pictures.SEPARATED if particle.separated else pictures.ALONE
    ImageDraw.Draw(canvas).line([*points, points[0]], fill=colour, width=1)
    return _encoded(canvas, "PNG")


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def outlines(reader: Reader, row: MicrographRow) -> dict[str, Any]:
    """Outlines of all particles and rejected regions of a micrograph, with what their tooltips show."""
    return drawn_outlines(
        row,
        analyses.particles(reader, row.id),
        analyses.rejections(reader, row.id),
        level=analyses.level(reader, row.id),
        excluded=exclusions.excluded_numbers(reader, row.id),
    )


def drawn_outlines(
    row: MicrographRow,
    found: Sequence[Particle],
    rejections: Sequence[Rejection],
    *,
    level: Level | None,
    excluded: Collection[int] = (),
) -> dict[str, Any]:
    """The same of particles and rejections that a micrograph has, or would have.

    Polygons are x, y, x, y ... in units of half a pixel, to a quarter of one.
    """
    regions = with_outlines((particle.region for particle in found), level)
    return {
        "width_px": row.width_px,
        "height_px": row.height_px,
        "pixel_size_nm": row.pixel_size_nm,
        "particles": [
            {
                "number": number,
                "excluded": number in excluded,
                "kind": "overlapping"
                if particle.overlapping
                else "separated"
                if particle.separated
                else "alone",
                "equivalent_diameter_nm": json_numbers(particle.equivalent_diameter_nm),
                "circularity": json_numbers(particle.circularity),
                "confidence": json_numbers(particle.confidence),
                "contrast": json_numbers(particle.contrast),
                "polygon": _half_pixels(region),
            }
            for number, (particle, region) in enumerate(zip(found, regions, strict=True), 1)
        ],
        "rejections": [
            {"number": number, "reason": str(rejection.reason), "polygon": _half_pixels(rejection.region)}
            for number, rejection in enumerate(rejections, 1)
        ],
    }


def _half_pixels(region: Region) -> list[float]:
    found: list[float] = (np.rint(np.multiply(8, polygon(region))) / 4).tolist()
    return found
