"""How certain a particle has to be: a parameter of the method, kept with those of the segmenter."""

from __future__ import annotations

from dataclasses import replace

from temwatch.domain import Method, Segmenter

_NAME = "min_confidence"


def with_min_confidence(segmenter: Segmenter, value: float | None) -> Segmenter:
    """The same segmenter, whose method says how certain a particle has to be; None is left out."""
    others = tuple(one for one in segmenter.parameters if one[0] != _NAME)
    own = () if value is None else ((_NAME, value),)
    opposite = None if segmenter.opposite is None else with_min_confidence(segmenter.opposite, value)
    return replace(segmenter, parameters=(*others, *own), opposite=opposite)


def min_confidence_of(method: Method) -> float | None:
    """The least confidence of a particle; None where only a pale kind beside a clear one is rejected."""
    value = dict(method.parameters).get(f"segmentation.{_NAME}")
    return None if value is None else float(value)
