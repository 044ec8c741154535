"""What a segmenter says of a picture: a blank field, or particles of the other sign than it was told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from temwatch.analysis.segmentation import neighbours
from temwatch.analysis.segmentation.field import find_field
from temwatch.analysis.segmentation.threshold import PARAMETERS as THRESHOLD
from temwatch.analysis.segmentation.threshold import flattened, threshold_mask
from temwatch.domain import Image, Mask
from temwatch.notes import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class RemarkParameters:
    """Tuned on simulated micrographs and on published ones (docs/measurement.md)."""

    side_px: int = 256
    """px; the sign is looked for in a picture whose shorter side is no longer than about this."""
    sigma_px: float = 3.0
    """px; Gaussian with which the form of outlines is examined."""
    min_bulge: float = 0.015
    """The side that bulges has so much less of the Gaussian's weight on it; a straight edge has 1/2. 0.01 to
    0.02 do as well."""
    crowded: float = 0.8
    """Where particles and what lies between make up so much of the picture, the share of its border that each
    holds is compared, else the contrast."""
    contrast: float = 1.5
    """Particles differ so many times more from the film than their fringes or its shades do; 1.2 to 2 do as
    well."""


PARAMETERS = RemarkParameters()


def remarks(
    image: Image, mask: Mask, *, dark: bool, thresholded: Mask | None = None, field: Mask | None = None
) -> tuple[str, ...]:
    """Notes on a picture.

    Parameters
    ----------
    image : float32, (y, x)
        As recorded.
    mask : bool, (y, x)
        What was found to be particle.
    dark
        Whether particles were expected to be dark.
    thresholded : bool, (y, x), or None
        What the threshold finds of the expected sign, if it is known already.
    field : bool, (y, x), or None
        The part of the picture that was recorded, if that is known already and is not all.
    """
    if looks_reversed(image, dark=dark, expected=thresholded, field=field):
        return (Note.BRIGHT_PARTICLES_SUSPECTED if dark else Note.DARK_PARTICLES_SUSPECTED,)
    return () if mask.any() else (Note.BLANK_FIELD,)


def looks_reversed(
    image: Image, *, dark: bool, expected: Mask | None = None, field: Mask | None = None
) -> bool:
    """Whether what bulges into the rest of a picture has the other sign than expected.

    Both signs are thresholded. Outlines bend around particles and away from what lies between; fringes and
    shades of the film have less contrast than particles, and film holds more of the border than they do.
    """
    step = max(1, min(image.shape, default=0) // PARAMETERS.side_px)
    small = image if step == 1 else neighbours.reduced(image, step)
    finite = np.isfinite(small)
    if not finite.any():
        return False
    small = small if dark else -small
    places = tuple(slice(step // 2, extent * step, step) for extent in small.shape)
    if expected is None:
        field = find_field(image)
    field = None if field is None else field[places]
    counted = finite if field is None else finite & field
    film = float(np.median(small[counted])) if counted.any() else 0.0
    if expected is not None and _is_plain(small, expected[places], film):
        return False
    if expected is None or (step > 1 and expected.any()):  # both signs at one scale
        expected = threshold_mask(small, field)
    else:
        expected = expected[places]
    other = threshold_mask(-small, field)
    if not other.any():
        return False
    # where nothing is expected, that which bulges has to do so more than a straight edge
    if _weight_inside(other) + PARAMETERS.min_bulge > (_weight_inside(expected) if expected.any() else 0.5):
        return False
    if np.mean(expected | other) > PARAMETERS.crowded:
        return _on_border(expected) > _on_border(other)
    flat = flattened(small, None if counted.all() else counted)  # a vignette is no contrast
    deviation = np.abs(flat - float(np.median(flat[counted])))
    # medians: a defect or a letter within a mask does not count
    depth = float(np.median(deviation[expected & finite])) if expected.any() else 0.0
    spread = 1.4826 * float(np.median(deviation[counted & ~other]))
    return float(np.median(deviation[other & finite])) > PARAMETERS.contrast * max(depth, spread)


def _is_plain(image: Image, dark: Mask, film: float) -> bool:
    """Whether dark regions bulge, and nothing bright has so much contrast: a cheap test for most pictures."""
    if not dark.any() or _weight_inside(dark) > 0.5:
        return False
    depth = film - float(np.median(image[dark]))
    highest = float(ndimage.gaussian_filter(image, THRESHOLD.sigma_px / 2).max())
    return highest - film <= PARAMETERS.contrast * depth


def _weight_inside(mask: Mask) -> float:
    """Share of a Gaussian around a pixel of the outline that lies on the mask, in the median."""
    outline = neighbours.outline(mask)
    if not outline.any():
        return 1.0
    weight = ndimage.gaussian_filter(mask.astype(np.float32), PARAMETERS.sigma_px)
    return float(np.median(weight[outline]))


def _on_border(mask: Mask) -> float:
    return float(np.mean(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])))
