"""The columns of particles.csv with their units; the tables of `outputs` share those of place and origin."""

from __future__ import annotations

from dataclasses import dataclass

from temwatch.descriptors import DESCRIPTORS, NAMES, Descriptor


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; its name ends in its unit.

    `kind` is text, path, integer, real, boolean or time.
    """

    name: str
    kind: str
    meaning: str
    digits: int = 7
    """Significant digits of a real number in csv."""


def _column(descriptor: Descriptor) -> Column:
    return Column(descriptor.name, "real", descriptor.meaning, descriptor.digits)


# the flags stand among the descriptors of the first version; what has joined since stands at the end
_FIRST = 1 + NAMES.index("solidity")

ROW = (
    Column("sample", "text", "sample the micrograph belongs to"),
    Column("micrograph", "path", "path below the watched folder, with /"),
    Column("frame", "integer", "number of the frame in its sequence from 0, empty for a single micrograph"),
)
BOX = (
    Column("bbox_x_px", "integer", "left edge of the bounding box, px from the left"),
    Column("bbox_y_px", "integer", "top edge of the bounding box, px from the top"),
    Column("bbox_width_px", "integer", "width of the bounding box"),
    Column("bbox_height_px", "integer", "height of the bounding box"),
)
ORIGIN = (
    Column("pixel_size_nm", "real", "edge of a pixel"),
    Column("acquired_at", "time", "when the micrograph was taken, UTC, empty where the file does not say"),
    Column("analysed_at", "time", "when it was analysed, UTC"),
    Column("method", "text", "digest of weights, parameters and software version"),
)
PARTICLE_COLUMNS: tuple[Column, ...] = (
    *ROW,
    Column("particle", "integer", "number of the particle in its micrograph, from 1"),
    *map(_column, DESCRIPTORS[:_FIRST]),
    Column("separated", "boolean", "cut out of a clump of overlapping particles"),
    Column("overlapping", "boolean", "convexity below the threshold"),
    *BOX,
    *ORIGIN,
    Column("separated_by", "text", "method that separated it: uecs, watershed, contour, contacts or empty"),
    *map(_column, DESCRIPTORS[_FIRST:]),
)
