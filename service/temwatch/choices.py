"""What configuration and command line may be given; light, so that `--help` loads no pydantic."""

from __future__ import annotations

from typing import Literal

SegmentationMethod = Literal["threshold", "deeplab"]
SeparationMethod = Literal["auto", "uecs", "watershed", "contour", "none"]
TableFormat = Literal["csv", "xlsx", "parquet", "record"]
ExportFormat = Literal[
    "csv",
    "csv-excel",
    "xlsx",
    "parquet",
    "record",
    "roi",
    "coco",
    "labels",
    "geojson",
    "nexus",
    "enanomapper",
    "trackpy",
]
Device = Literal["auto", "cpu", "cuda"]
CpuEngine = Literal["auto", "openvino", "torch"]

PLAUSIBLE_PIXEL_SIZE_NM = (1e-4, 1e6)
"""nm per pixel; no electron micrograph lies outside 0.1 pm to 1 mm: such a value is damaged or mistyped."""


def is_plausible_pixel_size(nm: float) -> bool:
    """Whether a pixel may have this edge; false for NaN."""
    return PLAUSIBLE_PIXEL_SIZE_NM[0] <= nm <= PLAUSIBLE_PIXEL_SIZE_NM[1]


def implausible_pixel_size(nm: float) -> str:
    """Why a pixel size is not accepted."""
    low, high = PLAUSIBLE_PIXEL_SIZE_NM
    return f"must be more than {low:g} and less than {high:g} nm, found {nm:g}"


MAX_BY_CHARACTERS = 100
"""Length of the name of somebody who changes something."""

MAX_REASON_CHARACTERS = 1000
