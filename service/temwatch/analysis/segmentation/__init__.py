"""Which pixels are particle: one module a method, one line in `SEGMENTERS`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, Protocol

from temwatch.analysis.appearance import min_confidence, picture
from temwatch.analysis.segmentation import weights
from temwatch.analysis.segmentation.pieces import in_pieces
from temwatch.config import SegmentationSettings
from temwatch.domain import Segmenter


class Factory(Protocol):
    """Builds a segmenter; `on_out_of_memory` is called each time a GPU's memory did not suffice."""

    def __call__(
        self, settings: SegmentationSettings, on_out_of_memory: Callable[[], None] = ..., /
    ) -> Segmenter: ...


def _threshold(
    settings: SegmentationSettings, _on_out_of_memory: Callable[[], None] = lambda: None, /
) -> Segmenter:
    from temwatch.analysis.segmentation import classical

    return classical.build(settings)


def _deeplab(
    settings: SegmentationSettings, on_out_of_memory: Callable[[], None] = lambda: None, /
) -> Segmenter:
    # read when torch is loaded: threads that spin while they wait for each other take cores from other work
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from temwatch.analysis.segmentation import deeplab  # torch: seconds to import

    return deeplab.build(settings, on_out_of_memory)


SEGMENTERS: dict[str, Factory] = {
    "threshold": _threshold,
    "deeplab": _deeplab,
}


def build(settings: SegmentationSettings, on_out_of_memory: Callable[[], None] = lambda: None) -> Segmenter:
    """The segmenter that the settings name.

    Raises
    ------
    WeightsError
        The weights are missing, damaged or of another network.
    StartError
        The device that the settings ask for is not there.
    """
    found = picture.keeping_pictures(in_pieces(SEGMENTERS[settings.method](settings, on_out_of_memory)))
    return min_confidence.with_min_confidence(found, settings.min_confidence)


def build_lazily(settings: SegmentationSettings) -> Segmenter:
    """The same segmenter with its name, weights and parameters; a network is loaded only when it segments.

    Raises
    ------
    WeightsError
        The weights are missing or damaged.
    """
    if settings.method != "deeplab":
        return build(settings)
    file = weights.read(weights.find_weights(settings))

    @functools.cache
    def loaded() -> Segmenter:
        return build(settings)

    def lazy(particles: Literal["dark", "bright"]) -> Segmenter:
        return Segmenter(
            name="deeplab",
            segment=lambda images: for_particles(loaded(), particles).segment(images),
            parameters=weights.parameters(settings.model_copy(update={"particles": particles}), file),
            model_sha256=file.sha256,
        )

    both = replace(
        lazy(settings.particles), opposite=lazy("bright" if settings.particles == "dark" else "dark")
    )
    return min_confidence.with_min_confidence(both, settings.min_confidence)


def for_particles(segmenter: Segmenter, particles: str) -> Segmenter:
    """The segmenter or its opposite, whichever takes what is `particles` (dark or bright) for particles.

    One that has no opposite takes everything as it does.
    """
    if segmenter.opposite is None or dict(segmenter.parameters).get("particles") == particles:
        return segmenter
    return segmenter.opposite
