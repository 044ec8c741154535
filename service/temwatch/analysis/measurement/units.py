"""From px to nm and back; for descriptors `descriptors.measure_outline` does it, by the power of each."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.measurement import shape
from temwatch.config import SeparationSettings
from temwatch.descriptors import measure_outline
from temwatch.domain import Particle, Region


class Appearance(NamedTuple):
    """Contrast and confidence of a particle, 0 to 1; NaN where they are not known."""

    contrast: float = math.nan
    confidence: float = math.nan


UNSEEN = Appearance()

Lengths = TypeVar("Lengths", float, NDArray[np.float64])


_LARGEST_DISC_PX = 5e4  # of a diameter: larger than any picture, and its area is an int of 32 bits


def to_nm(lengths_px: Lengths, pixel_size_nm: float) -> Lengths:
    """Lengths in px, a number or an array of any shape, in nm."""
    return lengths_px * pixel_size_nm


def to_px(lengths_nm: Lengths, pixel_size_nm: float) -> Lengths:
    """Lengths in nm, a number or an array of any shape, in px."""
    return lengths_nm / pixel_size_nm


def disc_area_px(diameter_nm: float, pixel_size_nm: float) -> int:
    """Area in px of a disc of `diameter_nm`, rounded up; a huge one for any beyond every picture."""
    return math.ceil(math.pi / 4 * min(diameter_nm / pixel_size_nm, _LARGEST_DISC_PX) ** 2)


def smallest_area_px(settings: SeparationSettings, pixel_size_nm: float) -> int:
    """Area in px of the smallest particle, by its diameter in px where that is set, else in nm."""
    if settings.min_diameter_px is not None:
        return disc_area_px(settings.min_diameter_px, 1.0)
    return disc_area_px(settings.min_diameter_nm, pixel_size_nm)


def measure(
    region: Region, *, pixel_size_nm: float, settings: SeparationSettings, appearance: Appearance = UNSEEN
) -> Particle:
    """All descriptors of a region.

    Parameters
    ----------
    region
        Tight crop of an 8-connected region.
    pixel_size_nm
        Edge of a pixel, nm.
    settings
        Its convexity threshold: a particle below it is labelled as overlapping.
    appearance
        What the picture says of it.
    """
    outline = shape.outline_of_region(region)._replace(**appearance._asdict())
    descriptors = measure_outline(outline, pixel_size_nm)
    return Particle(
        descriptors=descriptors,
        overlapping=descriptors["convexity"] < settings.convexity_threshold,
        region=region,
        separated_by=region.separated_by,
    )
