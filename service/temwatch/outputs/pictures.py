"""The three pictures of a micrograph: the micrograph, its mask and the overlay of outlines."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from temwatch import fonts
from temwatch.domain import Analysis, Particle, Region
from temwatch.domain import Image as Pixels
from temwatch.figures import COLOURS
from temwatch.outputs import paths
from temwatch.outputs.files import make_folder, replacing


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


ALONE = _rgb(COLOURS["single"])
SEPARATED = _rgb(COLOURS["separated"])
OVERLAPPING = _rgb(COLOURS["low convexity"])
REJECTED = _rgb(COLOURS["rejected"])
# of the same palette
REMOVED = (204, 121, 167)
EXCLUDED = (170, 170, 170)

Canvas = NDArray[np.uint8]  # (y, x) grey or (y, x, 3) colours

_PERCENTILES = (0.5, 99.5)  # of the grey values: a few hot pixels must not darken all others
_MANY_PIXELS = 1 << 20
_ENOUGH_PIXELS = 1 << 24
_END = b"\0\0\0\0IEND\xaeB`\x82"  # of every PNG

Image.MAX_IMAGE_PIXELS = None  # pictures of large mosaics are the service's own


def write_pictures(folder: Path, name: str, image: Pixels, analysis: Analysis) -> None:
    """Write the micrograph, its mask and its overlay, each under a temporary name first.

    Parameters
    ----------
    folder : Path
        Created if missing.
    name : str
        Prefix of the file names.
    image : float32, shape (y, x)
        The micrograph.
    analysis : Analysis
        Its analysis.
    """
    write_views(folder, name, write_micrograph(folder, name, image, analysis.pixel_size_nm), analysis)


def write_micrograph(folder: Path, name: str, image: Pixels, pixel_size_nm: float) -> Canvas:
    """Write the grey picture, the only one that needs the original; the overlay is drawn on it."""
    make_folder(folder)
    canvas = grey(image)
    _draw_scale_bar_on(canvas, pixel_size_nm)
    _save(canvas, paths.picture(folder, name, "micrograph"))
    return canvas


def write_views(
    folder: Path,
    name: str,
    micrograph: Image.Image | Canvas,
    analysis: Analysis,
    excluded: Collection[int] = (),
) -> None:
    """Write mask and overlay, drawn on the published grey picture of the micrograph.

    `excluded` are the numbers of particles that somebody has excluded.
    """
    _save(analysis.mask.view(np.uint8) * np.uint8(255), paths.picture(folder, name, "mask"))
    _save(overlay(np.asarray(micrograph), analysis, excluded), paths.picture(folder, name, "overlay"))


def draw_again(
    folder: Path, name: str, analysis: Callable[[], Analysis], excluded: Collection[int] = ()
) -> None:
    """Write mask and overlay again, if the picture of the micrograph was published."""
    path = paths.picture(folder, name, "micrograph")
    if is_whole(path):
        with Image.open(path) as micrograph:
            found = analysis()
            if micrograph.size == found.mask.shape[::-1]:  # else a later revision has just been drawn
                write_views(folder, name, micrograph, found, excluded)


def is_whole(path: Path) -> bool:
    """Whether a picture is there up to its last byte."""
    try:
        with path.open("rb") as stream:
            stream.seek(-len(_END), os.SEEK_END)
            return stream.read() == _END
    except OSError:  # also of a file that is too short
        return False


def overlay(micrograph: Canvas, analysis: Analysis, excluded: Collection[int] = ()) -> Canvas:
    """The published grey picture with the outline of every particle, coloured by kind.

    `excluded` are the numbers of particles that somebody has excluded: their outlines are grey.
    Lines lie inside the region, so the edge of the particle stays visible.
    """
    canvas = np.empty((*micrograph.shape, 3), np.uint8)
    canvas[:] = micrograph[:, :, None]
    width_px = max(1, round(min(canvas.shape[:2]) / 1000))
    if analysis.removed is not None:
        canvas[analysis.removed] = REMOVED
    for rejection in analysis.rejections:
        _outline(canvas, rejection.region, REJECTED, width_px)
    # excluded ones first, so that they cross no other
    numbered = sorted(enumerate(analysis.particles, 1), key=lambda one: one[0] not in excluded)
    for number, particle in numbered:
        colour = EXCLUDED if number in excluded else _colour(particle)
        _outline(canvas, particle.region, colour, width_px)
    _draw_scale_bar_on(canvas, analysis.pixel_size_nm)  # outlines must not cross it
    return canvas


def draw_scale_bar(picture: Image.Image, pixel_size_nm: float) -> None:
    """Draw a scale bar of a round length, about a fifth of the width, at the lower left.

    White with a dark rim is legible on any background and covers less than a box would.
    """
    _draw_bar(picture, picture.size, pixel_size_nm)


def _draw_scale_bar_on(canvas: Canvas, pixel_size_nm: float) -> None:
    """The same in place, without a copy of a canvas that may be a mosaic: on its lowest rows."""
    height, width = canvas.shape[:2]
    strip = Image.fromarray(canvas[-4 * _letter_px(width, height) :])
    _draw_bar(strip, (width, height), pixel_size_nm)
    canvas[-strip.height :] = np.asarray(strip)


def _letter_px(width: int, height: int) -> int:
    return max(10, min(width, height) // 30)


def _draw_bar(picture: Image.Image, size: tuple[int, int], pixel_size_nm: float) -> None:
    """Draw the scale bar of a picture of `size` (width, height) on it or on its lowest rows."""
    width, height = size[0], picture.height
    length_nm = round_length_nm(width * pixel_size_nm / 5)
    length_px = max(1, round(length_nm / pixel_size_nm))
    size_px = _letter_px(*size)
    font = fonts.truetype(size_px)
    label = scale_label(length_nm)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    pad, thick, rim_px = size_px // 2, max(2, size_px // 5), max(1, size_px // 12)
    room_x, room_y = max(length_px, right - left) + 2 * pad, bottom - top + thick + 3 * pad
    if room_x > width or room_y > height:
        return  # too small for a scale bar
    dark, light = (20, 245) if picture.mode == "L" else ((20, 20, 20), (245, 245, 245))
    middle_x, bar_x, bar_y = room_x / 2, (room_x - length_px) // 2, height - pad - thick
    draw.text(
        (middle_x - (left + right) / 2, bar_y - pad - bottom),
        label,
        font=font,
        fill=light,
        stroke_width=rim_px,
        stroke_fill=dark,
    )
    bar = (bar_x, bar_y, bar_x + length_px - 1, bar_y + thick - 1)
    draw.rectangle((bar[0] - rim_px, bar[1] - rim_px, bar[2] + rim_px, bar[3] + rim_px), fill=dark)
    draw.rectangle(bar, fill=light)


def round_length_nm(target_nm: float) -> float:
    """The length of 1, 2 or 5 times a power of ten that is closest to `target_nm` on a logarithmic scale.

    Examples
    --------
    >>> round_length_nm(23.0), round_length_nm(0.4), round_length_nm(800)
    (20.0, 0.5, 1000.0)
    """
    power = math.floor(math.log10(target_nm))
    candidates = [digit * 10.0**exponent for exponent in (power, power + 1) for digit in (1, 2, 5)]
    return min(candidates, key=lambda length: abs(math.log(length / target_nm)))


def scale_label(length_nm: float) -> str:
    """The length with the unit that gives the shortest number.

    Examples
    --------
    >>> scale_label(20.0), scale_label(0.5), scale_label(2000.0)
    ('20 nm', '0.5 nm', '2 µm')
    """
    return f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"


def grey(image: Pixels) -> Canvas:
    """The grey values of a micrograph, float32 (y, x), stretched over 8 bits."""
    # a quarter of the pixels gives the same percentiles; of a mosaic even less
    step = 2 if image.size > _MANY_PIXELS else 1
    while image.size > step**2 * _ENOUGH_PIXELS:
        step *= 2
    low, high = np.percentile(image[::step, ::step], _PERCENTILES)
    if high <= low:
        low, high = float(image.min()), float(image.max())
    span = float(high - low) or 1.0
    stretched = np.empty(image.shape, np.uint8)
    rows = max(
        1, _MANY_PIXELS // image.shape[1]
    )  # in strips: what is between must not be as large as a mosaic
    for top in range(0, image.shape[0], rows):
        strip = image[top : top + rows]
        stretched[top : top + rows] = np.clip((strip - low) * (255 / span), 0, 255)
    return stretched


def _colour(particle: Particle) -> tuple[int, int, int]:
    if particle.overlapping:
        return OVERLAPPING
    return SEPARATED if particle.separated else ALONE


def _outline(canvas: Canvas, region: Region, colour: tuple[int, int, int], width_px: int) -> None:
    row, column = region.origin_px
    height, width = region.mask.shape
    padded = np.pad(region.mask, 1)
    line = (padded & ~ndimage.binary_erosion(padded, iterations=width_px))[1:-1, 1:-1]
    canvas[row : row + height, column : column + width][line] = colour


def _save(canvas: Canvas, path: Path) -> None:
    # noise does not compress: a full search for repetitions takes four times as long and saves 3 %
    grey = canvas.ndim == 2
    content = imagecodecs.png_encode(
        canvas,
        level=1,
        strategy=imagecodecs.PNG.STRATEGY.RLE if grey else imagecodecs.PNG.STRATEGY.DEFAULT,
        filter=imagecodecs.PNG.FILTER.SUB,
    )
    with replacing(path) as stream:
        stream.write(content)
