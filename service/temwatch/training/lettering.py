"""Letters and scale bars on tiles: published figures are full of them, and none of them is a particle."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from temwatch import fonts
from temwatch.training.datasets import Labels

_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif-Bold", "STIXGeneral", "STIXGeneralBol", "cmss10")
"""Of temwatch.fonts."""
_UNITS = ("nm", "nm", "nm", "µm", "um")
_LENGTHS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 500)
_STRIP_TEXTS = (
    "HV 80.0kV",
    "100 nm",
    "x50.0k Zoom-1 HC-1 100.0kV",
    "TEM system",
    "2024/05/17 16:32:29",
    "Print Mag: 60000x",
)
PLACES_TRIED = 6
STRIP_SHARE = 0.15
"""Share of the lettered tiles that end in the strip that microscopes print below a picture."""


def add_lettering(
    image: NDArray[np.float32], labels: Labels, random: np.random.Generator
) -> NDArray[np.float32]:
    """Write up to three upright items on a normalised tile, where they cover the fewest particles.

    Labels stay: a particle under a letter is still a particle. A strip never covers a particle.
    """
    height, width = image.shape
    result = image
    if random.random() < STRIP_SHARE:
        strip = _strip(random, width)
        rows = len(strip)
        if rows < height and not labels[-rows:].any():
            result = image.copy()
            result[-rows:] = strip
    for _ in range(int(random.integers(1, 4))):
        ink, box = _item(random, most_px=min(height, width) - 8)
        rows, columns = ink.shape
        places = [
            (int(random.integers(0, height - rows + 1)), int(random.integers(0, width - columns + 1)))
            for _ in range(PLACES_TRIED)
        ]
        row, column = min(
            places, key=lambda at: np.count_nonzero(labels[at[0] : at[0] + rows, at[1] : at[1] + columns])
        )
        window = np.s_[row : row + rows, column : column + columns]
        black, white = random.uniform(-2.2, -1.0), random.uniform(0.9, 2.2)
        level, paper = (black, white) if random.random() < 0.65 else (white, black)
        if result is image:
            result = image.copy()
        if box:
            result[window] = paper
        result[window] = result[window] * (1 - ink) + level * ink
    return result


def _item(random: np.random.Generator, most_px: int) -> tuple[NDArray[np.float32], bool]:
    """Coverage (y, x) of a letter of a panel, a length, a bar or a bar with its length; and whether boxed."""
    size = int(np.exp(random.uniform(np.log(10), np.log(64))))
    letter = str(random.choice(list("abcdefghABCDEFGH")))
    panel = (letter, f"({letter})", f"{letter})", f"{letter}{random.integers(1, 5)}")[random.integers(4)]
    length = f"{random.choice(_LENGTHS)} {random.choice(_UNITS)}"
    kind = random.integers(4)
    text = (panel, length, "", length)[kind]
    font = _font(str(random.choice(_FONTS)), size)
    left, top, right, bottom = font.getbbox(text) if text else (0, 0, 0, 0)
    bar = (
        (round(random.uniform(1.5, 8) * size), max(2, round(size * random.uniform(0.1, 0.4))))
        if kind > 1
        else (0, 0)
    )
    margin = max(2, size // 4)
    width = int(max(right - left, bar[0])) + 2 * margin
    height = int(bottom - top) + bar[1] + (margin if text and bar[1] else 0) + 2 * margin
    layer = Picture.new("L", (width, height), 0)
    draw = ImageDraw.Draw(layer)
    if text:
        draw.text(((width - (right - left)) / 2 - left, margin - top), text, fill=255, font=font)
    if bar[1]:
        first = (width - bar[0]) // 2
        draw.rectangle((first, height - margin - bar[1], first + bar[0], height - margin - 1), fill=255)
    ink = np.asarray(layer, np.float32) / np.float32(255)
    return ink[:most_px, :most_px], bool(random.random() < 0.2)


def _strip(random: np.random.Generator, width: int) -> NDArray[np.float32]:
    """The strip below a picture, (y, x): light text on black or dark on white, often with a bar."""
    height = int(random.integers(8, 40))
    layer = Picture.new("L", (width, height), 0)
    draw = ImageDraw.Draw(layer)
    font = _font(str(random.choice(_FONTS)), max(5, int(height * random.uniform(0.25, 0.8))))
    column = int(random.integers(-width // 2, width // 4))
    while column < width:
        text = str(random.choice(_STRIP_TEXTS))
        draw.text((column, int(random.integers(0, max(1, height // 3)))), text, fill=255, font=font)
        column += int(draw.textlength(text, font=font)) + int(random.integers(4, width))
    if random.random() < 0.5:
        first, last = sorted(random.integers(0, width, 2).tolist())
        draw.line((first, height // 2, last, height // 2), fill=255, width=max(1, height // 10))
    ink = np.asarray(layer, np.float32) / np.float32(255)
    paper, level = random.uniform(-2.2, -1.0), random.uniform(0.9, 2.2)
    if random.random() < 0.25:
        paper, level = level, paper
    return np.asarray(paper * (1 - ink) + level * ink, np.float32)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return fonts.truetype(size, name)
