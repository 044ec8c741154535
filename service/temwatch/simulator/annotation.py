"""Scale bars and letters burned into an image, as exported and published micrographs have them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw

from temwatch import fonts
from temwatch.domain import Mask

_ROUND_NM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def annotate(image: NDArray[np.uint16], pixel_size_nm: float, rng: np.random.Generator) -> Mask:
    """Burn a scale bar, and often a letter, into the image in place; return the pixels that are covered.

    Text, place, size, colour and an occasional box behind it vary as they do between journals and cameras.
    """
    height, width = image.shape
    layer = Picture.new("L", (width, height), 0)
    box = Picture.new("L", (width, height), 0)
    draw, draw_box = ImageDraw.Draw(layer), ImageDraw.Draw(box)
    text_px = max(9, round(height * rng.uniform(0.025, 0.06)))
    font = fonts.truetype(text_px)
    length_nm = _bar_length_nm(width * pixel_size_nm * rng.uniform(0.12, 0.3))
    length_px = length_nm / pixel_size_nm
    text = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    thick_px, gap_px = max(2, round(text_px * rng.uniform(0.15, 0.4))), text_px // 4
    left = rng.uniform(0.03, 0.08) * width if rng.random() < 0.4 else 0.95 * width - length_px
    left = float(np.clip(left, 2, max(2, width - length_px - 2)))
    bottom = height * rng.uniform(0.93, 0.98)
    draw.rectangle((left, bottom - thick_px, left + length_px, bottom), fill=255)
    middle = (left + length_px / 2, bottom - thick_px - gap_px)
    draw.text(middle, text, fill=255, font=font, anchor="ms")
    if rng.random() < 0.3:
        reach = max(length_px / 2, draw.textlength(text, font) / 2) + gap_px
        draw_box.rectangle(
            (middle[0] - reach, middle[1] - 1.3 * text_px, middle[0] + reach, bottom + gap_px), fill=255
        )
    if rng.random() < 0.5:
        letter = str(rng.choice(list("abcdefABCDEF")))
        letter = (letter, f"({letter})", f"{letter})")[rng.integers(3)]
        big = fonts.truetype(round(text_px * rng.uniform(1, 2)))
        draw.text((0.02 * width, 0.02 * height), letter, fill=255, font=big, anchor="lt")
    dark, bright = np.percentile(image[::4, ::4], [0.5, 99.8])
    ink, paper = (dark * 0.5, bright) if rng.random() < 0.5 else (bright, dark * 0.5)
    backing = np.asarray(box) > 0
    image[backing] = round(float(paper))
    strength = np.asarray(layer, np.float32) / 255
    covered = strength > 0
    blended = image[covered] * (1 - strength[covered]) + strength[covered] * float(ink)
    image[covered] = np.clip(np.rint(blended), 0, 65535).astype(np.uint16)
    return np.asarray(covered | backing)


def _bar_length_nm(about_nm: float) -> float:
    if about_nm < 1:
        return float(10.0 ** math.floor(math.log10(about_nm)))
    return float(max(length for length in _ROUND_NM if length <= about_nm))
