"""The threshold as a segmenter: which part of a picture was recorded, what is dark in it, and remarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from temwatch.analysis.segmentation.field import find_field
from temwatch.analysis.segmentation.remarks import remarks
from temwatch.analysis.segmentation.threshold import PARAMETERS, threshold_mask
from temwatch.config import SegmentationSettings
from temwatch.domain import Image, Segmentation, Segmenter


def build(settings: SegmentationSettings) -> Segmenter:
    """The threshold as a segmenter; only `particles` of the settings matters."""
    dark = settings.particles == "dark"
    return replace(_segmenter(dark=dark), opposite=_segmenter(dark=not dark))


def _segmenter(*, dark: bool) -> Segmenter:
    def segment(images: Sequence[Image]) -> list[Segmentation]:
        return [_segmentation(image, dark=dark) for image in images]

    return Segmenter(
        name="threshold",
        segment=segment,
        parameters=(("sigma_px", PARAMETERS.sigma_px), ("particles", "dark" if dark else "bright")),
    )


def _segmentation(image: Image, *, dark: bool) -> Segmentation:
    field = find_field(image)
    mask = threshold_mask(image if dark else -image, field)
    notes = remarks(image, mask, dark=dark, thresholded=mask, field=field)
    return Segmentation(mask=mask, notes=notes, recorded=field)
