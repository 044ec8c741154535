"""Which pixels are particle: one module a method, one line in `SEGMENTERS`."""

from __future__ import annotations

from collections.abc import Callable

from temwatch.config import SegmentationSettings
from temwatch.domain import Segmenter


def _threshold(settings: SegmentationSettings) -> Segmenter:
    from temwatch.analysis.segmentation import threshold

    return threshold.build(settings)


def _deeplab(settings: SegmentationSettings) -> Segmenter:
    from temwatch.analysis.segmentation import deeplab  # torch: seconds to import

    return deeplab.build(settings)


SEGMENTERS: dict[str, Callable[[SegmentationSettings], Segmenter]] = {
    "threshold": _threshold,
    "deeplab": _deeplab,
}


def build(settings: SegmentationSettings) -> Segmenter:
    """The segmenter that the settings name.

    Raises
    ------
    WeightsError
        The weights are missing, damaged or of another network.
    """
    return SEGMENTERS[settings.method](settings)
