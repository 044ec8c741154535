"""The film of a sequence: outlines in the colours of their tracks on small pictures of the frames.

The small pictures are written when a frame is read, for about a thousand frames per sequence; all else
comes from the ledger, so that the film can be made again.
"""

from __future__ import annotations

import colorsys
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from temwatch import fonts
from temwatch.domain import Image as Pixels
from temwatch.ledger import MicrographRow, Reader, analyses
from temwatch.ledger.sequences import results
from temwatch.ledger.sequences.progress import Progress
from temwatch.ledger.sequences.results import FrameRow
from temwatch.operating_system import sync_folder
from temwatch.outputs import paths, pictures
from temwatch.outputs.files import make_folder

MOST_FRAMES = 1000
"""A longer sequence shows every second frame, every fourth ..."""

_SIDE_PX = 640
_QUALITY = 85
_SECONDS = 20.0  # what a film aims at, as far as its pace allows
_FEWEST_PER_SECOND, _MOST_PER_SECOND = 8, 25
_GOLDEN = 0.6180339887498949
_PAPER, _INK = 225, 150  # where a frame has no picture, its mask is drawn in grey


def encoder_is_installed() -> bool:
    """Whether films can be written: the extra `film` brings the encoder."""
    return find_spec("imageio_ffmpeg") is not None


def every(frame: int) -> int:
    """One of how many frames is shown, in a sequence that has reached `frame`: a power of two."""
    step = 1
    while frame >= MOST_FRAMES * step:
        step *= 2
    return step


def write_frame_picture(path: Path, image: Pixels) -> None:
    """Write one frame, float32 (y, x), as a grey picture of at most 640 px."""
    make_folder(path.parent)
    height, width = image.shape
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) if scale < 1 else image
    temporary = path.with_suffix(".new")
    Image.fromarray(pictures.grey(small)).save(temporary, format="JPEG", quality=_QUALITY)
    temporary.replace(path)  # not synchronised: if a power cut loses it, the film shows the mask


def write_film(reader: Reader, output: Path, sequence: Progress) -> Path | None:
    """Write the film of the frames linked so far; None if there are none.

    Raises
    ------
    OSError
        It cannot be written, or the encoder does not run.
    """
    import imageio_ffmpeg

    steps = results.frame_rows(reader, sequence)
    chosen = [step for step in steps if step.frame % every(steps[-1].frame) == 0]
    shape = next((shape for step in chosen if (shape := _shape(reader, step))), None)
    if shape is None:
        return None
    folder = paths.sequence_folder(output, sequence.sample, sequence.name)
    make_folder(folder)
    path, temporary = folder / paths.FILM, folder / f".new.{paths.FILM}"
    rate = min(_MOST_PER_SECOND, max(_FEWEST_PER_SECOND, round(len(chosen) / _SECONDS)))
    # one thread and no time stamp: the same ledger gives the same bytes
    options = [
        "-threads",
        "1",
        "-crf",
        "28",
        "-preset",
        "medium",
        "-fflags",
        "+bitexact",
        "-flags",
        "+bitexact",
    ]
    frames = _draw_frames(reader, folder, chosen, shape)
    first = next(frames)
    writer = imageio_ffmpeg.write_frames(
        str(temporary), first.shape[1::-1], fps=rate, quality=None, macro_block_size=2, output_params=options
    )
    writer.send(None)
    try:
        writer.send(first.tobytes())
        for frame in frames:
            writer.send(frame.tobytes())
    finally:
        writer.close()
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(folder)
    return path


def colour(track: int) -> tuple[int, int, int]:
    """A bright colour of a track, far from those of its neighbours in number."""
    hue = (track * _GOLDEN) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75 + 0.25 * (track % 2), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _shape(reader: Reader, step: FrameRow) -> tuple[int, int] | None:
    row = reader.micrograph(step.micrograph_id)
    return (
        None
        if row is None or row.height_px is None or row.width_px is None
        else (row.height_px, row.width_px)
    )


def _draw_frames(
    reader: Reader, folder: Path, steps: list[FrameRow], shape: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """Every frame as RGB with even sides, at least so large that an outline can be seen."""
    height, width = shape
    scale = _SIDE_PX / max(height, width)
    size = (2 * round(width * scale / 2), 2 * round(height * scale / 2))
    for step in steps:
        row = reader.micrograph(step.micrograph_id)
        if row is None or (row.height_px, row.width_px) != shape:
            continue  # replaced meanwhile: it will be linked again
        canvas = np.array(_background(reader, folder, row, step).resize(size).convert("RGB"))
        _outline(canvas, _tracks(reader, row, step))
        picture = Image.fromarray(canvas)
        if row.pixel_size_nm:
            pictures.draw_scale_bar(picture, row.pixel_size_nm * width / size[0])
        _label(picture, step)
        yield np.asarray(picture)


def _background(reader: Reader, folder: Path, row: MicrographRow, step: FrameRow) -> Image.Image:
    path = paths.frame_picture(folder, row.name, step.frame, in_stack=row.frames_total is not None)
    try:
        with Image.open(path) as picture:
            return picture.convert("L")
    except OSError:
        mask = analyses.segmentation(reader, row.id).mask
        return Image.fromarray(np.where(mask, np.uint8(_INK), np.uint8(_PAPER)))


def _tracks(reader: Reader, row: MicrographRow, step: FrameRow) -> NDArray[np.int64]:
    """The track that every pixel of a frame belongs to, 0 where it is background."""
    assert row.height_px is not None
    assert row.width_px is not None
    image = np.zeros((row.height_px, row.width_px), np.int64)
    tracks = results.tracks(reader, step)
    for number, particle in enumerate(analyses.particles(reader, row.id), 1):
        top, left = particle.region.origin_px
        height, width = particle.region.mask.shape
        image[top : top + height, left : left + width][particle.region.mask] = tracks.get(number, 0)
    return image


def _outline(canvas: NDArray[np.uint8], image: NDArray[np.int64]) -> None:
    """Draw the edges of an image of tracks that is enlarged or reduced to the film."""
    rows = (np.arange(canvas.shape[0]) * image.shape[0]) // canvas.shape[0]
    columns = (np.arange(canvas.shape[1]) * image.shape[1]) // canvas.shape[1]
    tracks = image[np.ix_(rows, columns)]
    padded = np.pad(tracks, 1)
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = (tracks > 0) & np.logical_or.reduce([tracks != other for other in neighbours])
    names, which = np.unique(tracks[edge], return_inverse=True)
    canvas[edge] = np.array([colour(int(name)) for name in names], np.uint8).reshape(-1, 3)[which]


def _label(picture: Image.Image, step: FrameRow) -> None:
    time = "" if step.elapsed_s is None else f"   {step.elapsed_s:.2f} s"
    font = fonts.truetype(max(12, picture.size[1] // 32))
    ImageDraw.Draw(picture).text(
        (8, 6),
        f"frame {step.frame}{time}   {step.particles} particles",
        font=font,
        fill=(255, 255, 255),
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )
