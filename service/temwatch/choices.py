"""The closed choices of configuration and command line; light, so that `--help` loads no pydantic."""

from __future__ import annotations

from typing import Literal

SegmentationMethod = Literal["threshold", "deeplab"]
SeparationMethod = Literal["uecs", "watershed", "contour", "none"]
TableFormat = Literal["csv", "xlsx", "parquet"]
Device = Literal["auto", "cpu", "cuda"]
