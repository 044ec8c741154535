"""Which particles somebody wants to see: limits for what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from temwatch.descriptors import SIZE


class ParticleFilter(BaseModel):
    """What a particle must fulfil to be counted in a view; a limit that is None lets all through.

    A value that was not measured does not fulfil a limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_diameter_nm: float | None = Field(None, ge=0, description="nm; smallest equivalent diameter")
    max_diameter_nm: float | None = Field(None, ge=0, description="nm; largest equivalent diameter")
    min_circularity: float | None = Field(None, ge=0, le=1, description="least circularity")
    max_aspect_ratio: float | None = Field(None, ge=1, description="largest aspect ratio")
    min_confidence: float | None = Field(None, ge=0, le=1, description="least confidence")
    min_contrast: float | None = Field(None, ge=0, le=1, description="least contrast")
    min_visible_fraction: float | None = Field(
        None, ge=0, le=1, description="least share of the outline that was seen"
    )
    separated: bool | None = Field(None, description="false: only what stands alone; true: only the others")

    @property
    def limits(self) -> Mapping[str, float | bool]:
        """The limits that are set."""
        return self.model_dump(exclude_none=True)

    @property
    def words(self) -> str:
        """The limits as a person reads them; empty where there are none."""
        return ", ".join(_words(name, value) for name, value in self.limits.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Compares a column of particles.csv."""

    column: str
    compare: Literal[">=", "<=", "="]
    words: str


LIMITS: Mapping[str, Limit] = {
    "min_diameter_nm": Limit(column=SIZE, compare=">=", words="equivalent diameter"),
    "max_diameter_nm": Limit(column=SIZE, compare="<=", words="equivalent diameter"),
    "min_circularity": Limit(column="circularity", compare=">=", words="circularity"),
    "max_aspect_ratio": Limit(column="aspect_ratio", compare="<=", words="aspect ratio"),
    "min_confidence": Limit(column="confidence", compare=">=", words="confidence"),
    "min_contrast": Limit(column="contrast", compare=">=", words="contrast"),
    "min_visible_fraction": Limit(column="visible_fraction", compare=">=", words="visible fraction"),
    "separated": Limit(column="separated", compare="=", words="separated"),
}
"""What each field of `ParticleFilter` compares."""


def passes_nothing(limits: Mapping[str, object]) -> str | None:
    """Why no particle can fulfil all of these limits, None where one can."""
    low, high = limits.get("min_diameter_nm"), limits.get("max_diameter_nm")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        return f"min_diameter_nm {low:.7g} is above max_diameter_nm {high:.7g}: no particle would be left"
    return None


def _words(name: str, value: float | bool) -> str:
    limit = LIMITS[name]
    if isinstance(value, bool):
        return "separated from clumps" if value else "standing alone"
    unit = " nm" if name.endswith("_nm") else ""
    return f"{limit.words} {'≥' if limit.compare == '>=' else '≤'} {value:.7g}{unit}"


NO_FILTER = ParticleFilter()
