"""What the picture says of each particle, and which are therefore not reported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.appearance.confidence import confidences
from temwatch.analysis.appearance.contrast import contrasts
from temwatch.analysis.appearance.kinds import is_residue
from temwatch.analysis.measurement.units import UNSEEN, Appearance
from temwatch.domain import Region, Segmentation


def appearances(regions: Sequence[Region], segmented: Segmentation) -> list[Appearance]:
    """Contrast and confidence of regions of a segmentation, as far as it holds what they take."""
    if segmented.picture is None:
        return [UNSEEN] * len(regions)
    contrast = contrasts(regions, segmented.mask, segmented.picture)
    confidence = np.full(len(regions), np.nan)
    if segmented.probability is not None:
        confidence = confidences(regions, segmented.probability, contrast)
    return [Appearance(*both) for both in zip(contrast.tolist(), confidence.tolist(), strict=True)]


def are_doubted(seen: Sequence[Appearance], min_confidence: float | None) -> NDArray[np.bool_]:
    """Which of a micrograph's particles are rejected: those below `min_confidence`.

    Where that is None, a pale and doubtful kind beside a clear one; see `kinds`.
    """
    contrast, confidence = np.array(seen, float).reshape(-1, 2).T
    if min_confidence is None:
        return is_residue(contrast, confidence)
    return np.asarray(confidence < min_confidence)
