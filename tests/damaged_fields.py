"""Simulated micrographs as drift correction, apertures, defects and people who write on them leave them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from scipy import ndimage

from temwatch.analysis import pipeline
from temwatch.domain import Analysis, Segmentation
from temwatch.simulator import SURVEY, Simulated, simulate_micrograph

SIZE_PX = 512
SETTINGS = replace(
    SURVEY, size_px=SIZE_PX, particles=24, families=("ellipses",), overlap="none", defects_per_million=0.0
)
CROWDED = replace(SETTINGS, particles=300, overlap="low")
"""Particles over 60 % of the field."""
BLANK = replace(SETTINGS, particles=0)
WHOLE = np.ones((SIZE_PX, SIZE_PX), bool)
ROWS, COLUMNS = np.indices(WHOLE.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Damaged:
    """A picture, and where its field was recorded and not written over."""

    image: np.ndarray
    seen: np.ndarray = field(default_factory=WHOLE.copy)


Damage = Callable[[np.ndarray, np.random.Generator], Damaged]


@cache
def clean(seed: int, *, crowded: bool = False) -> Simulated:
    """An ordinary micrograph."""
    return simulate_micrograph(CROWDED if crowded else SETTINGS, seed)


def rows_of(value: float, px: int) -> Damage:
    """A drift-corrected frame: the first rows and the last columns are padding."""

    def damage(image: np.ndarray, _: np.random.Generator) -> Damaged:
        seen = WHOLE.copy()
        seen[:px] = seen[:, SIZE_PX - px // 2 :] = False
        return Damaged(image=np.where(seen, image, value), seen=seen)

    return damage


def rotated(degrees: float, value: float = 0.0) -> Damage:
    """Turned with its corners filled."""

    def damage(image: np.ndarray, _: np.random.Generator) -> Damaged:
        def turn(values: np.ndarray, order: int, filling: float) -> np.ndarray:
            return ndimage.rotate(values, degrees, reshape=False, order=order, cval=filling)

        seen = turn(WHOLE.astype(float), 0, 0) > 0.5
        return Damaged(image=turn(image, 1, value), seen=ndimage.binary_erosion(seen, iterations=2))

    return damage


def aperture(radius: float, *, level: float, noise: float, soft_px: float = 0.0, off: int = 0) -> Damage:
    """A round aperture: outside there is `level` of the median, with noise of that share of it."""

    def damage(image: np.ndarray, random: np.random.Generator) -> Damaged:
        middle = SIZE_PX / 2
        distance = np.hypot(ROWS - middle - off, COLUMNS - middle + off)
        inside = distance < radius * SIZE_PX
        open_share = ndimage.gaussian_filter(inside.astype(float), soft_px) if soft_px else inside
        median = np.median(image)
        outside = median * (level + noise * random.normal(size=image.shape))
        mixed = image * open_share + outside * (1 - open_share)
        return Damaged(image=np.maximum(mixed, 0), seen=distance < radius * SIZE_PX - 2 - 2 * soft_px)

    return damage


def spots(count: int, value: float, size_px: int = 1) -> Damage:
    """Defects of the detector: pixels, or squares of them."""

    def damage(image: np.ndarray, random: np.random.Generator) -> Damaged:
        image = image.copy()
        for row, column in random.integers(0, SIZE_PX - size_px, (count, 2)):
            image[row : row + size_px, column : column + size_px] = value
        return Damaged(image=image)

    return damage


def dead_columns(count: int, value: float, width_px: int = 1) -> Damage:
    """Lines of the detector that say nothing."""

    def damage(image: np.ndarray, random: np.random.Generator) -> Damaged:
        image = image.copy()
        for column in random.integers(0, SIZE_PX - width_px, count):
            image[:, column : column + width_px] = value
        return Damaged(image=image)

    return damage


def written(
    text: str, text_px: int, ink: float, *, box: float | None = None, bar: bool = True, smooth: bool = True
) -> Damage:
    """A scale bar with its length, and a letter in a corner; ink and box are shares of the median."""

    def damage(image: np.ndarray, random: np.random.Generator) -> Damaged:
        font = ImageFont.load_default(text_px)
        layer = Picture.new("L", image.shape[::-1], 0)
        backing = Picture.new("L", image.shape[::-1], 0)
        if not smooth:
            layer, backing = layer.convert("1"), backing.convert("1")
        draw, draw_box = ImageDraw.Draw(layer), ImageDraw.Draw(backing)
        row = SIZE_PX - 2 * text_px - int(random.integers(2, 20))
        column = int(random.integers(8, 40))
        width = max(3 * text_px, 60)
        draw.text((column, row), text, fill=255, font=font)
        if bar:
            thick = max(2, text_px // 4)
            draw.rectangle(
                (column, row + 1.4 * text_px, column + width, row + 1.4 * text_px + thick), fill=255
            )
        draw.text((8, 6), str(random.choice(list("abcdeABCDE"))), fill=255, font=font)
        if box is not None:
            draw_box.rectangle(
                (column - 5, row - 4, column + max(width, draw.textlength(text, font)) + 5, SIZE_PX - 2),
                fill=255,
            )
            draw_box.rectangle((2, 2, 14 + text_px, 10 + 1.2 * text_px), fill=255)
        strength = np.asarray(layer.convert("L"), float) / 255
        boxed = np.asarray(backing.convert("L")) > 0
        median = np.median(image)
        out = image.astype(float)
        if box is not None:
            out[boxed] = round(box * median)
        out = out * (1 - strength) + strength * round(ink * median)
        return Damaged(
            image=np.rint(out), seen=~ndimage.binary_dilation((strength > 0) | boxed, iterations=3)
        )

    return damage


DAMAGES: dict[str, Damage] = {
    "nothing": lambda image, _: Damaged(image=image),
    "3 black rows": rows_of(0, 3),
    "40 black rows": rows_of(0, 40),
    "40 white rows": rows_of(65535, 40),
    "40 rows of NaN": rows_of(np.nan, 40),
    "30 grey rows": rows_of(1000, 30),
    "200 black rows": rows_of(0, 200),
    "turned by 3 degrees": rotated(3),
    "turned by 20 degrees": rotated(20),
    "turned by 45 degrees": rotated(45),
    "turned by 10 degrees on white": rotated(10, 65535),
    "aperture, black": aperture(0.42, level=0, noise=0),
    "aperture, near black": aperture(0.45, level=0.03, noise=0.002),
    "aperture, noise": aperture(0.42, level=0.1, noise=0.03),
    "aperture, much noise, soft": aperture(0.5, level=0.15, noise=0.06, soft_px=2),
    "aperture off centre": aperture(0.55, level=0.05, noise=0.01, off=80),
    "small aperture": aperture(0.3, level=0.0, noise=0.01),
    "a hot pixel": spots(1, 65535),
    "30 hot pixels": spots(30, 65535),
    "30 dead pixels": spots(30, 0),
    "10 dead squares of 3": spots(10, 0, 3),
    "10 hot squares of 3": spots(10, 65535, 3),
    "a dead column": dead_columns(1, 0),
    "2 dead columns of 3": dead_columns(2, 0, 3),
    "2 hot columns": dead_columns(2, 65535, 2),
    "small black letters": written("5 nm", 10, 0.0),
    "smallest black letters": written("100 nm", 8, 0.0, bar=False),
    "small black letters, jagged": written("10 nm", 12, 0.0, smooth=False),
    "small grey letters": written("5 nm", 12, 0.3),
    "small white letters": written("5 nm", 10, 2.0),
    "large black letters": written("20 nm", 40, 0.0),
    "large white letters": written("20 nm", 40, 2.5),
    "middle black letters": written("20 nm", 22, 0.1),
    "black letters in a white box": written("20 nm", 24, 0.0, box=2.0),
    "white letters in a black box": written("20 nm", 24, 2.0, box=0.0),
    "small letters in a black box": written("20 nm", 11, 2.0, box=0.0),
    "large letters in a white box": written("20 nm", 44, 0.0, box=1.6),
}
"""Everything that happens to a recorded field; particles stay where they are."""


def _noise(sigma: float) -> Callable[[np.random.Generator], np.ndarray]:
    def make(random: np.random.Generator) -> np.ndarray:
        values = random.normal(size=WHOLE.shape)
        if sigma:
            values = ndimage.gaussian_filter(values, sigma)
        return 1000 + 30 * values / values.std()

    return make


BLANKS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "white noise": _noise(0),
    "grain of 1 px": _noise(1),
    "grain of 2 px": _noise(2),
    "grain of 4 px": _noise(4),
    "a simulated film": lambda random: simulate_micrograph(BLANK, random).image.astype(float),
    "few electrons": lambda random: random.poisson(2, WHOLE.shape).astype(float),
    "a ramp": lambda random: _noise(1)(random) + COLUMNS,
    "a vignette": lambda random: _noise(0)(random) - 300 * ((ROWS / 256 - 1) ** 2 + (COLUMNS / 256 - 1) ** 2),
    "waves": lambda random: _noise(1)(random) + 100 * np.sin(COLUMNS / 90 + ROWS / 200),
    "clouds": lambda random: _noise(1)(random) + 3 * _noise(80)(random),
    "grain of 4 px on a ramp": lambda random: _noise(4)(random) + ROWS / 4,
    "a constant": lambda _: np.full(WHOLE.shape, 77.0),
}
"""Fields without a particle."""


def bright(image: np.ndarray) -> np.ndarray:
    """The same field as a dark-field picture, with its particles bright."""
    return image.max() + 100.0 - image


def resolved(found: Segmentation, pixel_size_nm: float = 1.0) -> Analysis:
    """As the engine does it, clumps whole."""
    return pipeline.resolve(
        found.mask, pixel_size_nm=pixel_size_nm, separate="none", level=found.level, recorded=found.recorded
    )


def centres(analysis: Analysis) -> np.ndarray:
    """Row and column of every particle, px."""
    found = []
    for particle in analysis.particles:
        rows, columns = np.nonzero(particle.region.mask)
        found.append(np.add(particle.region.origin_px, (rows.mean(), columns.mean())))
    return np.asarray(found).reshape(-1, 2)


def hits_and_false(analysis: Analysis, truth: np.ndarray) -> tuple[int, int]:
    """Particles that lie in a true one, and those that do not; a margin of 2 px."""
    near = ndimage.binary_dilation(truth, iterations=2)
    inside = [bool(near[tuple(np.rint(centre).astype(int))]) for centre in centres(analysis)]
    return sum(inside), len(inside) - sum(inside)
