"""How clumps of overlapping particles are separated: one module a method, one line in `SEPARATORS`."""

from __future__ import annotations

from temwatch.analysis.separation import auto, contour, uecs, unseparated, watershed
from temwatch.analysis.separation.separator import Separator

SEPARATORS: dict[str, Separator] = {
    "auto": auto.SEPARATOR,
    "uecs": uecs.SEPARATOR,
    "watershed": watershed.SEPARATOR,
    "contour": contour.SEPARATOR,
    "none": unseparated.SEPARATOR,
}
