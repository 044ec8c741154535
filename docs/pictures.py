"""Draws the pictures of docs/separation.md and takes those of README.md: python docs/pictures.py [FOLDER]."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

import temwatch
from temwatch import simulator
from temwatch.analysis import pipeline
from temwatch.analysis.appearance.confidence import STEPS
from temwatch.analysis.appearance.picture import take_picture
from temwatch.analysis.separation import SEPARATORS
from temwatch.config import SeparationSettings
from temwatch.domain import Analysis, Mask, Reason, Region, Segmentation

FOLDER = Path(__file__).parent / "pictures"
PIXEL_SIZE_NM = 0.1

ZOOM = 3
GAP = 28
CAPTION = 30
PAPER, INK, FAINT, CLUMP = (255, 255, 255), (38, 44, 52), (120, 128, 138), (208, 213, 220)
# Okabe and Ito's palette, distinguishable with any colour vision (jfly.uni-koeln.de/color)
COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0))
REJECTED = (213, 94, 0)

CLUMP_SEED, CLUMP_NUMBER, MARGIN = 4, 16, 6
"""Which clump of a simulated field is shown: six particles, some of which overlap a lot."""

Canvas = NDArray[np.float64]


class Panel(NamedTuple):
    """A mask with regions drawn over it, and a line of text below."""

    caption: str
    mask: Mask
    regions: Sequence[Region]
    colours: Sequence[tuple[int, int, int]] = COLOURS


def methods() -> list[list[Panel]]:
    """One clump of simulated particles: its truth, and what each method makes of it, in the same colours."""
    truth, mask = _simulated_clump()
    row = [Panel("truth", mask, truth)]
    for method in SEPARATORS:
        found = [particle.region for particle in _resolved(mask, separate=method).particles]
        row.append(Panel(_counted(method, len(found)), mask, found, _colours_of(found, truth, mask)))
    return [row]


def limits() -> list[list[Panel]]:
    """What an outline does not show; each truth above what is found."""
    size = (86, 108)
    discs = [_disc(size, 43, 49, 27), _disc(size, 43, 59, 27)]
    inside = [_disc(size, 43, 54, 32), _disc(size, 36, 62, 14)]
    squares = [_box(size, 25, 19, 36, 35), _box(size, 25, 54, 36, 35)]
    apart = [_disc(size, 43, 36, 23), _disc(size, 43, 72, 23)]
    captions = (
        "most of it overlaps",
        "one inside the other",
        "a full side is shared",
        "less overlap: separated",
    )
    above, below = [], []
    for caption, particles in zip(captions, (discs, inside, squares, apart), strict=True):
        mask = np.logical_or.reduce(particles)
        truth = [Region(origin_px=(0, 0), mask=particle) for particle in particles]
        above.append(Panel(caption, mask, truth))
        found = [particle.region for particle in _resolved(mask).particles]
        below.append(Panel(f"found: {len(found)}", mask, found, _colours_of(found, truth, mask)))
    return [above, below]


def rejections() -> list[list[Panel]]:
    """An example of each reason; what is rejected is orange, what is measured blue."""
    size = (86, 86)
    small = _disc(size, 46, 34, 25) | _disc(size, 36, 63, 9)
    cross = _box(size, 38, 8, 10, 70) | _box(size, 8, 38, 70, 10)
    mesh = _box(size, 10, 10, 68, 68)
    for row in range(16, 70, 12):
        for column in range(16, 70, 12):
            mesh &= ~_box(size, row, column, 7, 7)
    mesh[10:24, 63:78] = False
    cut = _disc(size, 43, 0, 24) | _disc(size, 43, 60, 18)
    specks = _disc(size, 43, 48, 22) | _disc(size, 16, 18, 2) | _disc(size, 70, 14, 1.5)
    default = SeparationSettings(method="uecs")
    cases = (
        (Reason.TOUCHES_BORDER, cut, default),
        (Reason.TOO_SMALL, specks, default),
        (Reason.NOT_SEPARABLE, small, default.model_copy(update={"vanishing_markers": "drop"})),
        (Reason.LOW_CONVEXITY, cross, default.model_copy(update={"min_convexity": 0.8})),
        (Reason.TOO_MANY_HOLES, mesh, default.model_copy(update={"max_holes": 10})),
    )
    analyses = [(reason, _resolved(mask, settings=settings)) for reason, mask, settings in cases]
    panels = []
    for reason, analysis in (*analyses, (Reason.LOW_CONFIDENCE, _beside_residue(size))):
        gone = [rejection.region for rejection in analysis.rejections if rejection.reason is reason]
        kept = [particle.region for particle in analysis.particles]
        colours = [COLOURS[0]] * len(kept) + [REJECTED] * len(gone)
        mask = analysis.mask | (False if analysis.removed is None else analysis.removed)
        panels.append(Panel(str(reason), mask, [*kept, *gone], colours))
    return [panels]


def _beside_residue(size: tuple[int, int]) -> Analysis:
    """Three dark discs that a network is sure of, among pale blobs that it doubts."""
    clear = _disc(size, 24, 26, 13) | _disc(size, 30, 62, 13) | _disc(size, 63, 40, 13)
    residue = np.zeros(size, dtype=bool)
    for row, column in ((8, 48), (46, 14), (45, 50), (60, 70), (74, 62), (77, 17), (62, 16)):
        residue |= _disc(size, row, column, 4)
    mask = clear | residue
    found = Segmentation(
        mask=mask,
        picture=take_picture(np.where(clear, 400, np.where(residue, 900, 1000)).astype(np.float32), mask),
        probability=np.where(clear, STEPS, np.where(residue, 2 * STEPS // 3, 0)).astype(np.uint8),
    )
    settings = SeparationSettings(method="uecs")
    return pipeline.resolve_segmentation(found, pixel_size_nm=PIXEL_SIZE_NM, settings=settings)


PICTURES: dict[str, Callable[[], list[list[Panel]]]] = {
    "methods": methods,
    "limits": limits,
    "rejections": rejections,
}


def draw(rows: Sequence[Sequence[Panel]]) -> Image.Image:
    """All panels, row by row."""
    heights = [max(panel.mask.shape[0] for panel in row) * ZOOM + CAPTION for row in rows]
    widths = [sum(panel.mask.shape[1] * ZOOM + GAP for panel in row) - GAP for row in rows]
    picture = Image.new("RGB", (max(widths) + 2 * GAP, sum(heights) + GAP * (len(rows) + 1)), PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(17)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for panel in row:
            pixels = _painted(panel)
            picture.paste(Image.fromarray(pixels), (left, top))
            middle = left + pixels.shape[1] // 2
            pen.text((middle, top + pixels.shape[0] + 8), panel.caption, fill=INK, font=font, anchor="ma")
            left += pixels.shape[1] + GAP
        top += height + GAP
    # few colours are enough, and the files stay small
    return picture.quantize(128, dither=Image.Dither.NONE)


def _painted(panel: Panel) -> NDArray[np.uint8]:
    paper = np.empty((*(side * ZOOM for side in panel.mask.shape), 3))
    paper[:] = (246, 247, 249)
    inside, _ = _smooth(panel.mask)
    _blend(paper, CLUMP, inside)
    layers = []
    for number, region in enumerate(panel.regions):
        colour = panel.colours[number % len(panel.colours)]
        layers.append((colour, *_smooth(_whole(region, panel.mask))))
    for colour, inside, _ in layers:
        _blend(paper, colour, 0.38 * inside)
    for colour, _, outline in layers:
        _blend(paper, colour, outline)
    return paper.round().astype(np.uint8)


def _smooth(mask: Mask) -> tuple[Canvas, Canvas]:
    """How much of each pixel of the picture lies inside the mask, and on its outline."""
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    depth = ndimage.gaussian_filter(depth - 0.5 * np.sign(depth), 1.1)
    fine = Image.fromarray(depth.astype(np.float32))
    size = (mask.shape[1] * ZOOM, mask.shape[0] * ZOOM)
    depth = np.asarray(fine.resize(size, Image.Resampling.BICUBIC), dtype=float) * ZOOM
    return np.clip(depth + 0.5, 0, 1), np.clip(1.6 - np.abs(depth), 0, 1)


def _blend(paper: Canvas, colour: tuple[int, int, int], opacity: Canvas) -> None:
    paper += opacity[..., None] * (np.array(colour) - paper)


def _simulated_clump() -> tuple[list[Region], Mask]:
    """A clump of simulated particles with its truth, in a crop with a margin."""
    field = simulator.simulate_mask("ellipses", "medium", 1024, seed=CLUMP_SEED)
    labels, _ = ndimage.label(field.mask, np.ones((3, 3)))
    place = ndimage.find_objects(labels)[CLUMP_NUMBER]
    top, left = place[0].start - MARGIN, place[1].start - MARGIN
    mask = np.pad(labels[place] == CLUMP_NUMBER + 1, MARGIN)
    truth = []
    for region in field.particles:
        row, column = region.origin_px[0] - top, region.origin_px[1] - left
        below, beside = row + region.mask.shape[0], column + region.mask.shape[1]
        if row < 0 or column < 0 or below > mask.shape[0] or beside > mask.shape[1]:
            continue
        if mask[row:below, column:beside][region.mask].all():
            truth.append(Region(origin_px=(row, column), mask=region.mask))
    return truth, mask


def _resolved(mask: Mask, **options: object) -> Analysis:
    return temwatch.resolve(mask, pixel_size_nm=PIXEL_SIZE_NM, **options)  # type: ignore[no-any-return]


def _colours_of(found: Sequence[Region], truth: Sequence[Region], mask: Mask) -> list[tuple[int, int, int]]:
    """The colour of the true particle that a region covers best, as far as it is free; a spare one else."""
    ours, theirs = ([_whole(region, mask) for region in regions] for regions in (found, truth))
    shared = [
        (np.count_nonzero(own & other) / np.count_nonzero(own | other), i, j)
        for i, own in enumerate(ours)
        for j, other in enumerate(theirs)
    ]
    chosen: dict[int, int] = {}
    for share, i, j in sorted(shared, reverse=True):
        if share > 0.2 and i not in chosen and j not in chosen.values():
            chosen[i] = j
    spare = iter(j for j in range(len(found) + len(truth)) if j not in chosen.values())
    return [COLOURS[(chosen[i] if i in chosen else next(spare)) % len(COLOURS)] for i in range(len(found))]


def _whole(region: Region, mask: Mask) -> Mask:
    """A region on the whole mask."""
    whole = np.zeros(mask.shape, dtype=bool)
    row, column = region.origin_px
    whole[row : row + region.mask.shape[0], column : column + region.mask.shape[1]] = region.mask
    return whole


def _counted(method: str, count: int) -> str:
    return f"{method}: {count} particle{'' if count == 1 else 's'}"


def _disc(size: tuple[int, int], row: float, column: float, radius: float) -> Mask:
    y, x = np.indices(size)
    return np.hypot(y - row, x - column) <= radius


def _box(size: tuple[int, int], row: int, column: int, height: int, width: int) -> Mask:
    mask = np.zeros(size, dtype=bool)
    mask[row : row + height, column : column + width] = True
    return mask


def main(folder: Path = FOLDER, names: Iterable[str] = tuple(PICTURES)) -> None:
    """Write each as png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        draw(PICTURES[name]()).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    import screenshots

    folder = Path(*sys.argv[1:2] or [FOLDER])
    main(folder)
    screenshots.main(folder)
